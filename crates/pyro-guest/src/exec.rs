//! One command: from the request to its end.
//!
//! A command leads a session and a process group of its own. It has ended when its main process has; background
//! children are left alone then, unless it was ended for its time-out.

use crate::output::Output;
use crate::session::Token;
use crate::spawn::{Program, SpawnError, Spawner, Step, Surroundings};
use crate::stdin::Stdin;
use crate::sys::{self, Death};
use crate::tasks;
use crate::tasks::place::Place;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc::{SIGKILL, SIGTERM};
use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags};
use pyro_protocol::exec::{Exec, ExecFailure, Exited};
use pyro_protocol::frame::Channel;
use pyro_protocol::task::Task;
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// Where a program is looked for when the request's environment has no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How long a command may take to end itself after its time-out, before it is killed.
const GRACE: Duration = Duration::from_secs(2);

/// Why a command never ran.
#[derive(Debug)]
pub(crate) struct NotStarted {
    pub(crate) failure: ExecFailure,
    pub(crate) message: String,
}

/// A command under way.
#[derive(Debug)]
pub(crate) struct Command {
    /// Tells it from another command that had the same stream before.
    pub(crate) serial: u32,
    /// The main process, which is also its process group.
    pub(crate) pid: i32,
    pub(crate) stdin: Stdin,
    /// Standard output and error.
    pub(crate) outputs: [Output; 2],
    pub(crate) deadline: Option<Instant>,
    started: Instant,
    timed_out: bool,
    death: Option<(Death, Duration)>,
}

impl Command {
    /// Whether its main process has been reaped: then its number is no longer its own.
    pub(crate) fn is_dead(&self) -> bool {
        self.death.is_some()
    }

    /// Sends a signal to its process group.
    pub(crate) fn signal(&self, signal: i32) {
        if !self.is_dead() {
            let _ = sys::signal_group(self.pid, signal); // fails only when nobody is left to get it
        }
    }

    /// Its time is up: asks it to end, and the next time makes it.
    pub(crate) fn expire(&mut self, now: Instant) {
        if self.timed_out {
            self.signal(SIGKILL);
            self.deadline = None;
        } else {
            self.timed_out = true;
            self.signal(SIGTERM);
            self.deadline = now.checked_add(GRACE);
        }
    }

    /// Its main process has ended.
    pub(crate) fn died(&mut self, death: Death) {
        self.death = Some((death, self.started.elapsed()));
        self.deadline = None;
        if self.timed_out {
            let _ = sys::signal_group(self.pid, SIGKILL); // its background children; often there are none
        }
        for output in &mut self.outputs {
            output.finish();
        }
    }

    /// What to tell the host, once it has ended and everything it printed is on its way.
    pub(crate) fn exited(&self) -> Option<Exited> {
        let (death, elapsed) = self.death?;
        if !self.outputs.iter().all(Output::is_done) {
            return None;
        }
        let (code, signal) = match death {
            Death::Exited(code) => (Some(code), None),
            Death::Signaled(signal) => (None, Some(signal)),
        };
        let elapsed_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        Some(Exited { code, signal, timed_out: self.timed_out, elapsed_us })
    }
}

/// What is to be started.
#[derive(Debug)]
pub(crate) struct Job {
    program: Program,
    timeout: Option<Duration>,
    /// Whether it gets input.
    stdin: bool,
}

impl Job {
    /// A command of the user.
    pub(crate) fn command(request: &Exec) -> Result<Self, NotStarted> {
        let timeout = request.timeout_ms.map(Duration::from_millis);
        Ok(Self { program: program(request)?, timeout, stdin: request.stdin })
    }

    /// A piece of the agent's own work, done by this same program.
    pub(crate) fn task(task: &Task, place: &Place) -> Result<Self, NotStarted> {
        let folder = match place {
            Place::Machine { .. } => None,
            Place::Folder(folder) => folder.to_str(),
        };
        let argv = tasks::arguments(task, folder).map_err(|error| bad_request(&error.to_string()))?;
        Self::own_work(argv, true)
    }

    /// Opens the workspace in a folder of the host, likewise.
    pub(crate) fn open(folder: &str) -> Result<Self, NotStarted> {
        Self::own_work(tasks::open_arguments(folder), false)
    }

    fn own_work(argv: Vec<String>, stdin: bool) -> Result<Self, NotStarted> {
        let argv = argv.into_iter().map(c_string).collect::<Result<_, _>>()?;
        let (candidates, cwd) = (vec![c"/proc/self/exe".into()], c"/".into());
        Ok(Self { program: Program { candidates, argv, env: Vec::new(), cwd }, timeout: None, stdin })
    }
}

/// What a start needs besides the job.
#[derive(Debug)]
pub(crate) struct Starter<'a> {
    pub(crate) epoll: &'a Epoll,
    pub(crate) spawner: &'a mut Spawner,
    /// The namespace that it is to live in, if not ours.
    pub(crate) namespace: Option<BorrowedFd<'a>>,
    /// What a command without input reads.
    pub(crate) null: &'a OwnedFd,
}

