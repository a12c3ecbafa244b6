//! What a machine is wired to: socket pairs, of which QEMU inherits one end each.

use super::process::HandedOver;
use super::qemu_args::fd;
use std::io;
use std::os::fd::OwnedFd;
use tokio::net::UnixStream;

/// The host's ends of what a machine is wired to, and QEMU's end of its standard error.
pub(super) struct Wires {
    pub(super) qmp: UnixStream,
    pub(super) channel: UnixStream,
    pub(super) console: UnixStream,
    pub(super) stderr: UnixStream,
    /// The other end of the network device, for machines that have one: blocking, for whoever takes it.
    pub(super) network: Option<std::os::unix::net::UnixStream>,
    pub(super) qemu_stderr: OwnedFd,
}

impl Wires {
    /// Makes the pairs, and gives back the ends that QEMU is to have.
    pub(super) fn make(has_network: bool) -> io::Result<(Self, Vec<HandedOver>)> {
        let (qmp, qemu_qmp) = wire()?;
        let (channel, qemu_channel) = wire()?;
        let (console, qemu_console) = wire()?;
        let (stderr, qemu_stderr) = wire()?;
        let handed_over = [(fd::QMP, qemu_qmp), (fd::CHANNEL, qemu_channel), (fd::CONSOLE, qemu_console)];
        let mut handed_over = Vec::from(handed_over.map(|(number, fd)| HandedOver { number, fd }));
        let mut network = None;
        if has_network {
            let (ours, qemus) = std::os::unix::net::UnixStream::pair()?;
            handed_over.push(HandedOver { number: fd::NETWORK, fd: qemus.into() });
            network = Some(ours);
        }
        Ok((Self { qmp, channel, console, stderr, qemu_stderr, network }, handed_over))
    }
}

fn wire() -> io::Result<(UnixStream, OwnedFd)> {
    let (ours, qemus) = std::os::unix::net::UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    Ok((UnixStream::from_std(ours)?, qemus.into()))
}
