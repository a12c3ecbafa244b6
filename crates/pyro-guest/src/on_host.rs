//! The agent as an ordinary process of a user, without a machine: `pyro-guest host <descriptor> <folder>`.
//!
//! It serves one host on the socket that it inherits, and nothing outlives it: when the host hangs up, also because it
//! was killed, the agent ends everything that it has started, and itself.

use crate::{Ending, Folder, Root, descendants, serve, sys};
use nix::sys::prctl;
use nix::sys::stat::{Mode, umask};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::process::ExitCode;

/// The first argument of a process that is to serve in a folder of the host.
pub const ARGUMENT: &str = "host";

/// Serves until the host hangs up or wants an end.
pub fn run(descriptor: &str, folder: String) -> ExitCode {
    let ended = prepare(descriptor, folder).and_then(|(stream, folder)| serve(stream, Root::Folder(folder)));
    match &ended {
        Ok(Ending::PowerOff(_)) => descendants::end_in_order(),
        Ok(Ending::HungUp) | Err(_) => descendants::end_at_once(),
    }
    let Err(error) = ended else { return ExitCode::SUCCESS };
    let _ = writeln!(io::stderr(), "the agent on the host: {error}"); // there is nobody else to tell
    ExitCode::FAILURE
}

fn prepare(descriptor: &str, folder: String) -> io::Result<(OwnedFd, Folder)> {
    let number = descriptor.parse().map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let stream = sys::inherited(number)?;
    let _ = prctl::set_name(c"pyro-host-agent"); // only for people
    descendants::adopt_orphans()?;
    // Whoever started this may want it killed with them: then nobody would be left to end the commands. That they are
    // gone tells the socket, also if they have gone before this.
    prctl::set_pdeathsig(None)?;
    umask(Mode::S_IWGRP | Mode::S_IWOTH);
    Ok((stream, Folder::prepare(folder)?))
}
