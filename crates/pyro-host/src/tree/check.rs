//! Which trees are refused. Pure: it looks at entries one after another and at no file.
//!
//! Two paths are the same if the first 128 bits of their SHA-256 are: a tree of a million entries takes some 40 MB,
//! however long its paths are.

use super::shown::shown;
use crate::error::{Error, ErrorKind, Result};
use pyro_protocol::tree::{Entry, EntryKind, MAX_PATH, PathFault, check_path};
use sha2::{Digest, Sha256};
use std::collections::HashMap;

#[cfg(test)]
mod tests;

/// The most paths of a tree, directories that are only implied included. The disk of a machine has a third as many
/// inodes.
const MAX_PATHS: usize = 3_500_000;

/// The longest target of a link (`PATH_MAX` counts the zero byte at the end).
const MAX_TARGET: usize = MAX_PATH - 1;

/// The rules of a tree and what it has shown so far.
#[derive(Debug)]
pub struct TreeCheck {
    subject: String,
    rules: Rules,
    seen: HashMap<Key, Seen>,
}

type Key = [u8; 16];

#[derive(Debug)]
enum Rules {
    /// What goes into a guest, to this directory (its components).
    Import { destination: Vec<Vec<u8>> },
    /// What a guest sends.
    Export,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// A directory that was never mentioned, but something lies in it.
    Implied,
    /// A directory.
    Directory,
    /// A regular file, or another name of one.
    File,
    /// A symbolic link.
    Symlink,
    /// Not there yet; but a link leads into it and out by `..`, so that it must not become a link itself.
    Crossed,
}

impl TreeCheck {
    /// Checks what goes into a guest. `subject` names it in messages ("the archive `x.tar`"); `destination` is the
    /// directory of the guest that it goes to, as an absolute path: links must not leave it.
    pub fn import(subject: impl Into<String>, destination: &str) -> Self {
        let destination = plain_components(destination.as_bytes()).map(<[u8]>::to_vec).collect();
        Self { subject: subject.into(), rules: Rules::Import { destination }, seen: HashMap::new() }
    }

    /// Checks what comes out of a guest, below its root. Every directory must have been mentioned before what lies in
    /// it, and the targets of symbolic links are free: whoever writes this tree follows none.
    pub fn export(subject: impl Into<String>) -> Self {
        Self { subject: subject.into(), rules: Rules::Export, seen: HashMap::new() }
    }

    /// Takes the next entry.
    ///
    /// # Errors
    /// `unsafe_path` for what leads out of the tree; `invalid_argument` (in an export: `guest_unreachable`, for a
    /// guest agent does not send that) for what is malformed. Both name the entry.
    pub fn add(&mut self, entry: &Entry) -> Result<()> {
        let path = &entry.path[..];
        check_path(path).map_err(|fault| self.path_fault(path, fault))?;
        self.check_parents(path)?;
        let seen = match &entry.kind {
            EntryKind::Directory => Seen::Directory,
            EntryKind::File { .. } => Seen::File,
            EntryKind::Symlink { target } => {
                self.check_symlink(path, target)?;
                Seen::Symlink
            }
            EntryKind::HardLink { target } => {
                self.check_hard_link(path, target)?;
                Seen::File
            }
        };
        self.place(path, seen)
    }

    /// The refusal of something that is neither a file nor a directory nor a link; `what` names it ("a socket").
    pub fn not_carried(&self, path: &[u8], what: &str) -> Error {
        self.malformed(path, &format!("it is {what}; only files, directories and links are carried over"))
            .with_hint("leave it out")
    }

    /// The refusal of an entry as malformed.
    pub(super) fn malformed(&self, path: &[u8], why: &str) -> Error {
        let kind = match self.rules {
            Rules::Import { .. } => ErrorKind::InvalidArgument,
            Rules::Export => ErrorKind::GuestUnreachable,
        };
        self.refusal(kind, path, why)
    }

    fn leads_out(&self, path: &[u8], why: &str) -> Error {
        self.refusal(ErrorKind::UnsafePath, path, why)
    }

    fn refusal(&self, kind: ErrorKind, path: &[u8], why: &str) -> Error {
        Error::new(kind, format!("{} is refused because of its entry `{}`: {why}", self.subject, shown(path)))
    }

    fn path_fault(&self, path: &[u8], fault: PathFault) -> Error {
        match fault {
            PathFault::Absolute | PathFault::Parent => self
                .leads_out(path, &fault.to_string())
                .with_hint("make it again with relative names that stay below one directory"),
            _ => self.malformed(path, &fault.to_string()).with_hint("rename it or leave it out"),
        }
    }

    /// The nearest parent that is known must be a directory; those between it and the entry become implied ones.
    fn check_parents(&mut self, path: &[u8]) -> Result<()> {
        let mut missing = Vec::new();
        let mut end = path.len();
        while let Some(slash) = path[..end].iter().rposition(|&byte| byte == b'/') {
            end = slash;
            let key = key(&path[..end]);
            match self.seen.get(&key) {
                Some(Seen::Directory | Seen::Implied) => break,
                Some(Seen::Symlink) => {
                    let why = format!("it lies below `{}`, which is a link", shown(&path[..end]));
                    return Err(self
                        .leads_out(path, &why)
                        .with_hint("leave the link or what lies below it out"));
                }
                Some(Seen::File) => {
                    let why = format!("it lies below `{}`, which is a file", shown(&path[..end]));
                    return Err(self.malformed(path, &why));
                }
                Some(Seen::Crossed) | None => missing.push(key),
            }
        }
        if !missing.is_empty() && matches!(self.rules, Rules::Export) {
            return Err(self.malformed(path, "its directory was not sent before it"));
        }
        for key in missing {
            self.remember(path, key, Seen::Implied)?;
        }
        Ok(())
    }

