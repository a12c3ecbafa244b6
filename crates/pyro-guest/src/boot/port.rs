//! Finds the virtio-serial port of the agent.
//!
//! The kernel learns of ports, and of their names after that, some time after the driver has been loaded. It says
//! so by uevents, which are waited for.

use super::{BootError, Doing};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket,
};
use pyro_protocol::PORT_NAME;
use std::fs::{self, OpenOptions};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long the port may take to appear. Generous: an emulated machine on a busy host is slow.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the kernel says about devices. Made before the drivers are loaded, so that nothing is missed.
#[derive(Debug)]
pub struct Uevents(OwnedFd);

impl Uevents {
    /// Begins to listen.
    ///
    /// # Errors
    /// When the kernel has no such sockets.
    pub fn listen() -> Result<Self, BootError> {
        let open = || {
            let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
            let protocol = SockProtocol::NetlinkKObjectUEvent;
            let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, protocol)?;
            bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 1))?;
            Ok::<_, nix::Error>(socket)
        };
        open().map(Self).doing(|| "could not listen for uevents".into())
    }

    /// Waits for the next one, or until the time is over.
    fn wait(&self, deadline: Instant) -> Result<(), BootError> {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let mut fds = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, timeout).doing(|| "could not wait for uevents".into())?;
        let mut event = [0; 4096];
        while recv(self.0.as_raw_fd(), &mut event, MsgFlags::empty()).is_ok() {} // what they say is seen in sysfs
        Ok(())
    }
}

/// Opens the agent's port, and waits for it if the kernel does not have it yet.
///
/// # Errors
/// When it does not appear in time or cannot be opened.
pub fn open(uevents: &Uevents) -> Result<OwnedFd, BootError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(path) = find(Path::new("/sys/class/virtio-ports")) {
            let doing = || format!("could not open {}", path.display());
            return OpenOptions::new().read(true).write(true).open(&path).map(OwnedFd::from).doing(doing);
        }
        if Instant::now() >= deadline {
            let why = "the machine has no such port".into();
            return Err(BootError { doing: format!("could not find the port {PORT_NAME}"), why });
        }
        uevents.wait(deadline)?;
    }
}

fn find(ports: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(ports).ok()?;
    let mut names = entries.filter_map(|entry| Some(entry.ok()?.file_name()));
    let is_ours = |name: &std::ffi::OsString| {
        fs::read_to_string(ports.join(name).join("name")).is_ok_and(|text| text.trim_end() == PORT_NAME)
    };
    names.find(is_ours).map(|name| Path::new("/dev").join(name))
}
