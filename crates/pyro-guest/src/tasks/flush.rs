//! Everything that the machine holds in memory, to its disk.

use super::failure::{At, Result};
use nix::unistd::syncfs;
use std::fs::File;
use std::path::Path;

/// Writes out the file system that a folder is on, and waits for it.
pub(crate) fn flush(folder: &Path) -> Result<()> {
    let folder = File::open(folder).at(b"", "could not open the disk")?;
    syncfs(&folder).at(b"", "could not write to the disk")
}
