//! The disk of a machine: a sparse, formatted file.
//!
//! A scratch disk has no name, so that nothing is left of it when its last user is gone, however that one ended. A
//! persistent disk is a file that its owner named: it survives its machines, and a machine or a host that ends
//! without warning, which is why it has a journal and its guest's flushes reach the host's disk.

use super::spawn::spawn_owned;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::program::find_program;
use crate::state_dir::{DirLock, StateDir, UNFINISHED, make_private_dir, sweep_unfinished};
use rustix::fs::{SeekFrom, copy_file_range, ioctl_ficlone, seek};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The size of a scratch disk. It is sparse: the host gives it what the guest writes.
pub const SCRATCH_MIB: u64 = 16 * 1024;

/// The size of a persistent disk where none is asked for (64 GiB). It is sparse as well.
pub const DEFAULT_DISK_MIB: u64 = 64 * 1024;
/// The smallest persistent disk: the journal and the tables leave room for the guest's own files.
pub const MIN_DISK_MIB: u64 = 512;
/// The largest persistent disk (1 TiB). A fresh one takes 16 MiB on the host.
pub const MAX_DISK_MIB: u64 = 1024 * 1024;

/// Part of the name of a formatted scratch disk and of its templates' keys: to be changed with [`SCRATCH_OPTIONS`].
const SCRATCH_FORMAT: &str = "ext4-1";
/// The same for persistent disks: to be changed with [`PERSISTENT_OPTIONS`] and [`TUNING`].
const PERSISTENT_FORMAT: &str = "ext4-journal-1";

/// How every disk is formatted (`mke2fs(8)`).
const FORMAT_OPTIONS: &[&str] =
    &["-q", "-F", "-t", "ext4", "-m", "0", "-L", "pyro", "-U", "3b6f3a2e-5a1c-4f0e-9d6b-7079726f0001"];

/// No journal: the disk of a one-shot machine is never mounted twice. Tables are left unwritten, so that a fresh disk
/// takes a few hundred KiB.
const SCRATCH_OPTIONS: &[&str] = &[
    "-O",
    "^has_journal",
    "-E",
    "lazy_itable_init=1,nodiscard,hash_seed=3b6f3a2e-5a1c-4f0e-9d6b-7079726f0002,root_owner=0:0",
];

/// A journal of 64 MiB. `discard` makes holes of the whole file before anything is written, which is free of cost here:
/// by that `mke2fs` knows that the tables read as zeros and marks them as initialised. Otherwise the guest's kernel
/// would write a gigabyte of zeros in the background of its first hour.
const PERSISTENT_OPTIONS: &[&str] = &[
    "-O",
    "has_journal",
    "-J",
    "size=64",
    "-E",
    "lazy_itable_init=1,lazy_journal_init=1,discard,hash_seed=3b6f3a2e-5a1c-4f0e-9d6b-7079726f0002,root_owner=0:0",
];

/// What `tune2fs(8)` adds to a persistent disk: whoever mounts it gives freed blocks back to the host, and does not
/// write any more to a file system that turned out to be damaged.
const TUNING: &[&str] = &["-o", "discard", "-e", "remount-ro"];

/// The disk that is wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DiskSpec {
    /// For one machine: 16 GiB, without a name or a journal, gone with the machine.
    #[default]
    Scratch,
    /// For machines one after the other: a named file with a journal.
    Persistent {
        /// Its size in MiB: [`MIN_DISK_MIB`] to [`MAX_DISK_MIB`].
        size_mib: u64,
    },
}

impl DiskSpec {
    /// The size in MiB.
    pub fn size_mib(self) -> u64 {
        match self {
            Self::Scratch => SCRATCH_MIB,
            Self::Persistent { size_mib } => size_mib,
        }
    }

    /// Size and way of formatting, as part of a template's key.
    pub fn format_text(self) -> String {
        format!("{} {} MiB", self.format_name(), self.size_mib())
    }

