//! The environment: the mount namespace that commands live in, and the identity of the machine in it.
//!
//! The namespace is made once. Commands enter it and see the overlay as their root; the agent stays outside, and
//! what commands mount or unmount never reaches it. The files of the identity are opened here at the start and
//! kept open, so that a clone which is told its name only overwrites them, without looking up a path.

use super::{BootError, Doing, mounts, network, workspace};
use crate::identity::Checked;
use crate::sys;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::libc::O_NONBLOCK;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::stat::Mode;
use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, fstatfs};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_settime};
use nix::unistd::{chdir, chroot};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::sync::Arc;

/// As long as the names that the host gives.
const PLACEHOLDER_HOSTNAME: &str = "pyro-000000000000";
const PLACEHOLDER_MACHINE_ID: &str = "00000000000000000000000000000000";

/// The namespace of commands, and what the machine is known by.
#[derive(Debug)]
pub struct Environment {
    /// That of commands, and that of the agent.
    namespace: OwnedFd,
    outside: OwnedFd,
    /// `/dev/pts` of commands: each mount of it has terminals of its own.
    terminals: OwnedFd,
    /// `/sys/fs/cgroup` of commands, if the kernel has it.
    cgroups: Option<Arc<OwnedFd>>,
    workspace_is_open: bool,
    random: OwnedFd,
    hostname: IdentityFile,
    hosts: IdentityFile,
    machine_id: IdentityFile,
}

/// A file that is written anew in each machine.
#[derive(Debug)]
struct IdentityFile {
    /// None where something that is no file stands in its place.
    file: Option<File>,
    n_bytes: usize,
}

impl Environment {
    /// Puts the environment together. The caller must be a process with one thread, and must have mounted what
    /// the agent itself needs.
    ///
    /// # Errors
    /// When a mount fails, or a file of the identity cannot be written.
    pub fn mount() -> Result<Self, BootError> {
        let random = OpenOptions::new().write(true).open("/dev/urandom");
        let random = random.doing(|| "could not open /dev/urandom".into())?.into();
        let outside = own_namespace()?;
        mounts::disk()?;
        unshare(CloneFlags::CLONE_NEWNS).doing(|| "could not make a mount namespace".into())?;
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(None::<&str>, "/", None::<&str>, private, None::<&str>)
            .doing(|| "could not make the mounts private".into())?;
        mounts::for_commands()?;
        mounts::leave_only_environment()?;
        enter_new_root()?;
        let namespace = own_namespace()?;
        let terminals = File::open("/dev/pts").doing(|| "could not open /dev/pts".into())?.into();
        let cgroups = cgroups().doing(|| "could not open /sys/fs/cgroup".into())?;
        let [hostname, hosts, machine_id] =
            ["/etc/hostname", "/etc/hosts", "/etc/machine-id"].map(identity_file);
        network::name_the_server().doing(|| "could not write /etc/resolv.conf".into())?;
        let workspace_is_open = false;
        let mut environment = Self {
            namespace,
            outside,
            terminals,
            cgroups,
            workspace_is_open,
            random,
            hostname,
            hosts,
            machine_id,
        };
        environment
            .write_files(PLACEHOLDER_HOSTNAME, PLACEHOLDER_MACHINE_ID)
            .doing(|| "could not write the files of the identity".into())?;
        environment.leave()?;
        Ok(environment)
    }

    /// Makes the workspace visible to commands, unless it is so already.
    pub(crate) fn open_workspace(&mut self) -> Result<(), String> {
        if !self.workspace_is_open {
            self.attach_workspace().map_err(|error| error.to_string())?;
            self.workspace_is_open = true;
        }
        Ok(())
    }

    fn attach_workspace(&self) -> Result<(), BootError> {
        let tree = workspace::mount_layers()?;
        setns(&self.namespace, CloneFlags::CLONE_NEWNS)
            .doing(|| "could not enter the environment's namespace".into())?;
        let attached = workspace::attach(tree);
        self.leave()?;
        attached
    }

    fn leave(&self) -> Result<(), BootError> {
        setns(&self.outside, CloneFlags::CLONE_NEWNS)
            .doing(|| "could not leave the environment's namespace".into())
    }

