//! What is mounted where: in the initramfs for the agent, and in the environment for its commands.

use super::{BootError, Doing};
use crate::tasks::place::DISK;
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, symlink};
use std::path::Path;

/// Where the environment is put together.
pub(crate) const NEW_ROOT: &str = "/newroot";

const LOWER: &str = "/lower";

/// A file system of the kernel's own.
struct Kernel {
    kind: &'static str,
    at: &'static str,
    flags: MsFlags,
    options: &'static str,
    /// Whether a kernel without it will do.
    optional: bool,
}

const NO_DEVICES: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV);
const INERT: MsFlags = NO_DEVICES.union(MsFlags::MS_NOEXEC);

const fn kernel(kind: &'static str, at: &'static str, flags: MsFlags, options: &'static str) -> Kernel {
    Kernel { kind, at, flags, options, optional: false }
}

/// What the agent itself needs.
const FOR_AGENT: [Kernel; 3] = [
    kernel("proc", "/proc", INERT, ""),
    kernel("sysfs", "/sys", INERT, ""),
    kernel("devtmpfs", "/dev", MsFlags::MS_NOSUID, "mode=755"),
];

/// What a Debian system finds mounted, in the order of mounting.
const FOR_COMMANDS: [Kernel; 9] = [
    kernel("proc", "/proc", INERT, ""),
    kernel("sysfs", "/sys", INERT, ""),
    Kernel { optional: true, ..kernel("cgroup2", "/sys/fs/cgroup", INERT, "") },
    kernel("devtmpfs", "/dev", MsFlags::MS_NOSUID, "mode=755"),
    kernel("devpts", "/dev/pts", MsFlags::MS_NOSUID.union(MsFlags::MS_NOEXEC), "gid=5,mode=620,ptmxmode=666"),
    kernel("tmpfs", "/dev/shm", NO_DEVICES, "mode=1777"),
    Kernel { optional: true, ..kernel("mqueue", "/dev/mqueue", INERT, "") },
    kernel("tmpfs", "/run", NO_DEVICES, "mode=755"),
    kernel("tmpfs", "/tmp", NO_DEVICES, "mode=1777"),
];

/// Links that udev makes elsewhere.
const DEVICE_LINKS: [(&str, &str); 4] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];

/// Mounts what the agent itself needs.
///
/// # Errors
/// When the kernel refuses one of them.
pub fn for_agent() -> Result<(), BootError> {
    FOR_AGENT.iter().try_for_each(|mount| mount_kernel(mount, ""))
}

/// Mounts the disk, for the agent: commands see only what is made of it.
pub(crate) fn disk() -> Result<(), BootError> {
    make_dir(Path::new(DISK), 0o755)?;
    mount(Some("/dev/vdb"), DISK, Some("ext4"), MsFlags::MS_NOATIME, None::<&str>)
        .doing(|| format!("could not mount the disk /dev/vdb at {DISK}"))
}

/// Puts the environment together below [`NEW_ROOT`]: the root image, over it the disk, in it the file systems that
/// commands expect. To be called in the namespace of the commands, after [`disk`]. The disk may be of a machine that
/// ran before.
pub(crate) fn for_commands() -> Result<(), BootError> {
    for folder in [LOWER, NEW_ROOT] {
        make_dir(Path::new(folder), 0o755)?;
    }
    mount_image()?;
    make_dir(&Path::new(DISK).join("upper"), 0o755)?;
    make_dir(&Path::new(DISK).join("work"), 0o755)?;
    let options = format!("lowerdir={LOWER},upperdir={DISK}/upper,workdir={DISK}/work");
    mount(Some("overlay"), NEW_ROOT, Some("overlay"), MsFlags::MS_NOATIME, Some(options.as_str()))
        .doing(|| "could not mount the overlay".into())?;
    FOR_COMMANDS.iter().try_for_each(|mount| mount_kernel(mount, NEW_ROOT))?;
    for (name, target) in DEVICE_LINKS {
        let _ = symlink(target, Path::new(NEW_ROOT).join("dev").join(name)); // is there when /dev is the agent's too
    }
    make_dir(&Path::new(NEW_ROOT).join("run/lock"), 0o1777)?;
    make_dir(&Path::new(NEW_ROOT).join("workspace"), 0o755)
}

/// Mounts the root image, which is an erofs or an ext4.
fn mount_image() -> Result<(), BootError> {
    let image = |kind| mount(Some("/dev/vda"), LOWER, Some(kind), MsFlags::MS_RDONLY, None::<&str>);
    let result = match image("erofs") {
        Err(Errno::EINVAL) => image("ext4"),
        other => other,
    };
    result.doing(|| format!("could not mount the root image /dev/vda at {LOWER}"))
}

/// Takes away what the agent has mounted in this namespace beside the environment. What the overlay uses it keeps.
pub(crate) fn leave_only_environment() -> Result<(), BootError> {
    for place in [LOWER, DISK, "/dev", "/sys", "/proc"] {
        umount2(place, MntFlags::MNT_DETACH).doing(|| format!("could not unmount {place}"))?;
    }
    Ok(())
}

/// Unmounts the disk, so that its file system is clean when the machine ends. Somebody who could not be killed may keep
/// it: then it is only written out.
pub(crate) fn unmount_disk() {
    let _ = umount2(DISK, MntFlags::empty());
}

fn mount_kernel(what: &Kernel, below: &str) -> Result<(), BootError> {
    let place = format!("{below}{}", what.at);
    if !Path::new(&place).is_dir() && fs::create_dir_all(&place).is_err() && what.optional {
        return Ok(());
    }
    match mount(Some(what.kind), place.as_str(), Some(what.kind), what.flags, Some(what.options)) {
        Err(Errno::ENODEV) if what.optional => Ok(()),
        result => result.doing(|| format!("could not mount {} at {place}", what.kind)),
    }
}

/// Makes a folder with exactly this mode. Not an error if it is there, which may be as the environment has it.
pub(super) fn make_dir(path: &Path, mode: u32) -> Result<(), BootError> {
    let doing = || format!("could not make {}", path.display());
    match DirBuilder::new().mode(mode).create(path) {
        Ok(()) => fs::set_permissions(path, fs::Permissions::from_mode(mode)).doing(doing),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error).doing(doing),
    }
}
