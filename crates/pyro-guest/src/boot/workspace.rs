//! The mounts of a persistent workspace, made when the host asks for them and never at the start.
//!
//! Baseline and changes are mounted as one for the agent; commands get a part of that. What is where, says
//! `tasks::place`.

use super::mounts::make_dir;
use super::{BootError, Doing};
use crate::sys;
use crate::tasks::place::{DISK, MERGED};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use std::os::fd::OwnedFd;
use std::path::Path;

/// Below the disk, in the order of making.
const FOLDERS: [&str; 5] =
    ["workspace", "workspace/baseline", "workspace/baseline/tree", "workspace/changes", "workspace/work"];

/// Mounts the layers, and gives what commands are to see of them. To be called in the agent's namespace.
pub(crate) fn mount_layers() -> Result<OwnedFd, BootError> {
    unmount(); // what an attempt that failed half-way left
    for folder in FOLDERS {
        make_dir(&Path::new(DISK).join(folder), 0o755)?;
    }
    make_dir(Path::new(MERGED), 0o755)?;
    // `redirect_dir` lets a directory of the baseline be renamed, which rename(2) would refuse otherwise.
    let options = format!(
        "lowerdir={DISK}/workspace/baseline,upperdir={DISK}/workspace/changes,workdir={DISK}/workspace/work,\
         redirect_dir=on,index=off,metacopy=off"
    );
    mount(Some("overlay"), MERGED, Some("overlay"), MsFlags::MS_NOATIME, Some(options.as_str()))
        .doing(|| "could not mount the workspace".into())?;
    make_dir(&Path::new(MERGED).join("staging"), 0o700)?;
    sys::copy_mount(c"/merged/tree").doing(|| "could not copy the mount of the workspace".into())
}

/// Shows the workspace to commands. To be called in their namespace.
pub(crate) fn attach(tree: OwnedFd) -> Result<(), BootError> {
    make_dir(Path::new("/workspace"), 0o755)?;
    sys::attach_mount(tree, c"/workspace").doing(|| "could not mount /workspace".into())
}

/// Unmounts the layers, if they are mounted.
pub(crate) fn unmount() {
    let _ = umount2(MERGED, MntFlags::empty()); // fails when they are not
}
