//! The seccomp filter: what a running machine never needs, and an attacker would (`seccomp(2)`).
//!
//! It is in force before QEMU's first instruction, so `execve` must stay possible once: QEMU's own filter (`-sandbox`)
//! forbids it before the guest runs, and Landlock lets nothing be started but QEMU itself. Everything is refused with an
//! error and kills nobody: programs fall back, as the C library does from `clone3`, whose flags no filter can read,
//! to `clone`.

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, sock_filter,
};
use std::collections::BTreeMap;

// Too young for some C libraries to name them (`asm/unistd_64.h`).
const SYS_FCHMODAT2: libc::c_long = 452;
const SYS_SETXATTRAT: libc::c_long = 463;
const SYS_REMOVEXATTRAT: libc::c_long = 466;
const SYS_FILE_SETATTR: libc::c_long = 469;

/// Refused with EPERM, whatever the arguments.
const REFUSED: &[libc::c_long] = &[
    // New processes.
    libc::SYS_fork,
    libc::SYS_vfork,
    // Other processes. (`tgkill` stays: it is how threads wake each other.)
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_process_mrelease,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_kcmp,
    libc::SYS_kill,
    libc::SYS_tkill,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_move_pages,
    libc::SYS_migrate_pages,
    // Sockets: those that QEMU has were handed over, and it makes none. Landlock does not guard sockets with a path.
    libc::SYS_socket,
    libc::SYS_socketpair,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
    // What is shared with other programs by a number or a name: shared memory, semaphores, queues. The namespace for it
    // may be missing.
    libc::SYS_shmget,
    libc::SYS_shmat,
    libc::SYS_shmctl,
    libc::SYS_semget,
    libc::SYS_semop,
    libc::SYS_semtimedop,
    libc::SYS_semctl,
    libc::SYS_msgget,
    libc::SYS_msgsnd,
    libc::SYS_msgrcv,
    libc::SYS_msgctl,
    libc::SYS_mq_open,
    libc::SYS_mq_unlink,
    // A greater share of the processors than others have.
    libc::SYS_sched_setparam,
    libc::SYS_sched_setscheduler,
    libc::SYS_sched_setattr,
    libc::SYS_sched_setaffinity,
    libc::SYS_setpriority,
    libc::SYS_ioprio_set,
    // What is known of a file: rights, owners, times, attributes. Landlock does not guard it, and an ordinary user owns
    // the files that its machine may only read.
    libc::SYS_chmod,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    SYS_FCHMODAT2,
    libc::SYS_chown,
    libc::SYS_fchown,
    libc::SYS_lchown,
    libc::SYS_fchownat,
    libc::SYS_utime,
    libc::SYS_utimes,
    libc::SYS_utimensat,
    libc::SYS_futimesat,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
    SYS_SETXATTRAT,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    libc::SYS_fremovexattr,
    SYS_REMOVEXATTRAT,
    SYS_FILE_SETATTR,
    // Names of files: QEMU has all of its files by descriptor, and gives names to none.
    libc::SYS_link,
    libc::SYS_linkat,
    libc::SYS_symlink,
    libc::SYS_symlinkat,
    libc::SYS_mknod,
    libc::SYS_mknodat,
    libc::SYS_rename,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    // Namespaces, mounts, roots.
    libc::SYS_setns,
    libc::SYS_unshare,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    // Files by handle, past the folders that guard them; what has no use but to watch others.
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_fanotify_init,
    libc::SYS_fanotify_mark,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    // Wide interfaces of the kernel.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_userfaultfd,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_modify_ldt,
    libc::SYS_vmsplice,
    libc::SYS_personality,
    // The machine as a whole.
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_syslog,
    libc::SYS_vhangup,
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    // Who it is. (It is that for good; this is the second bolt.)
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setfsuid,
    libc::SYS_setfsgid,
    libc::SYS_setgroups,
    libc::SYS_capset,
];

/// Requests of `prctl(2)` that are refused: to outlive the owner, and to rearrange what the kernel believes of a process.
const REFUSED_CONTROLS: [i32; 4] =
    [libc::PR_SET_PDEATHSIG, libc::PR_SET_MM, libc::PR_SET_PTRACER, libc::PR_SET_CHILD_SUBREAPER];