    /// Refuses a size that is out of range.
    pub(super) fn validate(self) -> Result<()> {
        match self {
            Self::Persistent { size_mib } if !(MIN_DISK_MIB..=MAX_DISK_MIB).contains(&size_mib) => {
                let message =
                    format!("disk_mib is {size_mib}, which is not in {MIN_DISK_MIB} to {MAX_DISK_MIB}");
                Err(Error::invalid(message).with_hint(
                    "the disk is given in MiB, for example 65536; the host gives it what the guest writes",
                ))
            }
            _ => Ok(()),
        }
    }

    fn format_name(self) -> &'static str {
        match self {
            Self::Scratch => SCRATCH_FORMAT,
            Self::Persistent { .. } => PERSISTENT_FORMAT,
        }
    }

    fn format_options(self) -> &'static [&'static str] {
        match self {
            Self::Scratch => SCRATCH_OPTIONS,
            Self::Persistent { .. } => PERSISTENT_OPTIONS,
        }
    }
}

/// A fresh, formatted disk without a name.
pub fn blank(state_dir: &StateDir, spec: DiskSpec) -> Result<File> {
    private_copy(&original(state_dir, spec)?, state_dir)
}

/// A fresh, formatted disk of this name, which must not be there yet. It is on the host's disk when this returns.
pub fn blank_at(state_dir: &StateDir, spec: DiskSpec, path: &Path) -> Result<File> {
    named_copy(&original(state_dir, spec)?, path)
}

/// A disk that machines have used before, for the next one.
pub fn used_at(path: &Path) -> Result<File> {
    let disk = File::options().read(true).write(true).open(path);
    disk.doing(|| format!("could not open the disk `{}`", path.display()))
}

fn original(state_dir: &StateDir, spec: DiskSpec) -> Result<File> {
    let formatted = formatted(state_dir, spec)?;
    File::open(&formatted).doing(|| format!("could not open the disk `{}`", formatted.display()))
}

/// A copy of a disk for one machine. Shares its blocks with the original where the file system can.
pub fn private_copy(original: &File, state_dir: &StateDir) -> Result<File> {
    make_private_dir(state_dir.cache())?;
    let doing = || format!("could not make a disk in `{}`", state_dir.cache().display());
    let copy = tempfile::tempfile_in(state_dir.cache()).doing(doing)?;
    copy_sparse(original, &copy).doing(doing)?;
    Ok(copy)
}

