//! Every difference between the baseline and the workspace, sorted by the bytes of the path.
//!
//! What counts is the baseline against the workspace as it is. The upper layer of the overlay between them is only
//! taken as a hint: a name that it does not have was not touched, so that a small change of a great tree is found
//! without a look at the tree; without an overlay there is no hint. Below a directory that the overlay took from elsewhere (it was renamed), or that hides
//! what was there, names of the upper layer say nothing, and everything is compared.

use super::content;
use super::directory::{Directory, Kind, kind};
use super::failure::{At, Result, failure, not_written};
use super::place::{Hint, Place, join};
use crate::sys;
use nix::errno::Errno;
use nix::fcntl::readlinkat;
use nix::libc::S_IFMT;
use nix::sys::stat::FileStat;
use pyro_protocol::task::TaskFailureKind::NotCarried;
use pyro_protocol::tree::{Change, MAX_PATH, Node, NodeKind, Record, TreeWriter};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::os::unix::ffi::OsStringExt;

/// What the overlay notes at a directory of its upper layer below which the names say nothing.
const ELSEWHERE: [&std::ffi::CStr; 2] = [c"trusted.overlay.opaque", c"trusted.overlay.redirect"];

/// Writes every difference, and the contents of text files up to a size.
pub(crate) fn diff(max_text_bytes: u64, place: &Place, to: impl Write) -> Result<()> {
    let (baseline, merged, hint) = (place.baseline()?, place.tree()?, place.changes()?);
    compare(&Pair { before: Some(baseline), after: Some(merged), hint }, max_text_bytes, to)
}

/// Writes every difference between two directories.
pub(crate) fn compare(pair: &Pair, max_text_bytes: u64, to: impl Write) -> Result<()> {
    let mut diff = Diff { max_text_bytes, to: TreeWriter::new(to) };
    diff.directory(pair, &[])?;
    diff.to.finish().map(drop).map_err(|error| not_written(&error))
}

/// A directory before and after. A side that is missing has no entries.
pub(crate) struct Pair {
    pub(crate) before: Option<Directory>,
    pub(crate) after: Option<Directory>,
    pub(crate) hint: Hint,
}

impl Pair {
    fn names(&self) -> nix::Result<BTreeSet<Vec<u8>>> {
        let sides = match &self.hint {
            Hint::Nothing => [None, None],
            Hint::Upper(upper) => [Some(upper), None],
            Hint::Everything => [self.before.as_ref(), self.after.as_ref()],
        };
        let mut names = BTreeSet::new();
        for side in sides.into_iter().flatten() {
            names.extend(side.names()?);
        }
        Ok(names)
    }

    /// The directory of this name on either side.
    fn child(&self, name: &[u8]) -> nix::Result<Self> {
        let child = |side: &Option<Directory>| match side {
            Some(side) => side.child_if_any(name),
            None => Ok(None),
        };
        let (before, after) = (child(&self.before)?, child(&self.after)?);
        let hint = match &self.hint {
            Hint::Upper(upper) if before.is_some() && after.is_some() => match upper.child_if_any(name)? {
                Some(upper) if !ELSEWHERE.iter().any(|note| sys::has_attribute(&upper, note)) => {
                    Hint::Upper(upper)
                }
                _ => Hint::Everything,
            },
            _ => Hint::Everything,
        };
        Ok(Self { before, after, hint })
    }
}

/// What one side has at a path.
struct Side {
    kind: NodeKind,
    stat: FileStat,
    file: Option<File>,
}

impl Side {
    fn look(directory: Option<&Directory>, name: &[u8]) -> nix::Result<Option<Self>> {
        let Some(directory) = directory else { return Ok(None) };
        let Some(stat) = directory.stat(name)? else { return Ok(None) };
        let kind = match kind(&stat) {
            Kind::Directory => NodeKind::Directory,
            Kind::Other => NodeKind::Other,
            Kind::Symlink => match readlinkat(directory, name) {
                Ok(target) => NodeKind::Symlink { target: target.into_vec() },
                Err(Errno::ENOENT | Errno::EINVAL) => return Ok(None), // has changed this moment
                Err(errno) => return Err(errno),
            },
            Kind::File => {
                let Some((file, stat)) = directory.file(name)? else { return Ok(None) };
                let kind = NodeKind::File { size: stat.st_size.unsigned_abs() };
                return Ok(Some(Self { kind, stat, file: Some(file) }));
            }
        };
        Ok(Some(Self { kind, stat, file: None }))
    }

