//! The system calls that a confinement is made of and that no library offers in a form that is safe between `fork` and
//! `exec`. None of them allocates, takes a lock or panics; an error is the kernel's number.
#![allow(unsafe_code, reason = "system calls, each with its argument types")]

use seccompiler::sock_filter;
use std::ffi::{CStr, c_int};
use std::os::fd::RawFd;
use std::ptr;

/// What went wrong, as `errno(3)` has it.
pub(super) type Errno = i32;
type Done = Result<(), Errno>;

const LANDLOCK_CREATE_RULESET_VERSION: libc::c_long = 1;
const MOUNT_ATTR_RDONLY: u64 = 1;
const MOUNT_ATTR_NOSUID: u64 = 2;
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
const CAPABILITY_VERSION_3: u32 = 0x2008_0522;

/// The numbers of capabilities end before this.
const MOST_CAPABILITIES: libc::c_long = 64;

macro_rules! call {
    ($number:expr $(, $argument:expr)* $(,)?) => {{
        // SAFETY: each use is a system call whose pointers, where it has any, come from references that outlive it.
        let result = unsafe { libc::syscall($number $(, $argument)*) };
        if result < 0 { Err(last_errno()) } else { Ok(result) }
    }};
}

fn last_errno() -> Errno {
    // SAFETY: the address of this thread's own `errno`.
    unsafe { *libc::__errno_location() }
}

/// The kernel's version of Landlock (`landlock_create_ruleset(2)`).
pub(super) fn landlock_version() -> Result<i32, Errno> {
    let version = call!(
        libc::SYS_landlock_create_ruleset,
        ptr::null::<u8>(),
        0_usize,
        LANDLOCK_CREATE_RULESET_VERSION
    )?;
    Ok(i32::try_from(version).unwrap_or(i32::MAX))
}

/// What `clone3` is told (`struct clone_args` of `linux/sched.h`).
#[repr(C)]
#[derive(Default)]
struct CloneArguments {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// A fork into new namespaces, and, where its folder is given, into a control group of version 2. The new process has
/// this thread alone, and may make system calls only: nothing that another thread may have been at (`clone(2)`,
/// `fork(2)`).
///
/// Returns 0 in the new process, and its id in this one.
pub(super) fn fork_into(namespaces: c_int, group: Option<RawFd>) -> Result<i32, Errno> {
    let signal = libc::SIGCHLD;
    let pid = match group {
        None => {
            let flags = libc::c_long::from(namespaces | signal);
            call!(libc::SYS_clone, flags, 0_usize, 0_usize, 0_usize, 0_usize)?
        }
        Some(group) => {
            let arguments = CloneArguments {
                flags: u64::from(namespaces.unsigned_abs()) | CLONE_INTO_CGROUP,
                exit_signal: signal.unsigned_abs().into(),
                cgroup: group.unsigned_abs().into(),
                ..CloneArguments::default()
            };
            call!(libc::SYS_clone3, &raw const arguments, size_of::<CloneArguments>())?
        }
    };
    Ok(i32::try_from(pid).unwrap_or_default())
}

/// Keeps every signal away from this thread, and returns what was kept away before.
pub(super) fn block_signals() -> u64 {
    set_signal_mask(!0)
}

/// Sets which signals are kept away (`rt_sigprocmask(2)`), and returns what was before.
pub(super) fn set_signal_mask(mask: u64) -> u64 {
    let mut before = 0_u64;
    let size = size_of::<u64>();
    let _ = call!(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const mask, &raw mut before, size);
    before
}

/// Gives SIGPIPE, which Rust programs ignore, its usual effect again.
pub(super) fn default_sigpipe() {
    // SAFETY: no handler is installed.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}

pub(super) fn own_process_group() -> Done {
    call!(libc::SYS_setpgid, 0, 0).map(drop)
}

pub(super) fn unshare(namespaces: c_int) -> Done {
    call!(libc::SYS_unshare, libc::c_long::from(namespaces)).map(drop)
}

pub(super) fn set_hostname(name: &CStr) -> Done {
    call!(libc::SYS_sethostname, name.as_ptr(), name.count_bytes()).map(drop)
}

/// `prctl(2)`.
pub(super) fn control(option: c_int, value: libc::c_ulong) -> Done {
    call!(libc::SYS_prctl, libc::c_long::from(option), value, 0_usize, 0_usize, 0_usize).map(drop)
}

/// Takes every capability out of the bounding set.
pub(super) fn empty_bounding_set() -> Done {
    for capability in 0..MOST_CAPABILITIES {
        let dropped = call!(
            libc::SYS_prctl,
            libc::c_long::from(libc::PR_CAPBSET_DROP),
            capability,
            0_usize,
            0_usize,
            0_usize
        );
        match dropped {
            // The first number that is no capability of this kernel.
            Err(libc::EINVAL) => return Ok(()),
            other => other?,
        };
    }
    Ok(())
}

/// Drops all capabilities (`capset(2)`).
pub(super) fn drop_capabilities() -> Done {
    let header = [CAPABILITY_VERSION_3, 0];
    let none = [0_u32; 6];
    call!(libc::SYS_capset, header.as_ptr(), none.as_ptr()).map(drop)
}

/// Becomes another user, for good. The kernel's own calls: those of the C library would ask its other threads, which are
/// not there.
pub(super) fn become_user(uid: u32, gid: u32) -> Done {
    call!(libc::SYS_setgroups, 0_usize, ptr::null::<u32>())?;
    call!(libc::SYS_setresgid, gid, gid, gid)?;
    call!(libc::SYS_setresuid, uid, uid, uid).map(drop)
}

pub(super) fn set_limit(resource: u32, value: u64) -> Done {
    let limit = [value, value];
    let none = ptr::null_mut::<u8>();
    call!(libc::SYS_prlimit64, 0, resource, limit.as_ptr(), none).map(drop)
}

pub(super) fn restrict_files(ruleset: RawFd) -> Done {
    call!(libc::SYS_landlock_restrict_self, ruleset, 0).map(drop)
}

pub(super) fn install_filter(filter: &[sock_filter]) -> Done {
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).map_err(|_| libc::EINVAL)?,
        // The same layout (`linux/filter.h`); the kernel only reads it.
        filter: filter.as_ptr().cast_mut().cast(),
    };
    call!(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program).map(drop)
}