/// A copy of a disk under a name that must not be there yet, readable by its owner alone. It is on the host's disk
/// when this returns; a copy that failed half-way is removed.
pub fn named_copy(original: &File, path: &Path) -> Result<File> {
    let doing = || format!("could not make the disk `{}`", path.display());
    let copy = File::options().read(true).write(true).create_new(true).mode(0o600).open(path).doing(doing)?;
    let copied = copy_sparse(original, &copy)
        .and_then(|()| copy.sync_all())
        .and_then(|()| File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all());
    if let Err(error) = copied {
        // The error that is reported is the one of the copy.
        let _ = std::fs::remove_file(path);
        return Err(error).doing(doing);
    }
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
            Err(Errno::NXIO) => break,
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
        match copy_file_range(from, Some(&mut read_at), to, Some(&mut write_at), wanted) {
            Ok(0) => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => {}
            // Two file systems of different kinds, or one that cannot: the bytes go through our hands.
            Err(Errno::XDEV | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {
                return copy_bytes(from, to, read_at, end);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn copy_bytes(from: &File, to: &File, start: u64, end: u64) -> std::io::Result<()> {
    let mut buffer = vec![0; 256 * 1024];
    let mut position = start;
    while position < end {
        let wanted = usize::try_from(end - position).unwrap_or(usize::MAX).min(buffer.len());
        from.read_exact_at(&mut buffer[..wanted], position)?;
        to.write_all_at(&buffer[..wanted], position)?;
        position += wanted as u64;
    }
    Ok(())
}

/// Deletes the formatted originals: the next machine makes its own again.
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
fn formatted(state_dir: &StateDir, spec: DiskSpec) -> Result<PathBuf> {
    let folder = state_dir.disks();
    let path = folder.join(format!("{}-{}.img", spec.format_name(), spec.size_mib()));
    if path.exists() {
        return Ok(path);
    }
    let _lock = DirLock::wait(&folder)?;
    if !path.exists() {
        format(&folder, &path, spec)?;
    }
    Ok(path)
}

fn format(folder: &Path, path: &Path, spec: DiskSpec) -> Result<()> {
    let doing = || format!("could not format a disk in `{}`", folder.display());
    sweep_unfinished(folder);
    let unfinished = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(folder).doing(doing)?;
    unfinished.as_file().set_len(spec.size_mib() * 1024 * 1024).doing(doing)?;
    let options = [FORMAT_OPTIONS, spec.format_options()].concat();
    run_e2fs("mkfs.ext4", &options, unfinished.path(), doing)?;
    if matches!(spec, DiskSpec::Persistent { .. }) {
        run_e2fs("tune2fs", TUNING, unfinished.path(), doing)?;
    }
    unfinished.as_file().sync_all().doing(doing)?;
    unfinished.persist(path).map_err(|error| error.error).doing(doing)?;
    Ok(())
}

/// Runs a program of e2fsprogs on a disk.
fn run_e2fs(name: &str, options: &[&str], disk: &Path, doing: impl Fn() -> String) -> Result<()> {
    let program = find_program(name).ok_or_else(|| {
        Error::new(ErrorKind::UnsupportedHost, format!("`{name}` is not in PATH"))
            .with_hint("sudo apt-get install e2fsprogs")
    })?;
    let mut command = Command::new(&program);
    command.args(options).arg(disk).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let output = spawn_owned(command).and_then(Child::wait_with_output).doing(&doing)?;
    if output.status.success() {
        return Ok(());
    }
    let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Error::new(ErrorKind::Io, doing()).with_source(format!("{}: {stderr}", program.display())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

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

    #[test]
    fn bytes_that_go_through_our_hands_are_the_same() {
        let (from, to) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        let content: Vec<u8> = (0..700_000_u32).map(|number| (number % 251) as u8).collect();
        from.write_all_at(&content, 0).unwrap();
        copy_bytes(&from, &to, 1000, 700_000).unwrap();
        let mut copied = vec![0; 700_000];
        to.read_exact_at(&mut copied, 0).unwrap();
        assert!(copied[..1000].iter().all(|&byte| byte == 0) && copied[1000..] == content[1000..]);
    }

    #[test]
    fn a_persistent_disk_has_a_journal_and_needs_no_zeros_written() {
        let home = tempfile::tempdir().unwrap();
        let state_dir = StateDir::below(home.path()).unwrap();
        let path = home.path().join("disk");
        let spec = DiskSpec::Persistent { size_mib: DEFAULT_DISK_MIB };
        let disk = blank_at(&state_dir, spec, &path).unwrap().metadata().unwrap();
        assert_eq!(disk.len(), DEFAULT_DISK_MIB * 1024 * 1024);
        assert!(disk.blocks() * 512 < 8 << 20, "{} blocks", disk.blocks());
        assert_eq!(disk.permissions().mode() & 0o777, 0o600);
        let taken = blank_at(&state_dir, spec, &path).unwrap_err();
        assert!(path.exists() && taken.message().contains("disk"));
        let told = Command::new(find_program("dumpe2fs").unwrap()).arg(&path).output().unwrap();
        let told = String::from_utf8(told.stdout).unwrap();
        assert!(told.contains("has_journal") && told.contains("64M"), "{told}");
        let groups =
            |word| told.lines().filter(|line| line.starts_with("Group ") && line.contains(word)).count();
        assert_eq!((groups("(Blocks "), groups("ITABLE_ZEROED")), (512, 512));
    }

    #[test]
    fn a_persistent_disk_has_a_size_in_range() {
        let validate = |size_mib| DiskSpec::Persistent { size_mib }.validate();
        assert!(validate(MIN_DISK_MIB).is_ok() && validate(MAX_DISK_MIB).is_ok());
        for size_mib in [0, MIN_DISK_MIB - 1, MAX_DISK_MIB + 1, u64::MAX] {
            assert_eq!(validate(size_mib).unwrap_err().kind(), ErrorKind::InvalidArgument);
        }
        assert!(DiskSpec::Scratch.validate().is_ok());
    }
}
