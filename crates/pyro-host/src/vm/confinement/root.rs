//! A root folder of the process's own: an empty one in memory, on which the few files of its view are mounted, all
//! read-only (`mount_namespaces(7)`, `pivot_root(2)`).
//!
//! What is to be done is written down beforehand ([`Root::plan`]); the new process does it ([`Root::enter`]), without
//! an allocation.

use super::system_calls::{self as sys, Errno};
use super::view::Entry;
use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Where the new root is put together: any folder, as only the new process sees it there.
const PLACES: [(&CStr, &CStr); 3] =
    [(c"/tmp", c"/tmp/.host"), (c"/usr", c"/usr/.host"), (c"/proc", c"/proc/.host")];
/// The host's root, until it is let go.
const HOST: &CStr = c"/.host";

/// What the new root is made of.
#[derive(Debug)]
pub(super) struct Root {
    place: (&'static CStr, &'static CStr),
    steps: Vec<Step>,
}

#[derive(Debug)]
enum Step {
    Folder(CString),
    File(CString),
    Bind { source: CString, target: CString },
}

/// Why there is no root of its own.
#[derive(Debug)]
pub(super) enum Failure {
    /// Nothing was changed.
    Refused(Errno),
    /// The process sees half a root, and is of no use.
    Broken(Errno),
}

impl Root {
    /// Writes down how to make a root that holds this view. `None` where a path has a null byte.
    pub(super) fn plan(view: &[Entry]) -> Option<Self> {
        let place =
            PLACES.into_iter().find(|(place, _)| Path::new(place.to_str().unwrap_or("/")).is_dir())?;
        let mut entries: Vec<&Entry> = view.iter().collect();
        entries.sort_by(|one, other| one.path.cmp(&other.path));
        let mut steps = Vec::new();
        let mut folders: Vec<PathBuf> = Vec::new();
        let mut mounted: Vec<&Path> = Vec::new();
        for entry in entries {
            if mounted.iter().any(|folder| entry.path.starts_with(folder)) {
                continue;
            }
            for folder in above(&entry.path) {
                if !folders.iter().any(|made| made == folder) {
                    steps.push(Step::Folder(text(folder)?));
                    folders.push(folder.to_owned());
                }
            }
            let target = text(&entry.path)?;
            steps.push(match entry.is_folder {
                true => Step::Folder(target.clone()),
                false => Step::File(target.clone()),
            });
            steps.push(Step::Bind { source: on_host(&entry.target)?, target });
            mounted.push(&entry.path);
        }
        Some(Self { place, steps })
    }

    /// Puts this process, which is alone in its mount namespace, into the new root. `has_own_processes` says that it is
    /// in a pid namespace of its own, so that its `/proc` can show that alone. Returns why it does not, where the host's
    /// own had to be taken.
    pub(super) fn enter(&self, has_own_processes: bool) -> Result<Result<(), Errno>, Failure> {
        self.turn().map_err(Failure::Refused)?;
        self.furnish(has_own_processes).map_err(Failure::Broken)
    }

    fn turn(&self) -> Result<(), Errno> {
        let (place, host) = self.place;
        sys::mount(None, c"/", None, libc::MS_REC | libc::MS_PRIVATE, None)?;
        let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
        sys::mount(Some(c"tmpfs"), place, Some(c"tmpfs"), flags, Some(c"mode=755,size=64k"))?;
        let turned = sys::make_folder(host).and_then(|()| sys::pivot_root(place, host));
        turned.inspect_err(|_| {
            let _ = sys::detach(place);
        })
    }

    fn furnish(&self, has_own_processes: bool) -> Result<Result<(), Errno>, Errno> {
        sys::change_folder(c"/")?;
        // Another user is to enter these folders, whatever the owner keeps for itself.
        sys::set_umask(0o022);
        for step in &self.steps {
            match step {
                Step::Folder(path) => sys::make_folder(path)?,
                Step::File(path) => sys::make_file(path)?,
                Step::Bind { source, target } => {
                    sys::mount(Some(source), target, None, libc::MS_BIND | libc::MS_REC, None)?;
                }
            }
        }
        sys::make_folder(c"/proc")?;
        let own_proc = if has_own_processes { show_own_processes() } else { Err(libc::ESRCH) };
        if own_proc.is_err() {
            // In a container whose own /proc is partly hidden, no other can be had.
            sys::mount(Some(c"/.host/proc"), c"/proc", None, libc::MS_BIND | libc::MS_REC, None)?;
        }
        sys::detach(HOST)?;
        sys::remove_folder(HOST);
        sys::make_read_only(c"/")?;
        Ok(own_proc)
    }
}

/// QEMU opens some of its descriptors by their names in `/proc/self/fd`.
fn show_own_processes() -> Result<(), Errno> {
    let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
    let proc = |data| sys::mount(Some(c"proc"), c"/proc", Some(c"proc"), flags, data);
    proc(Some(c"subset=pid")).or_else(|_| proc(None))
}

/// The folders that lead to a path, outermost first, without the root.
fn above(path: &Path) -> impl Iterator<Item = &Path> {
    let mut folders: Vec<&Path> =
        path.ancestors().skip(1).filter(|folder| folder.parent().is_some()).collect();
    folders.reverse();
    folders.into_iter()
}

fn on_host(path: &Path) -> Option<CString> {
    CString::new([HOST.to_bytes(), path.as_os_str().as_bytes()].concat()).ok()
}

fn text(path: &Path) -> Option<CString> {
    CString::new(path.as_os_str().as_bytes()).ok()
}
