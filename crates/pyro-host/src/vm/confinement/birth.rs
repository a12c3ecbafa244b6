//! The owner's side of a birth: the fork, the two pipes, the mapping of users, the groups, the last word.
//!
//! It runs on the thread that starts all processes (`vm/spawn.rs`), as the kernel kills a child with its parent *thread*.

use super::cgroups::{Groups, Version};
use super::child::{self, BROKEN, CommandLine, N_STEPS, Namespaces, Pipes, Prepared, Report, Step};
use super::root::Root;
use super::system_calls::{self as sys, Errno};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use seccompiler::BpfProgram;
use std::ffi::{CString, c_int};
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

/// How long a new process may take for its report. It takes milliseconds.
const REPORT_LIMIT: Timespec = Timespec { tv_sec: 30, tv_nsec: 0 };
/// How long `exec` may take until it has shown. Should the pipe stay open for another reason, such as a copy of this
/// process that was forked off at this moment, the program runs all the same.
const EXEC_LIMIT: Timespec = Timespec { tv_sec: 5, tv_nsec: 0 };
/// From this number on are the descriptors that the new process is given, so that none is in the way of another.
pub(super) const ABOVE_ALL: RawFd = 64;

/// What is to be born. It owns all that the new process uses.
pub(super) struct Plan {
    pub(super) program: CString,
    pub(super) arguments: Vec<CString>,
    /// Which descriptor becomes which number.
    pub(super) descriptors: Vec<(OwnedFd, RawFd)>,
    pub(super) user: Option<(u32, u32)>,
    pub(super) wanted: Namespaces,
    pub(super) root: Option<Root>,
    pub(super) limits: Vec<(u32, u64)>,
    /// Those that count only what is in the process's own user namespace, where it is born into one.
    pub(super) limits_of_namespace: Vec<(u32, u64)>,
    pub(super) drops_privileges: bool,
    pub(super) ruleset: Option<OwnedFd>,
    pub(super) filters: Vec<BpfProgram>,
    pub(super) groups: Groups,
    /// The namespaces that only a birth can give, best first. The last are none.
    pub(super) births: Vec<c_int>,
}

/// A process that waits for the last word.
pub(super) struct Unborn {
    pub(super) pid: Pid,
    pub(super) report: Report,
    /// The namespaces that it was born into.
    pub(super) birth: c_int,
    /// Why it was not born into better ones.
    pub(super) refused: Vec<(c_int, Errno)>,
    /// Why the root folder was given up, if it was half done in a first attempt.
    pub(super) root_error: Option<Errno>,
    reports: OwnedFd,
    word: OwnedFd,
}

