//! Everything that the machine holds in memory, to its disk.

use super::failure::{At, Result};
use super::place::Place;
use nix::unistd::syncfs;
use std::fs::File;

/// Writes out the machine's disk, and waits for it. A folder of the host lives as long as the host does.
pub(crate) fn flush(place: &Place) -> Result<()> {
    let Place::Machine { disk, .. } = place else { return Ok(()) };
    let disk = File::open(disk).at(b"", "could not open the disk")?;
    syncfs(&disk).at(b"", "could not write to the disk")
}
