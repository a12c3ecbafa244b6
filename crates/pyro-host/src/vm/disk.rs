//! The disk of a machine: a sparse, formatted file without a name, so that nothing is left of it when its last
//! user is gone, however that one ended.

use super::spawn::spawn_owned;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::program::find_program;
use crate::state_dir::{DirLock, StateDir, UNFINISHED, make_private_dir, sweep_unfinished};
use rustix::fs::{SeekFrom, copy_file_range, ioctl_ficlone, seek};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The size of a machine's disk. It is sparse: the host gives it what the guest writes.
pub const DISK_MIB: u64 = 16 * 1024;

/// Part of the name of a formatted disk and of every template's key: to be changed with the options of `mke2fs`.
pub const FORMAT: &str = "ext4-1";

/// How a disk is formatted (`mke2fs(8)`). No journal: the disk of a one-shot machine is never mounted twice.
/// Tables are left unwritten, so that a fresh disk takes a few hundred KiB.
const FORMAT_OPTIONS: &[&str] = &[
    "-q",
    "-F",
    "-t",
    "ext4",
    "-m",
    "0",
    "-L",
    "pyro",
    "-O",
    "^has_journal",
    "-U",
    "3b6f3a2e-5a1c-4f0e-9d6b-7079726f0001",
    "-E",
    "lazy_itable_init=1,nodiscard,hash_seed=3b6f3a2e-5a1c-4f0e-9d6b-7079726f0002,root_owner=0:0",
];

/// A fresh, formatted disk.
pub fn blank(state_dir: &StateDir) -> Result<File> {
    let formatted = formatted(state_dir)?;
    let original =
        File::open(&formatted).doing(|| format!("could not open the disk `{}`", formatted.display()))?;
    private_copy(&original, state_dir)
}

/// A copy of a disk for one machine. Shares its blocks with the original where the file system can.
pub fn private_copy(original: &File, state_dir: &StateDir) -> Result<File> {
    make_private_dir(state_dir.cache())?;
    let doing = || format!("could not make a disk in `{}`", state_dir.cache().display());
    let copy = tempfile::tempfile_in(state_dir.cache()).doing(doing)?;
    copy_sparse(original, &copy).doing(doing)?;
    Ok(copy)
}

/// Copies what a sparse file holds and leaves its holes as holes. The target is empty.
pub fn copy_sparse(from: &File, to: &File) -> std::io::Result<()> {
    if ioctl_ficlone(to, from).is_ok() {
        return Ok(());
    }
    let size = from.metadata()?.len();
    to.set_len(size)?;
    let mut position = 0;
    while position < size {
        let start = match seek(from, SeekFrom::Data(position)) {
            Ok(start) => start,
            Err(rustix::io::Errno::NXIO) => break,
            Err(error) => return Err(error.into()),
        };
        let end = seek(from, SeekFrom::Hole(start))?;
        copy_range(from, to, start, end)?;
        position = end;
    }
    Ok(())
}

fn copy_range(from: &File, to: &File, start: u64, end: u64) -> std::io::Result<()> {
    let (mut read_at, mut write_at) = (start, start);
    while read_at < end {
        let wanted = usize::try_from(end - read_at).unwrap_or(usize::MAX);
        if copy_file_range(from, Some(&mut read_at), to, Some(&mut write_at), wanted)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

/// Deletes the formatted original: the next machine makes it again.
pub fn forget_formatted(state_dir: &StateDir) -> Result<()> {
    let folder = state_dir.disks();
    match std::fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).doing(|| format!("could not delete `{}`", folder.display()))
        }
        _ => Ok(()),
    }
}

/// The formatted original, made at the first need under a lock.
fn formatted(state_dir: &StateDir) -> Result<PathBuf> {
    let folder = state_dir.disks();
    let path = folder.join(format!("{FORMAT}-{DISK_MIB}.img"));
    if path.exists() {
        return Ok(path);
    }
    let _lock = DirLock::wait(&folder)?;
    if !path.exists() {
        format(&folder, &path)?;
    }
    Ok(path)
}

fn format(folder: &Path, path: &Path) -> Result<()> {
    let program = find_program("mkfs.ext4").ok_or_else(|| {
        Error::new(ErrorKind::UnsupportedHost, "`mkfs.ext4` is not in PATH")
            .with_hint("sudo apt-get install e2fsprogs")
    })?;
    let doing = || format!("could not format a disk in `{}`", folder.display());
    sweep_unfinished(folder);
    let unfinished = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(folder).doing(doing)?;
    unfinished.as_file().set_len(DISK_MIB * 1024 * 1024).doing(doing)?;
    let mut command = Command::new(&program);
    command
        .args(FORMAT_OPTIONS)
        .arg(unfinished.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let output = spawn_owned(command).and_then(Child::wait_with_output).doing(doing)?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(
            Error::new(ErrorKind::Io, doing()).with_source(format!("{}: {stderr}", program.display()))
        );
    }
    unfinished.as_file().sync_all().doing(doing)?;
    unfinished.persist(path).map_err(|error| error.error).doing(doing)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{FileExt, MetadataExt};

    #[test]
    fn a_copy_has_the_same_bytes_and_the_same_holes() {
        let (from, to) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        from.set_len(64 << 20).unwrap();
        from.write_all_at(b"begin", 0).unwrap();
        from.write_all_at(&[7; 10_000], 33 << 20).unwrap();
        copy_sparse(&from, &to).unwrap();
        let mut piece = vec![0; 10_000];
        to.read_exact_at(&mut piece, 33 << 20).unwrap();
        assert_eq!(piece, [7; 10_000]);
        to.read_exact_at(&mut piece[..5], 0).unwrap();
        assert_eq!(&piece[..5], b"begin");
        let to = to.metadata().unwrap();
        assert_eq!(to.len(), 64 << 20);
        assert!(to.blocks() * 512 < 1 << 20, "{} blocks", to.blocks());
    }
}
