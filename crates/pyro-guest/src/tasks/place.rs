//! Where things are on a machine's disk.
//!
//! ```text
//! /disk/workspace/baseline/tree   the workspace as it was seeded: the lower layer
//! /disk/workspace/changes         the upper layer, and /disk/workspace/work its scratch space
//! /merged/tree                    both layers: the workspace, which commands see as /workspace
//! /merged/staging                 where syncs are prepared: the same mount, so that they are moved by rename(2)
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

/// The folders of a machine, or in tests ordinary ones that stand for them.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) disk: PathBuf,
    pub(crate) merged: PathBuf,
}

impl Place {
    /// Those of the machine that this runs in.
    pub(crate) fn of_machine() -> Self {
        Self { disk: DISK.into(), merged: MERGED.into() }
    }

    /// The baseline, made if it is missing.
    pub(crate) fn make_baseline(&self) -> Result<Directory> {
        let make = || {
            let workspace = Directory::open(&self.disk)?.make_or_open(b"workspace", 0o755)?;
            workspace.make_or_open(b"baseline", 0o755)?.make_or_open(b"tree", 0o755)
        };
        make().at(b"", "could not make the baseline")
    }

    /// The baseline.
    pub(crate) fn baseline(&self) -> Result<Directory> {
        Directory::open(&self.disk.join("workspace/baseline/tree")).at(b"", "could not open the baseline")
    }

    /// What was changed, in the form of an overlay's upper layer; none if nothing was.
    pub(crate) fn changes(&self) -> Result<Option<Directory>> {
        match Directory::open(&self.disk.join("workspace/changes/tree")) {
            Err(Errno::ENOENT) => Ok(None),
            opened => opened.map(Some).at(b"", "could not open the changes"),
        }
    }

    /// The workspace.
    pub(crate) fn tree(&self) -> Result<Directory> {
        self.opened("tree")
    }

    /// Where syncs are prepared.
    pub(crate) fn staging(&self) -> Result<Directory> {
        self.opened("staging")
    }

    /// Whether the workspace is there.
    pub(crate) fn is_open(&self) -> bool {
        self.merged.join("tree").exists()
    }

    fn opened(&self, name: &str) -> Result<Directory> {
        match Directory::open(&self.merged.join(name)) {
            Err(Errno::ENOENT) => Err(failure(TaskFailureKind::Io, b"", "the workspace is not open")),
            opened => opened.at(b"", "could not open the workspace"),
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
