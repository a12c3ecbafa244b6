//! A tree into the workspace, all of it or nothing.
//!
//! ```text
//! staging/<name>/tree   the tree is imported here; whoever works on it holds a lock on staging/<name>
//!                       may it come into the workspace? is there room? written to the disk
//! staging/commit-<name> by this rename the sync is decided: from here on it is finished, now or after a restart
//!                       the tree is moved into the workspace, entry by entry (see `apply`)
//! staging/done-<n>      by this rename it is carried out; what is left of it is removed
//! staging/stuck-<n>     or it can be carried out no further: it is given up, and kept for a while (see `stuck`)
//! ```
//!
//! Only the holder of the lock on `staging` itself looks at the workspace or changes it, so a `commit-` that he finds
//! is of one who was killed: he finishes it or gives it up. Any other that nobody holds a lock on, and that is not
//! stuck, is removed: it was never decided, or is done.

use super::apply::{Target, apply};
use super::check::check;
use super::directory::Directory;
use super::failure::{At, Result, failure, refused};
use super::import::{Counts, import};
use super::place::{Modes, Place, checked};
use super::stuck::{STUCK, given_up, in_part, next_name, set_aside};
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, Flock, FlockArg, OFlag, fallocate, openat, renameat};
use nix::sys::stat::Mode;
use nix::sys::statvfs::fstatvfs;
use nix::unistd::syncfs;
use pyro_protocol::task::TaskFailure;
use pyro_protocol::task::TaskFailureKind::{Io, NoSpace};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;

/// What begins the name of a sync that is decided.
const DECIDED: &[u8] = b"commit-";

/// What begins the name of one that is carried out.
const DONE: &[u8] = b"done-";

/// The imported tree.
const TREE: &[u8] = b"tree";

/// The file that says where the tree goes.
const DESTINATION: &[u8] = b"destination";

/// The file that keeps the room which moving the tree will take.
const BALLAST: &[u8] = b"ballast";

/// Room that one directory may take when it is copied to the upper layer, and one more name in a directory.
const DIRECTORY_BYTES: u64 = 8192;
const NAME_BYTES: u64 = 512;
const BALLAST_MIN_BYTES: u64 = 1024 * 1024;

/// Inodes that moving takes beside those of the directories: links to one whiteout, scratch entries.
const SPARE_INODES: u64 = 64;

/// How often commands may get in the way before that is a failure.
const ATTEMPTS: u32 = 100;

type Lock = Flock<OwnedFd>;

/// Reads a tree and brings it to a directory of the workspace. When this returns `Ok` the tree is on the disk; an
/// error before the sync is decided leaves the workspace as it was. One after that says that a part is in place: it was
/// told, so that nobody finishes the sync later, over what was changed meanwhile.
///
/// Gives the warning that an earlier sync had to be given up.
pub(crate) fn sync(from: impl Read, destination: &str, place: &Place) -> Result<Option<TaskFailure>> {
    let destination = checked(destination)?;
    let site = Site::of(place)?;
    let staged = Staged::begin(&site.staging)?;
    let (turn, warning) = match decide(from, destination, &site, &staged) {
        Ok(decided) => decided,
        Err(failure) => {
            let _ = site.staging.remove(&staged.name); // else the next one does
            return Err(failure);
        }
    };
    let name = staged.decided_name();
    if let Err(failure) = finish(&name, &site) {
        let _ = set_aside(&name, &site.staging); // else the next one does
        return Err(failure);
    }
    drop(turn);
    Ok(warning)
}

/// Finishes what was decided, and removes what was not. Gives the warning that something had to be given up.
pub(crate) fn recover(place: &Place) -> Result<Option<TaskFailure>> {
    let site = Site::of(place)?;
    let _turn = take_turn(&site.staging)?;
    let warning = clear(&site)?;
    syncfs(&site.staging).at(b"", "could not write to the disk")?;
    Ok(warning)
}