    fn place(&mut self, path: &[u8], new: Seen) -> Result<()> {
        let key = key(path);
        match (self.seen.get(&key), new) {
            (Some(Seen::Implied), Seen::Directory) | (None, _) => {}
            (Some(Seen::Crossed), Seen::Symlink) => {
                let why = "another link leads through it and back by `..`";
                return Err(self.leads_out(path, why).with_hint("leave one of the two links out"));
            }
            (Some(Seen::Crossed), _) => {}
            (Some(old), new) => {
                let why = match (old, new) {
                    (Seen::Implied, _) => "something else lies below it, as if it were a directory",
                    (old, new) if *old == new => "it comes twice",
                    _ => "another entry of another type has the same path",
                };
                return Err(self.malformed(path, why).with_hint("make it again with each path once"));
            }
        }
        self.remember(path, key, new)
    }

    fn remember(&mut self, path: &[u8], key: Key, seen: Seen) -> Result<()> {
        if self.seen.len() >= MAX_PATHS && !self.seen.contains_key(&key) {
            return Err(
                self.malformed(path, &format!("it comes after {MAX_PATHS} others, which is the limit"))
            );
        }
        self.seen.insert(key, seen);
        Ok(())
    }

    fn check_hard_link(&self, path: &[u8], target: &[u8]) -> Result<()> {
        if let Err(fault) = check_path(target) {
            let why = format!("it is a hard link to `{}`: {fault}", shown(target));
            return Err(match fault {
                PathFault::Absolute | PathFault::Parent => self.leads_out(path, &why),
                _ => self.malformed(path, &why),
            });
        }
        if self.seen.get(&key(target)) == Some(&Seen::File) {
            return Ok(());
        }
        let why = format!("it is a hard link to `{}`, which is no file that came before it", shown(target));
        Err(self.malformed(path, &why).with_hint("put the file itself in its place"))
    }

    fn check_symlink(&mut self, path: &[u8], target: &[u8]) -> Result<()> {
        if target.is_empty() || target.len() > MAX_TARGET || target.contains(&0) {
            return Err(
                self.malformed(path, "it is a link whose target is empty, too long or has a zero byte")
            );
        }
        let crossed = match &self.rules {
            Rules::Export => return Ok(()),
            Rules::Import { destination } => crossed_by_link(path, target, destination),
        };
        let Some(crossed) = crossed else {
            let why = format!("it is a link to `{}`, which leaves the destination", shown(target));
            return Err(self.leads_out(path, &why).with_hint("leave it out, or put a copy in its place"));
        };
        crossed.iter().try_for_each(|directory| self.cross(path, directory))
    }

    /// Notes that a link leads into a directory and out by `..`. That is the same place for everyone only as long as
    /// neither it nor anything above it is a link.
    fn cross(&mut self, link: &[u8], directory: &[u8]) -> Result<()> {
        let ends = directory.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        for end in ends.chain([directory.len()]) {
            let key = key(&directory[..end]);
            match self.seen.get(&key) {
                Some(Seen::Symlink) => {
                    let way = shown(&directory[..end]);
                    let why = format!("its target leads through the link `{way}` and back by `..`");
                    return Err(self
                        .leads_out(link, &why)
                        .with_hint("leave it out, or name its target directly"));
                }
                Some(_) => {}
                None => self.remember(link, key, Seen::Crossed)?,
            }
        }
        Ok(())
    }
}

/// Follows the target of a link by its words alone: the directories that it enters by name and leaves by `..`, or
/// `None` if it leaves the destination.
fn crossed_by_link(path: &[u8], target: &[u8], destination: &[Vec<u8>]) -> Option<Vec<Vec<u8>>> {
    let mut rest: Vec<&[u8]> = plain_components(target).collect();
    let mut at: Vec<&[u8]> = Vec::new();
    if target.starts_with(b"/") {
        if rest.len() < destination.len() || !rest.iter().zip(destination).all(|(a, b)| a == b) {
            return None;
        }
        rest.drain(..destination.len());
    } else {
        at = path.split(|&byte| byte == b'/').collect();
        at.pop();
    }
    let mut certain = at.len(); // so many components are directories of this tree, and no links
    let mut crossed = Vec::new();
    for component in rest {
        if component != b".." {
            at.push(component);
            continue;
        }
        if at.len() > certain {
            crossed.push(at.join(&b'/'));
        }
        at.pop()?;
        certain = certain.min(at.len());
    }
    Some(crossed)
}

fn plain_components(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|&byte| byte == b'/').filter(|name| !name.is_empty() && *name != b".")
}

fn key(path: &[u8]) -> Key {
    let mut key = Key::default();
    key.copy_from_slice(&Sha256::digest(path)[..16]);
    key
}
