//! Loads the kernel modules that the host put into the initramfs. Their file names give the order.

use super::{BootError, Doing};
use nix::errno::Errno;
use nix::kmod::{ModuleInitFlags, finit_module};
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::Path;

/// Loads every module in `folder`, in the order of their names. A module that the kernel has already is fine, and
/// so is a folder that is not there (a kernel with everything built in).
///
/// # Errors
/// When a module cannot be read or the kernel refuses it.
pub fn load_all(folder: &Path) -> Result<(), BootError> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    let names =
        entries.map(|entry| entry.map(|entry| entry.file_name())).collect::<Result<Vec<OsString>, _>>();
    let mut names = names.doing(|| format!("could not list {}", folder.display()))?;
    names.sort_unstable();
    names.iter().try_for_each(|name| load(&folder.join(name)))
}

fn load(path: &Path) -> Result<(), BootError> {
    let doing = || format!("could not load the module {}", path.display());
    let file = File::open(path).doing(doing)?;
    match finit_module(&file, c"", ModuleInitFlags::empty()) {
        Ok(()) | Err(Errno::EEXIST) => Ok(()),
        Err(errno) => Err(errno).doing(doing),
    }
}