    fn mode(&self) -> u32 {
        self.stat.st_mode & 0o7777
    }

    /// The file and its size, if it is one.
    fn file(&self) -> Option<(&File, u64)> {
        self.file.as_ref().map(|file| (file, self.stat.st_size.unsigned_abs()))
    }

    /// Whether all but the mode is the same.
    fn has_content_of(&self, other: &Self) -> std::io::Result<bool> {
        if self.kind != other.kind {
            return Ok(false);
        }
        match (self.file(), other.file()) {
            (Some((one, size)), Some((two, _))) => content::same(one, two, size),
            _ if self.kind == NodeKind::Other => Ok(self.stat.st_mode & S_IFMT
                == other.stat.st_mode & S_IFMT
                && self.stat.st_rdev == other.stat.st_rdev),
            _ => Ok(true),
        }
    }
}

struct Diff<W> {
    max_text_bytes: u64,
    to: TreeWriter<W>,
}

impl<W: Write> Diff<W> {
    /// Compares what two directories have. An entry is dealt with in the place of its name, and what is in it in the
    /// place of its name with a slash: `a`, `a-b`, `a/b`.
    fn directory(&mut self, pair: &Pair, path: &[u8]) -> Result<()> {
        let doing = "could not compare the directory";
        let mut left = pair.names().at(path, doing)?;
        while let Some(mut name) = left.pop_first() {
            if name.last() == Some(&b'/') {
                name.pop();
                let path = join(path, &name);
                let child = pair.child(&name).at(&path, doing)?;
                self.directory(&child, &path)?;
            } else if self.entry(pair, &name, &join(path, &name))? {
                name.push(b'/');
                left.insert(name);
            }
        }
        Ok(())
    }

    /// Compares one entry. Gives whether it is a directory on some side.
    fn entry(&mut self, pair: &Pair, name: &[u8], path: &[u8]) -> Result<bool> {
        if path.len() > MAX_PATH {
            return Err(failure(NotCarried, path, "its path is longer than 4096 bytes"));
        }
        let doing = "could not compare the entry";
        let before = Side::look(pair.before.as_ref(), name).at(path, doing)?;
        let after = Side::look(pair.after.as_ref(), name).at(path, doing)?;
        let is_directory =
            [&before, &after].into_iter().flatten().any(|side| side.kind == NodeKind::Directory);
        let same_content = match (&before, &after) {
            (None, None) => return Ok(false),
            (Some(before), Some(after)) => {
                let same = before.has_content_of(after).at(path, doing)?;
                if same && before.mode() == after.mode() {
                    return Ok(is_directory);
                }
                same
            }
            _ => false,
        };
        let sides = [before, after];
        let contents = match same_content {
            true => Contents::Equal,
            false if self.are_text(&sides).at(path, doing)? => Contents::Sent,
            false => Contents::Untold,
        };
        self.change(&sides, contents, path)?;
        Ok(is_directory)
    }

    /// Whether every file among the sides is text that is not too long.
    fn are_text(&self, sides: &[Option<Side>; 2]) -> std::io::Result<bool> {
        for (file, size) in sides.iter().flatten().filter_map(Side::file) {
            if size > self.max_text_bytes || !content::is_text(file, size)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn change(&mut self, sides: &[Option<Side>; 2], contents: Contents, path: &[u8]) -> Result<()> {
        let [before, after] = [&sides[0], &sides[1]].map(|side| {
            side.as_ref().map(|side| Node {
                kind: side.kind.clone(),
                mode: side.mode(),
                content: contents != Contents::Untold && side.file.is_some(),
            })
        });
        let change = Change { path: path.to_vec(), before, after };
        self.to.record(&Record::Change(change)).map_err(|error| not_written(&error))?;
        for (file, size) in sides.iter().flatten().filter_map(Side::file) {
            match contents {
                Contents::Untold => {}
                Contents::Equal => self.to.end_of_content().map_err(|error| not_written(&error))?,
                Contents::Sent => content::send(file, size, &mut self.to, path)?,
            }
        }
        Ok(())
    }
}

/// What is told of the contents of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Contents {
    /// They are binary or too large.
    Untold,
    /// They are the same, which is told by two empty ones.
    Equal,
    /// Text, each whole.
    Sent,
}
