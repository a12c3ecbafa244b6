//! What the user names as the source of a tree: a directory or a tar archive.

use super::shown::shown;
use super::tar_reader::read_up_to;
use crate::error::{Context, Error, ErrorKind, Result};
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The names of archives.
const ARCHIVE_NAMES: [&str; 4] = [".tar", ".tar.gz", ".tgz", ".tar.zst"];

const ACCEPTED: &str = "name a directory, or an archive that ends in .tar, .tar.gz, .tgz or .tar.zst";

/// An open directory or archive.
#[derive(Debug)]
pub struct TreeSource {
    path: PathBuf,
    pub(super) opened: Opened,
}

#[derive(Debug)]
pub(super) enum Opened {
    Directory(File),
    Archive(Archive),
}

/// An archive at its first byte, and how it is packed.
#[derive(Debug)]
pub(super) struct Archive {
    pub file: File,
    pub compression: Compression,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Gzip,
    Zstd,
}

impl TreeSource {
    /// Opens a directory, or an archive: `.tar`, `.tar.gz`, `.tgz`, `.tar.zst`. How an archive is compressed is told by
    /// its content. A link at the path itself is followed.
    ///
    /// # Errors
    /// `not_found` for a missing path, `invalid_argument` for anything else than those, `io`.
    pub fn open(path: &Path) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC; // a FIFO would block
        let name = shown(path.as_os_str().as_bytes());
        let file: File = match rustix::fs::open(path, flags, Mode::empty()) {
            Ok(file) => file.into(),
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => {
                return Err(Error::new(ErrorKind::NotFound, format!("`{name}` does not exist"))
                    .with_hint("check the path; it is one of this host"));
            }
            Err(rustix::io::Errno::NXIO) => return Err(Self::neither(&name)), // a socket
            Err(error) => {
                let failed = Err(error).doing(|| format!("could not open `{name}`"));
                return failed
                    .map_err(|error: Error| error.with_hint("make it readable for you, or name another"));
            }
        };
        let found = file.metadata().doing(|| format!("could not look at `{name}`"))?;
        let opened = if found.is_dir() {
            Opened::Directory(file)
        } else if found.is_file() {
            Opened::Archive(Archive::recognise(file, path, &name)?)
        } else {
            return Err(Self::neither(&name));
        };
        Ok(Self { path: path.to_owned(), opened })
    }

    /// What it is, in the words of the results: `directory` or `tar_archive`.
    pub fn mode(&self) -> &'static str {
        match self.opened {
            Opened::Directory(_) => "directory",
            Opened::Archive(_) => "tar_archive",
        }
    }

    /// The path as it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it is and its name, for messages.
    pub(super) fn subject(&self) -> String {
        let name = shown(self.path.as_os_str().as_bytes());
        match self.opened {
            Opened::Directory(_) => format!("the directory `{name}`"),
            Opened::Archive(_) => format!("the archive `{name}`"),
        }
    }

    fn neither(name: &str) -> Error {
        Error::invalid(format!("`{name}` is neither a directory nor a tar archive")).with_hint(ACCEPTED)
    }
}

impl Archive {
    fn recognise(mut file: File, path: &Path, name: &str) -> Result<Self> {
        let doing = || format!("could not read `{name}`");
        let mut head = [0; 512];
        let n_bytes = read_up_to(&mut file, &mut head).doing(doing)?;
        file.seek(SeekFrom::Start(0)).doing(doing)?;
        let head = &head[..n_bytes];
        let file_name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        let is_named = ARCHIVE_NAMES.iter().any(|ending| file_name.ends_with(ending));
        let compression = if head.starts_with(&[0x1f, 0x8b]) {
            Compression::Gzip
        } else if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) || is_skippable_zstd(head) {
            Compression::Zstd
        } else if head.get(257..262) == Some(b"ustar") {
            return Ok(Self { file, compression: Compression::None });
        } else {
            Compression::None // perhaps an archive as of old, or an empty one: its reader will tell
        };
        if is_named { Ok(Self { file, compression }) } else { Err(TreeSource::neither(name)) }
    }
}

fn is_skippable_zstd(head: &[u8]) -> bool {
    matches!(head, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..])
}