/// What syncs work on.
struct Site {
    staging: Directory,
    workspace: Directory,
    modes: Modes,
}

impl Site {
    fn of(place: &Place) -> Result<Self> {
        Ok(Self { staging: place.staging()?, workspace: place.tree()?, modes: place.modes() })
    }
}

/// A sync under way.
struct Staged {
    name: Vec<u8>,
    directory: Directory,
    /// Says that somebody is at work on it.
    _lock: Lock,
}

impl Staged {
    fn begin(staging: &Directory) -> Result<Self> {
        let doing = "could not begin a sync";
        for number in 0_u32.. {
            let name = format!("{}-{number}", std::process::id()).into_bytes();
            let directory = match staging.make(&name, 0o700) {
                Err(Errno::EEXIST | Errno::ENOENT) => continue, // ENOENT: taken for abandoned before it was opened
                directory => directory.at(b"", doing)?,
            };
            // Somebody may take it for abandoned until it is locked: then it is left to him.
            let Some(lock) = try_lock(staging, &name).at(b"", doing)? else { continue };
            let (ours, there) =
                (directory.stat_itself().at(b"", doing)?, staging.stat(&name).at(b"", doing)?);
            if there.is_some_and(|there| there.st_ino == ours.st_ino) {
                return Ok(Self { name, directory, _lock: lock });
            }
        }
        Err(failure(NoSpace, b"", doing))
    }

    fn decided_name(&self) -> Vec<u8> {
        [DECIDED, &self.name].concat()
    }
}

/// Everything up to the rename that decides. Gives the lock on `staging`, and what there is to warn of.
fn decide(
    from: impl Read,
    destination: &[u8],
    site: &Site,
    staged: &Staged,
) -> Result<(Lock, Option<TaskFailure>)> {
    let staging = &site.staging;
    let tree = staged.directory.make(TREE, 0o755).at(b"", "could not begin a sync")?;
    let counts = import(from, &tree, destination, site.modes)?;
    write_file(&staged.directory, DESTINATION, destination).at(b"", "could not prepare the sync")?;
    let turn = take_turn(staging)?;
    let warning = clear(site)?;
    check(&tree, &site.workspace, destination, site.modes)?;
    reserve(staged, counts, destination)?;
    syncfs(staging).at(b"", "could not write to the disk")?;
    step();
    renameat(staging, staged.name.as_slice(), staging, staged.decided_name().as_slice())
        .at(b"", "could not decide the sync")?;
    step();
    Ok((turn, warning))
}

/// Moves a decided tree into the workspace. May have been begun before, and ended anywhere.
fn finish(name: &[u8], site: &Site) -> Result<()> {
    let (doing, staging) = ("could not finish the sync", &site.staging);
    let staged = staging.child(name).at(b"", doing)?;
    staged.remove(BALLAST).at(b"", doing)?;
    // Makes the decision last, and the room of the ballast free: that is so only once the journal has it.
    syncfs(staging).at(b"", "could not write to the disk")?;
    step();
    move_tree(&staged, &site.workspace)?;
    let done = next_name(DONE, staging).at(b"", doing)?;
    renameat(staging, name, staging, done.as_slice()).at(b"", doing)?;
    step();
    let _ = staging.remove(&done); // what was moved aside may be immutable: that is no reason to fail
    syncfs(staging).at(b"", "could not write to the disk")
}

/// Moves the tree of a decided sync, if it has not been moved yet.
fn move_tree(staged: &Directory, workspace: &Directory) -> Result<()> {
    let doing = "could not finish the sync";
    let destination = staged.file(DESTINATION).and_then(|file| file.ok_or(Errno::ENOENT)).at(b"", doing)?;
    let mut path = Vec::new();
    (&destination.0).read_to_end(&mut path).at(b"", doing)?;
    let target = Target { workspace, destination: &path, aside: staged };
    let mut attempts = 0;
    while let Some(tree) = staged.child_if_any(TREE).at(b"", doing)? {
        match apply(staged, TREE, &tree, &target) {
            // A command may have removed a directory that entries were being moved to. What was not moved is still
            // staged, so that it goes on with that.
            Err(failure) if failure.kind == Io && attempts < ATTEMPTS => attempts += 1,
            applied => return applied.map_err(in_part),
        }
    }
    Ok(())
}