    /// The namespace that commands enter.
    pub(crate) fn namespace(&self) -> BorrowedFd<'_> {
        self.namespace.as_fd()
    }

    /// The master end of a new terminal of commands.
    pub(crate) fn open_terminal(&self, flags: OFlag) -> nix::Result<OwnedFd> {
        openat(&self.terminals, "ptmx", flags, Mode::empty())
    }

    /// Where control groups are made, if the kernel has them.
    pub(crate) fn cgroups(&self) -> Option<&Arc<OwnedFd>> {
        self.cgroups.as_ref()
    }

    /// Makes this machine the one that it is told to be. Randomness comes first: whatever runs after it differs
    /// from what runs in another machine.
    pub(crate) fn identify(&mut self, identity: &Checked<'_>) -> Result<(), String> {
        let Checked { unix_time_ns, entropy, hostname, machine_id } = identity;
        let failed = |what: &str, why: &dyn std::error::Error| format!("could not set the {what}: {why}");
        sys::reseed(&self.random, entropy).map_err(|errno| failed("randomness", &errno))?;
        let time = TimeSpec::new(
            i64::try_from(unix_time_ns / 1_000_000_000).unwrap_or(i64::MAX),
            i64::try_from(unix_time_ns % 1_000_000_000).unwrap_or(0),
        );
        clock_settime(ClockId::CLOCK_REALTIME, time).map_err(|errno| failed("clock", &errno))?;
        nix::unistd::sethostname(hostname).map_err(|errno| failed("host name", &errno))?;
        self.write_files(hostname, machine_id).map_err(|error| failed("identity files", &error))
    }

    fn write_files(&mut self, hostname: &str, machine_id: &str) -> io::Result<()> {
        overwrite(&mut self.hostname, &format!("{hostname}\n"))?;
        overwrite(&mut self.hosts, &hosts(hostname))?;
        overwrite(&mut self.machine_id, &format!("{machine_id}\n"))
    }
}

fn hosts(hostname: &str) -> String {
    format!(
        "127.0.0.1\tlocalhost\n127.0.1.1\t{hostname}\n::1\tlocalhost ip6-localhost ip6-loopback\n\
         ff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n"
    )
}

/// The control groups, unless the kernel has none and the directory is one of another file system.
fn cgroups() -> nix::Result<Option<Arc<OwnedFd>>> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let directory = match open("/sys/fs/cgroup", flags, Mode::empty()) {
        Ok(directory) => directory,
        Err(Errno::ENOENT) => return Ok(None),
        Err(errno) => return Err(errno),
    };
    let is_mounted = fstatfs(&directory)?.filesystem_type() == CGROUP2_SUPER_MAGIC;
    Ok(is_mounted.then(|| Arc::new(directory)))
}

/// Overwrites a file. Where the length stays the same, as it does for the names that the host gives, that is one
/// write into a page that is there: no block is allocated and nothing truncated, which costs an emulated clone 20 ms.
fn overwrite(file: &mut IdentityFile, text: &str) -> io::Result<()> {
    let Some(open) = &file.file else { return Ok(()) };
    open.write_all_at(text.as_bytes(), 0)?;
    if file.n_bytes != text.len() {
        file.n_bytes = text.len();
        open.set_len(text.len() as u64)?;
    }
    Ok(())
}

/// A file of the identity, in the upper layer from now on. On a disk that was used before, the user may have put
/// something else in its place: that must not keep the machine from starting.
fn identity_file(path: &str) -> IdentityFile {
    let mut open = OpenOptions::new();
    open.write(true).create(true).truncate(true).custom_flags(O_NONBLOCK);
    let file = open.open(path).ok().filter(|file| file.metadata().is_ok_and(|metadata| metadata.is_file()));
    IdentityFile { file, n_bytes: 0 }
}

fn own_namespace() -> Result<OwnedFd, BootError> {
    File::open("/proc/self/ns/mnt").map(OwnedFd::from).doing(|| "could not open the mount namespace".into())
}

/// Makes the environment the root of this namespace, for us and for whoever enters the namespace later.
fn enter_new_root() -> Result<(), BootError> {
    let doing = || "could not make the environment the root".to_owned();
    chdir(mounts::NEW_ROOT).doing(doing)?;
    mount(Some("."), "/", None::<&str>, MsFlags::MS_MOVE, None::<&str>).doing(doing)?;
    chroot(".").doing(doing)?;
    chdir("/").doing(doing)
}