impl Plan {
    /// Makes the process, as well confined as the host allows.
    pub(super) fn conceive(&mut self) -> io::Result<Unborn> {
        let mut refused = Vec::new();
        let mut root_error = None;
        let births = self.births.clone();
        let mut births = births.into_iter().peekable();
        while let Some(birth) = births.next() {
            match self.attempt(birth) {
                Ok(unborn) if unborn.report.of(Step::Mounts) >= BROKEN => {
                    root_error = Some(unborn.report.of(Step::Mounts) & !BROKEN);
                    unborn.end();
                    self.root = None;
                    let unborn = self.attempt(birth)?;
                    return Ok(Unborn { refused, root_error, ..unborn });
                }
                Ok(unborn) => return Ok(Unborn { refused, root_error, ..unborn }),
                Err(error) if births.peek().is_some() => {
                    refused.push((birth, error.raw_os_error().unwrap_or(libc::EIO)));
                }
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::from_raw_os_error(root_error.unwrap_or(libc::EINVAL)))
    }

    fn attempt(&mut self, birth: c_int) -> io::Result<Unborn> {
        let (reports, report) = high_pipe()?;
        let (word_end, word) = high_pipe()?;
        let pipes = Pipes {
            report: report.as_raw_fd(),
            word: word_end.as_raw_fd(),
            owners: [reports.as_raw_fd(), word.as_raw_fd()],
        };
        let cradle = self.groups.cradle().map(|group| group.as_raw_fd());
        let born = self.fork(birth, cradle, pipes);
        let is_in_cradle = cradle.is_some() && born.is_ok();
        let pid = if cradle.is_some() && born.is_err() { self.fork(birth, None, pipes)? } else { born? };
        let mut unborn = Unborn {
            pid,
            report: Report([0; N_STEPS]),
            birth,
            refused: Vec::new(),
            root_error: None,
            reports,
            word,
        };
        // Only the new process is to hold these now, so that its end shows.
        drop((report, word_end));
        match self.set_up(&mut unborn, is_in_cradle) {
            Ok(()) => Ok(unborn),
            Err(error) => {
                unborn.end();
                Err(error)
            }
        }
    }

    fn fork(&self, birth: c_int, cradle: Option<RawFd>, pipes: Pipes) -> io::Result<Pid> {
        let command = CommandLine::of(self.arguments.clone());
        let descriptors: Vec<(RawFd, RawFd)> =
            self.descriptors.iter().map(|(source, target)| (source.as_raw_fd(), *target)).collect();
        let mut limits = self.limits.clone();
        if birth & libc::CLONE_NEWUSER != 0 {
            limits.extend(&self.limits_of_namespace);
        }
        let tasks: Vec<RawFd> = self.groups.tasks().map(|tasks| tasks.as_raw_fd()).collect();
        let prepared = Prepared {
            tasks: &tasks,
            program: &self.program,
            arguments: &command.pointers,
            descriptors: &descriptors,
            user: self.user,
            namespaces: Namespaces { has_own_processes: birth & libc::CLONE_NEWPID != 0, ..self.wanted },
            root: self.root.as_ref(),
            limits: &limits,
            drops_privileges: self.drops_privileges,
            ruleset: self.ruleset.as_ref().map(AsRawFd::as_raw_fd),
            filters: &self.filters,
            pipes,
        };
        // No handler of this process is to run in the new one.
        let mask = sys::block_signals();
        let born = sys::fork_into(birth, cradle);
        if born == Ok(0) {
            child::run(&prepared);
        }
        sys::set_signal_mask(mask);
        let pid = born.map_err(io::Error::from_raw_os_error)?;
        Pid::from_raw(pid).ok_or_else(|| io::Error::other("the kernel named no process"))
    }

    fn set_up(&mut self, unborn: &mut Unborn, is_in_cradle: bool) -> io::Result<()> {
        if unborn.birth & libc::CLONE_NEWUSER != 0 {
            map_user(unborn.pid, self.user)?;
        }
        unborn.say_go_on()?;
        unborn.report = unborn.hear_report()?;
        if unborn.report.of(Step::Groups) != 0 {
            self.groups.take_in(unborn.pid, Version::One);
        }
        if !is_in_cradle {
            self.groups.take_in(unborn.pid, Version::Two);
        }
        match unborn.report.of(Step::Death) {
            child::NOT_TRIED | 0 => Ok(()),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }
}

impl Unborn {
    /// Lets the program run, and waits until it does.
    pub(super) fn say_last_word(&mut self) -> io::Result<()> {
        self.say_go_on()?;
        if !self.is_heard(&EXEC_LIMIT)? {
            return Ok(());
        }
        let mut error = [0; 4];
        match rustix::io::read(&self.reports, &mut error)? {
            0 => Ok(()),
            _ => Err(io::Error::from_raw_os_error(Errno::from_ne_bytes(error))),
        }
    }

    /// Ends and reaps it. The pipes are closed first: where it may not be killed, as it is another user already, it ends
    /// of itself when nobody can give it a word any more.
    pub(super) fn end(self) {
        let Self { pid, reports, word, .. } = self;
        drop((reports, word));
        let _ = kill_process(pid, Signal::KILL);
        let _ = rustix::io::retry_on_intr(|| waitpid(Some(pid), WaitOptions::empty()));
    }

    fn say_go_on(&self) -> io::Result<()> {
        rustix::io::retry_on_intr(|| rustix::io::write(&self.word, b"."))?;
        Ok(())
    }

    fn hear_report(&self) -> io::Result<Report> {
        let mut bytes = [0; N_STEPS * 4];
        if !self.is_heard(&REPORT_LIMIT)? || rustix::io::read(&self.reports, &mut bytes)? != bytes.len() {
            return Err(io::Error::other("the new process ended before it could be confined"));
        }
        let mut report = Report([0; N_STEPS]);
        for (outcome, bytes) in report.0.iter_mut().zip(bytes.chunks_exact(4)) {
            *outcome = bytes.try_into().map_or(libc::EIO, Errno::from_ne_bytes);
        }
        Ok(report)
    }

    fn is_heard(&self, limit: &Timespec) -> io::Result<bool> {
        let mut polled = [PollFd::new(&self.reports, PollFlags::IN)];
        Ok(rustix::io::retry_on_intr(|| poll(&mut polled, Some(limit)))? > 0)
    }
}

/// Makes the one user of a user namespace (`user_namespaces(7)`): the machine's own where this process may give it one,
/// else who this process is.
fn map_user(pid: Pid, user: Option<(u32, u32)>) -> io::Result<()> {
    let process = format!("/proc/{}", pid.as_raw_nonzero());
    let write = |file: &str, text: &str| fs::write(format!("{process}/{file}"), text);
    if let Some((uid, gid)) = user
        && write("uid_map", &format!("{uid} {uid} 1\n")).is_ok()
    {
        return write("gid_map", &format!("{gid} {gid} 1\n"));
    }
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    // Whoever is not privileged must first give up what groups could forbid.
    write("setgroups", "deny")?;
    write("uid_map", &format!("{uid} {uid} 1\n"))?;
    write("gid_map", &format!("{gid} {gid} 1\n"))
}

fn high_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
    Ok((raise(&read)?, raise(&write)?))
}

/// The same descriptor under a number that is in nobody's way.
pub(super) fn raise(fd: &OwnedFd) -> io::Result<OwnedFd> {
    Ok(rustix::io::fcntl_dupfd_cloexec(fd, ABOVE_ALL)?)
}