/// Finishes or gives up, and removes, what others have left. Only for the holder of the lock on `staging`. Gives the
/// first that had to be given up, as a warning.
fn clear(site: &Site) -> Result<Option<TaskFailure>> {
    let (doing, staging) = ("could not clear what an earlier sync has left", &site.staging);
    let mut warning = None;
    for name in staging.names().at(b"", doing)? {
        if name.starts_with(DECIDED) {
            if let Err(failure) = finish(&name, site) {
                set_aside(&name, staging).at(b"", doing)?;
                step();
                warning.get_or_insert(given_up(failure));
            }
        } else if !name.starts_with(STUCK)
            && let Some(_lock) = try_lock(staging, &name).at(b"", doing)?
        {
            let _ = staging.remove(&name); // else the next one does
        }
    }
    Ok(warning)
}

/// Sees to it that moving the tree will not fail for want of room.
fn reserve(staged: &Staged, counts: Counts, destination: &[u8]) -> Result<()> {
    let no_room =
        |errno: Errno| failure(NoSpace, b"", format!("no room to carry the sync out: {}", errno.desc()));
    let n_directories = counts.directories + super::place::names(destination).count() as u64 + 1;
    let room = fstatvfs(&staged.directory).at(b"", "could not ask for the room that is left")?;
    if room.files() > 0 && room.files_available() < n_directories + SPARE_INODES {
        return Err(no_room(Errno::ENOSPC));
    }
    let n_bytes = (n_directories * DIRECTORY_BYTES + counts.others * NAME_BYTES).max(BALLAST_MIN_BYTES);
    let ballast = create(&staged.directory, BALLAST).at(b"", "could not prepare the sync")?;
    match fallocate(&ballast, FallocateFlags::empty(), 0, i64::try_from(n_bytes).unwrap_or(i64::MAX)) {
        Ok(()) | Err(Errno::EOPNOTSUPP) => Ok(()),
        Err(errno) => Err(no_room(errno)),
    }
}

fn take_turn(staging: &Directory) -> Result<Lock> {
    let own = staging.child(b".").at(b"", "could not wait for another sync")?;
    Flock::lock(OwnedFd::from(own), FlockArg::LockExclusive)
        .map_err(|(_, errno)| refused(errno, b"", "could not wait for another sync"))
}

/// A lock on a sync's folder; `None` when somebody has it, or the folder is gone.
fn try_lock(staging: &Directory, name: &[u8]) -> nix::Result<Option<Lock>> {
    let Some(directory) = staging.child_if_any(name)? else { return Ok(None) };
    match Flock::lock(OwnedFd::from(directory), FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Some(lock)),
        Err((_, Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, errno)) => Err(errno),
    }
}

fn create(directory: &Directory, name: &[u8]) -> nix::Result<OwnedFd> {
    let how = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(directory, name, how, Mode::S_IRUSR | Mode::S_IWUSR)
}

fn write_file(directory: &Directory, name: &[u8], bytes: &[u8]) -> std::io::Result<()> {
    File::from(create(directory, name)?).write_all(bytes)
}

#[cfg(test)]
pub(super) use super::killed::{fault, step};

/// A point between two changes, where tests let the process be killed.
#[cfg(not(test))]
pub(super) fn step() {}

/// A point where tests let an entry be one that cannot be moved.
#[cfg(not(test))]
#[expect(clippy::unnecessary_wraps, reason = "the one of tests fails")]
pub(super) fn fault(_name: &[u8]) -> nix::Result<()> {
    Ok(())
}
