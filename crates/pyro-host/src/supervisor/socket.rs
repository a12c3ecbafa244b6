//! Control sockets: names of sockets are short (`unix(7)`: 107 bytes), folders are not. A socket is therefore reached
//! through the descriptor of its folder.

use crate::error::{Context, Error, ErrorKind, Result};
use rustix::fs::{Mode, OFlags, open};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use tokio::net::UnixListener;

/// Listens. A socket that a killed supervisor left is replaced: the caller holds the lock.
pub(super) fn listen(socket: &Path) -> Result<UnixListener> {
    let doing = || format!("could not listen on `{}`", socket.display());
    match std::fs::remove_file(socket) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error).doing(doing),
        _ => {}
    }
    let (_folder, name) = short(socket).doing(doing)?;
    UnixListener::bind(name).doing(doing)
}

/// Connects to the supervisor that listens there. It must be of our own user.
///
/// # Errors
/// `wrong_state` when nobody listens, `io` for anything else.
pub(super) fn connect(socket: &Path) -> Result<UnixStream> {
    let doing = || format!("could not reach the supervisor at `{}`", socket.display());
    let nobody = |error: std::io::Error| {
        let is_nobody =
            matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused);
        let kind = if is_nobody { ErrorKind::WrongState } else { ErrorKind::Io };
        Error::new(kind, doing()).with_source(error).with_hint(
            "its socket is gone: `pyro workspace stop ID` and `pyro workspace start ID` bring it back, with its files",
        )
    };
    let (_folder, name) = short(socket).map_err(nobody)?;
    let stream = UnixStream::connect(name).map_err(nobody)?;
    let peer = rustix::net::sockopt::socket_peercred(&stream).doing(doing)?;
    if peer.uid != rustix::process::geteuid() && !peer.uid.is_root() {
        let message = format!("`{}` belongs to another user", socket.display());
        return Err(Error::new(ErrorKind::UnsafePath, message));
    }
    Ok(stream)
}

/// The folder of a socket, open, and a name for the socket that is short as long as it is.
fn short(socket: &Path) -> std::io::Result<(OwnedFd, PathBuf)> {
    let folder = socket.parent().unwrap_or(Path::new("/"));
    let folder = open(folder, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let name = format!("/proc/self/fd/{}", folder.as_raw_fd());
    Ok((folder, Path::new(&name).join(socket.file_name().unwrap_or_default())))
}
