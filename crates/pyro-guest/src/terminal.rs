//! The terminal of a command: a pseudoterminal (`pty(7)`) whose master end is ours.
//!
//! What the command prints is read from the master, and what is written there the command reads. Reading it fails
//! with `EIO` while nobody has the other end open.

use crate::root::Root;
use crate::sys;
use nix::errno::Errno;
use nix::sys::termios::{InputFlags, SetArg, tcgetattr, tcsetattr};
use pyro_protocol::exec::WindowSize;
use std::os::fd::OwnedFd;

/// Our end.
#[derive(Debug)]
pub(crate) struct Terminal {
    master: OwnedFd,
}

impl Terminal {
    /// Makes a terminal where commands live. Gives our end, non-blocking, and the one for the command.
    pub(crate) fn open(root: &Root, size: WindowSize) -> nix::Result<(Self, OwnedFd)> {
        let terminal = Self { master: root.open_terminal()? };
        sys::unlock_terminal(&terminal.master)?;
        // By its number or path it could be another one: each devpts numbers its own.
        let theirs = sys::open_terminal_peer(&terminal.master)?;
        terminal.resize(size);
        let mut settings = tcgetattr(&theirs)?;
        settings.input_flags |= InputFlags::IUTF8;
        tcsetattr(&theirs, SetArg::TCSANOW, &settings)?;
        Ok((terminal, theirs))
    }

    /// One more descriptor of our end.
    pub(crate) fn another(&self) -> nix::Result<OwnedFd> {
        let copied = self.master.try_clone();
        copied.map_err(|error| error.raw_os_error().map_or(Errno::EBADF, Errno::from_raw))
    }

    /// Sets the size, which the kernel tells the foreground by `SIGWINCH`. A terminal without a place for a single
    /// character is none.
    pub(crate) fn resize(&self, WindowSize { cols, rows }: WindowSize) {
        if cols > 0 && rows > 0 {
            let _ = sys::set_window_size(&self.master, cols, rows); // cannot fail for a terminal
        }
    }

    /// The process group in the foreground, if there is one.
    pub(crate) fn foreground(&self) -> Option<i32> {
        sys::foreground_group(&self.master).ok().filter(|group| *group > 1)
    }
}
