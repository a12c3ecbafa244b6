//! Opens a workspace in a folder of the host: makes its baseline, a copy that nothing changes any more.
//!
//! There is no overlay that could do without. The copy goes the way of an export and an import, and appears in one
//! step when it is complete, so that one that was broken off is begun anew.

use super::directory::Directory;
use super::export::export;
use super::failure::{At, Result, failure, not_read, refused};
use super::import::import;
use super::place::{BASELINE, Place};
use nix::fcntl::{OFlag, renameat};
use nix::unistd::{pipe2, syncfs};
use pyro_protocol::task::TaskFailureKind::{Io, Malformed};
use pyro_protocol::tree::TreeReader;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read};
use std::path::Path;

/// The copy until it is complete.
const UNFINISHED: &[u8] = b"baseline";

/// Makes the baseline, if there is none.
pub(crate) fn open(folder: &Path) -> Result<()> {
    let doing = "could not make the baseline";
    let place = Place::Folder(folder.to_owned());
    if place.is_open() {
        return Ok(());
    }
    let staging = place.staging()?;
    staging.remove(UNFINISHED).at(b"", doing)?;
    let copy = staging.make(UNFINISHED, 0o755).at(b"", doing)?;
    copy_tree(&place, &copy)?;
    syncfs(&copy).at(b"", "could not write to the disk")?;
    let folder = Directory::open(folder).at(b"", doing)?;
    renameat(&staging, UNFINISHED, &folder, BASELINE).at(b"", doing)
}

fn copy_tree(place: &Place, to: &Directory) -> Result<()> {
    let pipe = pipe2(OFlag::O_CLOEXEC).map_err(|errno| refused(errno, b"", "could not make the baseline"))?;
    let (reading, writing) = (File::from(pipe.0), File::from(pipe.1));
    std::thread::scope(|scope| {
        let sending = scope.spawn(|| export("", place, BufWriter::new(writing)));
        // Dropped at its end, which also ends a sender whose tree is not taken.
        let received = receive(BufReader::new(reading), place, to);
        let sent = sending.join().unwrap_or_else(|_| Err(failure(Io, b"", "could not read the workspace")));
        match received {
            // The stream ended before its end: the sender says why.
            Err(failure) if failure.kind == Malformed => sent.and(Err(failure)),
            received => received,
        }
    })
}

fn receive(mut from: impl Read, place: &Place, to: &Directory) -> Result<()> {
    TreeReader::new(&mut from).record().map_err(|error| not_read(&error))?; // the root, which is there
    import(from, to, b"", place.modes()).map(drop)
}