/// Requests of `ioctl(2)` that are refused: to put words into a terminal's mouth, to change the attributes of a file that
/// is only open for reading, and to have signals sent to others.
const REFUSED_REQUESTS: [u64; 8] = [
    0x5412,      // TIOCSTI
    0x541c,      // TIOCLINUX
    0x4008_6602, // FS_IOC_SETFLAGS
    0x4004_6602, // FS_IOC32_SETFLAGS
    0x401c_5820, // FS_IOC_FSSETXATTR
    0x4080_6685, // FS_IOC_ENABLE_VERITY
    0x8901,      // FIOSETOWN
    0x8902,      // SIOCSPGRP
];
/// Commands of `fcntl(2)` that are refused: to have signals sent to others, and to make others wait for a file.
const REFUSED_COMMANDS: [u64; 4] = [
    8,    // F_SETOWN
    10,   // F_SETSIG
    15,   // F_SETOWN_EX
    1024, // F_SETLEASE
];

/// System calls of the x32 interface have this bit, and would pass a filter that knows only the usual numbers.
const X32_BIT: u32 = 0x4000_0000;

/// The programs, to be installed in this order.
///
/// # Errors
/// A defect in the lists above, as a sentence.
pub(super) fn filters() -> Result<Vec<BpfProgram>, String> {
    let make = || -> Result<Vec<BpfProgram>, seccompiler::Error> {
        let mut refused = compile(rules()?, libc::EPERM)?;
        refuse_x32(&mut refused);
        let clone3 = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
        Ok(vec![refused, compile(clone3, libc::ENOSYS)?])
    };
    make().map_err(|error| format!("the filter could not be made: {error}"))
}

fn compile(rules: BTreeMap<i64, Vec<SeccompRule>>, error: i32) -> Result<BpfProgram, seccompiler::Error> {
    let refuse = SeccompAction::Errno(error.unsigned_abs());
    Ok(SeccompFilter::new(rules, SeccompAction::Allow, refuse, TargetArch::x86_64)?.try_into()?)
}

fn rules() -> Result<BTreeMap<i64, Vec<SeccompRule>>, seccompiler::Error> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        REFUSED.iter().map(|&number| (number, Vec::new())).collect();
    let thread = libc::CLONE_THREAD.unsigned_abs().into();
    rules.insert(libc::SYS_clone, vec![when(0, SeccompCmpOp::MaskedEq(thread), 0)?]);
    let controls =
        REFUSED_CONTROLS.iter().map(|control| when(0, SeccompCmpOp::Eq, control.unsigned_abs().into()));
    rules.insert(libc::SYS_prctl, controls.collect::<Result<_, _>>()?);
    for (call, refused) in [(libc::SYS_ioctl, &REFUSED_REQUESTS[..]), (libc::SYS_fcntl, &REFUSED_COMMANDS)] {
        let refused = refused.iter().map(|&number| when(1, SeccompCmpOp::Eq, number));
        rules.insert(call, refused.collect::<Result<_, _>>()?);
    }
    // The limits of another process; 0 is the caller.
    rules.insert(libc::SYS_prlimit64, vec![when(0, SeccompCmpOp::Ne, 0)?]);
    Ok(rules)
}

fn when(argument: u8, operator: SeccompCmpOp, value: u64) -> Result<SeccompRule, seccompiler::Error> {
    let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)?;
    Ok(SeccompRule::new(vec![condition])?)
}

/// Puts before a program: load the number; if it is of x32, refuse.
fn refuse_x32(program: &mut BpfProgram) {
    const LOAD_NUMBER: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const JUMP_IF_AT_LEAST: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let instruction = |code, jf, k| sock_filter { code, jt: 0, jf, k };
    let refuse = libc::SECCOMP_RET_ERRNO | libc::EPERM.unsigned_abs();
    let head = [
        instruction(LOAD_NUMBER, 0, 0),
        instruction(JUMP_IF_AT_LEAST, 1, X32_BIT),
        instruction(RETURN, 0, refuse),
    ];
    program.splice(0..0, head);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filters_are_short_enough_for_the_kernel_and_name_each_call_once() {
        let filters = filters().unwrap();
        assert!(filters.iter().all(|filter| filter.len() < 4096), "{}", filters[0].len());
        let mut numbers = REFUSED.to_vec();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), REFUSED.len());
    }
}
