//! Where the files of a workspace are.
//!
//! On a machine's disk:
//!
//! ```text
//! /disk/workspace/baseline/tree   the workspace as it was seeded: the lower layer
//! /disk/workspace/changes         the upper layer, and /disk/workspace/work its scratch space
//! /merged/tree                    both layers: the workspace, which commands see as /workspace
//! /merged/staging                 where syncs are prepared: the same mount, so that they are moved by rename(2)
//! ```
//!
//! In a folder of the host, where there is no machine:
//!
//! ```text
//! baseline    the workspace as it was seeded: a copy, made when the workspace is opened
//! workspace   the workspace, which commands work in
//! staging     where syncs are prepared, and the baseline
//! ```

use super::directory::Directory;
use super::failure::{At, Result, failure};
use nix::errno::Errno;
use pyro_protocol::task::TaskFailureKind;
use pyro_protocol::tree::check_path;
use std::path::PathBuf;

/// Where the disk is mounted.
pub(crate) const DISK: &str = "/disk";

/// Where the two layers of the workspace are mounted as one.
pub(crate) const MERGED: &str = "/merged";

/// Folders of a workspace that lies in a folder of the host.
pub(crate) const BASELINE: &str = "baseline";
pub(crate) const TREE: &str = "workspace";
pub(crate) const STAGING: &str = "staging";

/// The folders of a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// Those of a machine, or in tests ordinary ones that stand for them.
    Machine {
        /// Where the disk is mounted.
        disk: PathBuf,
        /// Where the layers are mounted as one.
        merged: PathBuf,
    },
    /// One folder of the host, which belongs to an ordinary user.
    Folder(PathBuf),
}

impl Place {
    /// Those of the machine that this runs in.
    pub(crate) fn of_machine() -> Self {
        Self::Machine { disk: DISK.into(), merged: MERGED.into() }
    }

    /// What a seed goes to, made if it is missing.
    pub(crate) fn make_seeded(&self) -> Result<Directory> {
        let make = || match self {
            Self::Machine { disk, .. } => {
                let workspace = Directory::open(disk)?.make_or_open(b"workspace", 0o755)?;
                workspace.make_or_open(b"baseline", 0o755)?.make_or_open(b"tree", 0o755)
            }
            Self::Folder(folder) => Directory::open(folder)?.make_or_open(TREE.as_bytes(), 0o755),
        };
        make().at(b"", "could not make the baseline")
    }

    /// The baseline.
    pub(crate) fn baseline(&self) -> Result<Directory> {
        let path = match self {
            Self::Machine { disk, .. } => disk.join("workspace/baseline/tree"),
            Self::Folder(folder) => folder.join(BASELINE),
        };
        Directory::open(&path).at(b"", "could not open the baseline")
    }

    /// Which names may have been changed.
    pub(crate) fn changes(&self) -> Result<Hint> {
        let Self::Machine { disk, .. } = self else { return Ok(Hint::Everything) };
        match Directory::open(&disk.join("workspace/changes/tree")) {
            Err(Errno::ENOENT) => Ok(Hint::Nothing),
            opened => opened.map(Hint::Upper).at(b"", "could not open the changes"),
        }
    }

    /// The workspace.
    pub(crate) fn tree(&self) -> Result<Directory> {
        self.opened("tree", TREE)
    }

    /// Where syncs are prepared.
    pub(crate) fn staging(&self) -> Result<Directory> {
        self.opened("staging", STAGING)
    }

    /// Whether the workspace is there, and its baseline is what it will always be.
    pub(crate) fn is_open(&self) -> bool {
        match self {
            Self::Machine { merged, .. } => merged.join("tree").exists(),
            Self::Folder(folder) => folder.join(BASELINE).exists(),
        }
    }

    /// What an entry may be that comes in with a tree.
    pub(crate) fn modes(&self) -> Modes {
        match self {
            Self::Machine { .. } => Modes::Any,
            Self::Folder(_) => Modes::OfOrdinaryUser,
        }
    }

    fn opened(&self, merged_name: &str, folder_name: &str) -> Result<Directory> {
        let path = match self {
            Self::Machine { merged, .. } => merged.join(merged_name),
            Self::Folder(folder) => folder.join(folder_name),
        };
        match Directory::open(&path) {
            Err(Errno::ENOENT) => Err(failure(TaskFailureKind::Io, b"", "the workspace is not open")),
            opened => opened.at(b"", "could not open the workspace"),
        }
    }
}

/// Which names of a directory are worth a look.
pub(crate) enum Hint {
    /// None.
    Nothing,
    /// Those that this directory has.
    Upper(Directory),
    /// All.
    Everything,
}

/// The modes that entries may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Modes {
    /// Whatever they had: root can work with any.
    Any,
    /// None that gives a program the rights of another user, and none that keeps their owner out: who is not root
    /// could not work on, move or delete a tree with such a directory in it.
    OfOrdinaryUser,
}

impl Modes {
    /// The mode of a file.
    pub(crate) fn of_file(self, mode: u32) -> u32 {
        match self {
            Self::Any => mode,
            Self::OfOrdinaryUser => mode & 0o1777 | 0o400,
        }
    }

    /// The mode of a directory.
    pub(crate) fn of_directory(self, mode: u32) -> u32 {
        match self {
            Self::Any => mode,
            Self::OfOrdinaryUser => mode & 0o1777 | 0o700,
        }
    }
}

/// Checks a path that the host gave; empty is the workspace itself.
pub(crate) fn checked(path: &str) -> Result<&[u8]> {
    let path = path.as_bytes();
    match check_path(path) {
        _ if path.is_empty() => Ok(path),
        Ok(()) => Ok(path),
        Err(fault) => Err(failure(TaskFailureKind::UnsafePath, path, fault.to_string())),
    }
}

/// The path of an entry of a directory that has a path itself, which may be empty.
pub(crate) fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    match directory {
        b"" => name.to_vec(),
        _ => [directory, b"/", name].concat(),
    }
}

/// The directory and the name of a path, which is not empty.
pub(crate) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}

/// The names in a path, which may be empty.
pub(crate) fn names(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|&byte| byte == b'/').filter(|name| !name.is_empty())
}
