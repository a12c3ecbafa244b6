//! A control group of its own for one command, in a machine (`cgroups(7)`): nothing that the command starts gets out
//! of it, whatever session it makes for itself and whoever adopts it.
//!
//! The group is used for nothing but to find processes: no controller is turned on.

use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

/// How deep groups that the command makes itself are looked for. Killing needs no looking, and reaches all of them.
const MAX_DEPTH: usize = 16;

/// One group. It is removed when it is dropped, if it is empty then.
#[derive(Debug)]
pub(crate) struct Cgroup {
    /// The directory that it is in.
    parent: Arc<OwnedFd>,
    name: String,
    /// Kept open: to kill must not fail for want of a descriptor.
    kill: OwnedFd,
}

impl Cgroup {
    /// Makes an empty group of a name that no other one has.
    pub(crate) fn make(parent: &Arc<OwnedFd>, name: String) -> nix::Result<Self> {
        mkdirat(parent, name.as_str(), Mode::from_bits_truncate(0o755))?;
        let flags = OFlag::O_WRONLY | OFlag::O_CLOEXEC;
        match openat(parent, format!("{name}/cgroup.kill").as_str(), flags, Mode::empty()) {
            Ok(kill) => Ok(Self { parent: Arc::clone(parent), name, kill }),
            Err(errno) => {
                let _ = unlinkat(parent, name.as_str(), UnlinkatFlags::RemoveDir); // nobody is in it
                Err(errno)
            }
        }
    }

    /// What a process writes 0 to in order to enter.
    pub(crate) fn entrance(&self) -> nix::Result<OwnedFd> {
        self.open_file("cgroup.procs", OFlag::O_WRONLY)
    }

    /// Kills everything in it.
    pub(crate) fn kill(&self) {
        let _ = nix::unistd::write(&self.kill, b"1"); // fails only when the group is gone
    }

    /// Whether nothing in it is alive, as far as that can be told.
    pub(crate) fn is_empty(&self) -> bool {
        let mut text = String::new();
        match self.open_file("cgroup.events", OFlag::O_RDONLY) {
            Ok(events) => {
                File::from(events).read_to_string(&mut text).is_ok()
                    && text.lines().any(|line| line == "populated 0")
            }
            Err(errno) => errno == Errno::ENOENT,
        }
    }

    /// The processes in it and below, as far as we see them.
    pub(crate) fn processes(&self) -> Vec<i32> {
        let mut found = Vec::new();
        processes_in(&self.parent, &self.name, MAX_DEPTH, &mut found);
        found
    }

    /// Removes it. Gives whether it is gone: it has to be empty.
    pub(crate) fn remove(&self) -> bool {
        remove_in(&self.parent, &self.name, MAX_DEPTH)
    }

    fn open_file(&self, name: &str, flags: OFlag) -> nix::Result<OwnedFd> {
        openat(
            &self.parent,
            format!("{}/{name}", self.name).as_str(),
            flags | OFlag::O_CLOEXEC,
            Mode::empty(),
        )
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = self.remove(); // otherwise it is left behind
    }
}

fn processes_in(parent: impl AsFd, name: &str, depth: usize, found: &mut Vec<i32>) {
    let Ok(mut group) = open_group(parent, name) else { return };
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
    let mut text = String::new();
    if let Ok(file) = openat(&group, "cgroup.procs", flags, Mode::empty()) {
        let _ = File::from(file).read_to_string(&mut text); // those that were read count
    }
    found.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()));
    if depth > 0 {
        for below in groups_in(&mut group) {
            processes_in(&group, &below, depth - 1, found);
        }
    }
}

fn remove_in(parent: impl AsFd, name: &str, depth: usize) -> bool {
    let remove = || match unlinkat(&parent, name, UnlinkatFlags::RemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => true,
        Err(_) => false,
    };
    if remove() {
        return true;
    }
    let Ok(mut group) = open_group(&parent, name) else { return false };
    depth > 0 && groups_in(&mut group).iter().all(|below| remove_in(&group, below, depth - 1)) && remove()
}

fn open_group(parent: impl AsFd, name: &str) -> nix::Result<Dir> {
    Dir::openat(parent, name, OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
}

/// The names of the groups directly in a group.
fn groups_in(group: &mut Dir) -> Vec<String> {
    let entries = group.iter().flatten().filter(|entry| entry.file_type() == Some(Type::Directory));
    let names = entries.filter_map(|entry| entry.file_name().to_str().ok().map(str::to_owned));
    names.filter(|name| name != "." && name != "..").collect()
}

#[cfg(test)]
mod tests;