/// Has everything from 3 on closed by `exec`.
pub(super) fn close_all_at_exec() -> Done {
    call!(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC).map(drop)
}

/// Makes `target` another name of `source`, kept by `exec`. They must differ.
pub(super) fn place(source: RawFd, target: RawFd) -> Done {
    call!(libc::SYS_dup2, source, target).map(drop)
}

pub(super) fn close(fd: RawFd) {
    let _ = call!(libc::SYS_close, fd);
}

/// Writes all of a message that a pipe takes at once.
pub(super) fn tell(fd: RawFd, message: &[u8]) -> Done {
    call!(libc::SYS_write, fd, message.as_ptr(), message.len()).map(drop)
}

/// Waits for one byte. `Err` where nobody can send it any more, or nobody has for this long.
pub(super) fn await_byte(fd: RawFd, limit_ms: c_int) -> Done {
    let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    if call!(libc::SYS_poll, &raw mut poll, 1, limit_ms)? == 0 {
        return Err(libc::ETIMEDOUT);
    }
    let mut byte = 0_u8;
    match call!(libc::SYS_read, fd, &raw mut byte, 1)? {
        1 => Ok(()),
        _ => Err(libc::EPIPE),
    }
}

pub(super) fn change_folder(path: &CStr) -> Done {
    call!(libc::SYS_chdir, path.as_ptr()).map(drop)
}

/// Which rights new files do not get (`umask(2)`).
pub(super) fn set_umask(mask: u32) {
    let _ = call!(libc::SYS_umask, mask);
}

pub(super) fn make_folder(path: &CStr) -> Done {
    match call!(libc::SYS_mkdir, path.as_ptr(), 0o755) {
        Err(libc::EEXIST) => Ok(()),
        made => made.map(drop),
    }
}

pub(super) fn remove_folder(path: &CStr) {
    let _ = call!(libc::SYS_rmdir, path.as_ptr());
}

/// Makes an empty file, for something to be mounted on.
pub(super) fn make_file(path: &CStr) -> Done {
    let flags = libc::O_CREAT | libc::O_WRONLY | libc::O_CLOEXEC;
    let fd = call!(libc::SYS_open, path.as_ptr(), flags, 0o644)?;
    close(RawFd::try_from(fd).unwrap_or(-1));
    Ok(())
}

pub(super) fn mount(
    source: Option<&CStr>,
    target: &CStr,
    kind: Option<&CStr>,
    flags: libc::c_ulong,
    data: Option<&CStr>,
) -> Done {
    let pointer = |text: Option<&CStr>| text.map_or(ptr::null(), CStr::as_ptr);
    call!(libc::SYS_mount, pointer(source), target.as_ptr(), pointer(kind), flags, pointer(data)).map(drop)
}

pub(super) fn pivot_root(new: &CStr, old: &CStr) -> Done {
    call!(libc::SYS_pivot_root, new.as_ptr(), old.as_ptr()).map(drop)
}

pub(super) fn detach(target: &CStr) -> Done {
    call!(libc::SYS_umount2, target.as_ptr(), libc::MNT_DETACH).map(drop)
}

/// Makes this mount and all below it read-only, with no effect of set-user-id bits (`mount_setattr(2)`).
pub(super) fn make_read_only(target: &CStr) -> Done {
    let attributes = [MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID, 0, 0, 0_u64];
    call!(
        libc::SYS_mount_setattr,
        libc::AT_FDCWD,
        target.as_ptr(),
        libc::AT_RECURSIVE,
        attributes.as_ptr(),
        size_of_val(&attributes)
    )
    .map(drop)
}

/// Becomes another program. Returns only where that failed. `arguments` and `environment` end with a null pointer, and
/// their other pointers are texts that end with a null byte.
pub(super) fn execute(program: &CStr, arguments: &[*const i8], environment: &[*const i8]) -> Errno {
    let result = call!(libc::SYS_execve, program.as_ptr(), arguments.as_ptr(), environment.as_ptr());
    result.err().unwrap_or(libc::EIO)
}

/// Ends this process at once, without running anything that was registered for its end.
pub(super) fn end() -> ! {
    // SAFETY: it does not return.
    unsafe { libc::_exit(127) }
}

/// The bytes of numbers, as a pipe carries them from one process of this program to another.
pub(super) fn bytes_of(numbers: &[Errno]) -> &[u8] {
    // SAFETY: integers have no padding, and bytes no alignment.
    unsafe { std::slice::from_raw_parts(numbers.as_ptr().cast(), size_of_val(numbers)) }
}