impl Starter<'_> {
    /// Starts a program on a stream.
    pub(crate) fn start(&mut self, job: &Job, stream: u32, serial: u32) -> Result<Command, NotStarted> {
        let token = |channel| Token { stream, serial, channel }.to_u64();
        let input = job.stdin.then(|| pipe(End::Write)).transpose().map_err(no_resources)?;
        let stdout = pipe(End::Read).map_err(no_resources)?;
        let stderr = pipe(End::Read).map_err(no_resources)?;
        for (pipe, channel) in [(&stdout.ours, Channel::Stdout), (&stderr.ours, Channel::Stderr)] {
            let event = EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, token(channel));
            self.epoll.add(pipe, event).map_err(no_resources)?;
        }
        let child_input = input.as_ref().map_or(self.null.as_fd(), |pipe| pipe.theirs.as_fd());
        let around = Surroundings {
            stdio: [child_input, stdout.theirs.as_fd(), stderr.theirs.as_fd()],
            namespace: self.namespace,
        };
        let started = Instant::now();
        let pid =
            self.spawner.spawn(&job.program, &around).map_err(|error| not_spawned(error, &job.program))?;
        Ok(Command {
            serial,
            pid,
            stdin: Stdin::new(stream, token(Channel::Stdin), input.map(|pipe| pipe.ours)),
            outputs: [Output::new(Channel::Stdout, stdout.ours), Output::new(Channel::Stderr, stderr.ours)],
            deadline: job.timeout.and_then(|timeout| started.checked_add(timeout)),
            started,
            timed_out: false,
            death: None,
        })
    }
}

/// Which end of a pipe is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Read,
    Write,
}

/// A pipe, our end non-blocking, the command's not.
struct Pipe {
    ours: OwnedFd,
    theirs: OwnedFd,
}

fn pipe(our_end: End) -> nix::Result<Pipe> {
    let (reading, writing) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
    let (ours, theirs, mode) = match our_end {
        End::Read => (reading, writing, OFlag::O_RDONLY),
        End::Write => (writing, reading, OFlag::O_WRONLY),
    };
    fcntl(&ours, FcntlArg::F_SETFL(mode | OFlag::O_NONBLOCK))?;
    Ok(Pipe { ours, theirs })
}

/// Checks a request and turns it into what the kernel wants.
fn program(request: &Exec) -> Result<Program, NotStarted> {
    let name = request.argv.first().ok_or_else(|| bad_request("the command is empty"))?;
    if !request.cwd.starts_with('/') {
        return Err(bad_request("the working directory is not an absolute path"));
    }
    let mut env = Vec::with_capacity(request.env.len());
    for (name, value) in &request.env {
        if name.is_empty() || name.contains('=') {
            return Err(bad_request("the name of an environment variable is empty or contains `=`"));
        }
        env.push(c_string(format!("{name}={value}"))?);
    }
    let candidates = if name.contains('/') || name.is_empty() {
        vec![c_string(name.clone())?]
    } else {
        let path = request.env.get("PATH").map_or(DEFAULT_PATH, String::as_str);
        let folders = path.split(':').map(|folder| if folder.is_empty() { "." } else { folder });
        folders.map(|folder| c_string(format!("{folder}/{name}"))).collect::<Result<_, _>>()?
    };
    let argv = request.argv.iter().cloned().map(c_string).collect::<Result<_, _>>()?;
    Ok(Program { candidates, argv, env, cwd: c_string(request.cwd.clone())? })
}

fn c_string(string: String) -> Result<CString, NotStarted> {
    CString::new(string).map_err(|_| bad_request("an argument, variable or path contains a zero byte"))
}

fn bad_request(message: &str) -> NotStarted {
    NotStarted { failure: ExecFailure::BadRequest, message: message.into() }
}

fn no_resources(errno: Errno) -> NotStarted {
    let message = format!("no room for another command: {}", errno.desc());
    NotStarted { failure: ExecFailure::NoResources, message }
}

fn not_spawned(error: SpawnError, program: &Program) -> NotStarted {
    let subject = match error.step {
        Step::Directory => format!("working directory `{}`", shortened(&program.cwd.to_string_lossy())),
        Step::Execute => {
            let name = program.argv.first().map(|name| name.to_string_lossy()).unwrap_or_default();
            format!("`{}`", shortened(&name))
        }
        Step::Clone | Step::Prepare => return no_resources(error.errno),
    };
    let failure = match error.errno {
        Errno::ENOENT | Errno::ENOTDIR => ExecFailure::NotFound,
        Errno::EAGAIN | Errno::ENOMEM | Errno::EMFILE | Errno::ENFILE => ExecFailure::NoResources,
        Errno::E2BIG | Errno::ENAMETOOLONG => ExecFailure::BadRequest,
        _ => ExecFailure::NotExecutable,
    };
    NotStarted { failure, message: format!("{subject}: {}", error.errno.desc()) }
}

/// As much of a string as a message can bear.
fn shortened(string: &str) -> &str {
    match string.char_indices().nth(200) {
        Some((end, _)) => &string[..end],
        None => string,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(argv: &[&str]) -> Exec {
        Exec {
            argv: argv.iter().map(ToString::to_string).collect(),
            env: [("PATH".to_owned(), "/a::/b".to_owned())].into(),
            cwd: "/".into(),
            timeout_ms: None,
            stdin: false,
        }
    }

    #[test]
    fn a_name_without_a_slash_is_looked_for_in_the_given_path() {
        let candidates = program(&request(&["tool", "x"])).unwrap().candidates;
        assert_eq!(candidates, [c"/a/tool".to_owned(), c"./tool".to_owned(), c"/b/tool".to_owned()]);
        let candidates = program(&request(&["./tool"])).unwrap().candidates;
        assert_eq!(candidates, [c"./tool".to_owned()]);
    }

    #[test]
    fn requests_that_no_kernel_could_take_are_refused() {
        assert!(program(&request(&[])).is_err());
        assert!(program(&request(&["a\0b"])).is_err());
        assert!(program(&Exec { cwd: "relative".into(), ..request(&["a"]) }).is_err());
        let env = [("A=B".to_owned(), String::new())].into();
        assert!(program(&Exec { env, ..request(&["a"]) }).is_err());
    }
}
