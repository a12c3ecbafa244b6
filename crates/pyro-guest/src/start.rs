//! How a program is started on a stream: its pipes or its terminal, its control group, the watch over both.

use crate::cgroup::Cgroup;
use crate::exec::{Command, Streams};
use crate::job::{Input, Job, NotStarted, View};
use crate::output::Output;
use crate::processes::Processes;
use crate::root::Root;
use crate::spawn::{Program, SpawnError, Spawner, Step, Surroundings};
use crate::stdin::Stdin;
use crate::terminal::Terminal;
use crate::token::{self, Token};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::epoll::Epoll;
use pyro_protocol::exec::{ExecFailure, WindowSize};
use pyro_protocol::frame::Channel;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

/// What a start needs besides the job.
#[derive(Debug)]
pub(crate) struct Starter<'a> {
    pub(crate) epoll: &'a Epoll,
    pub(crate) spawner: &'a mut Spawner,
    pub(crate) root: &'a Root,
    /// What a command without input reads.
    pub(crate) null: &'a OwnedFd,
    /// How many programs were started before.
    pub(crate) n_started: u64,
}

/// The command's ends of its streams.
enum Theirs {
    Pipes {
        /// Without one it reads from nothing.
        stdin: Option<OwnedFd>,
        stdout: OwnedFd,
        stderr: OwnedFd,
    },
    Terminal(OwnedFd),
}

impl Theirs {
    /// Standard input, output and error.
    fn stdio<'a>(&'a self, null: &'a OwnedFd) -> [BorrowedFd<'a>; 3] {
        match self {
            Self::Pipes { stdin, stdout, stderr } => {
                [stdin.as_ref().unwrap_or(null).as_fd(), stdout.as_fd(), stderr.as_fd()]
            }
            Self::Terminal(terminal) => [terminal.as_fd(); 3],
        }
    }
}

impl Starter<'_> {
    /// Starts a program on a stream.
    pub(crate) fn start(&mut self, job: &Job, stream: u32) -> Result<Command, NotStarted> {
        let serial = token::serial(self.n_started);
        let (streams, theirs) = self.streams(job.input, stream, serial).map_err(no_resources)?;
        let cgroup = self.cgroup(job).map_err(no_resources)?;
        let entrance = cgroup.as_ref().map(Cgroup::entrance).transpose().map_err(no_resources)?;
        let namespace = self.root.namespace().filter(|_| job.view == View::OfCommands);
        let around = Surroundings {
            stdio: theirs.stdio(self.null),
            terminal: streams.terminal.is_some(),
            namespace,
            cgroup: entrance.as_ref().map(OwnedFd::as_fd),
        };
        let started = Instant::now();
        let spawned = self.spawner.spawn(&job.program, &around);
        let pid = spawned.map_err(|error| not_spawned(error, &job.program))?;
        let processes = match cgroup {
            Some(cgroup) => Processes::Cgroup(cgroup),
            // The jobs of a shell are process groups of their own.
            None if job.contained || streams.terminal.is_some() => Processes::Session(pid),
            None => Processes::Group(pid),
        };
        Ok(Command::new(serial, pid, processes, streams, job, started))
    }

    /// A group for a job that needs one. Where there is no such thing, a session has to do.
    fn cgroup(&self, job: &Job) -> nix::Result<Option<Cgroup>> {
        let parent = self.root.cgroups().filter(|_| job.contained);
        parent.map(|parent| Cgroup::make(parent, format!("pyro-{}", self.n_started))).transpose()
    }

    fn streams(&self, input: Input, stream: u32, serial: u32) -> nix::Result<(Streams, Theirs)> {
        let token = |channel| Token { stream, serial, channel }.to_u64();
        let stdin_token = token(Channel::Stdin);
        let (streams, theirs) = match input {
            Input::Terminal(size) => terminal_streams(self.root, size, stream, stdin_token)?,
            Input::Pipe => pipe_streams(Some(pipe(End::Write)?), stream, stdin_token)?,
            Input::Null => pipe_streams(None, stream, stdin_token)?,
        };
        for (output, channel) in streams.outputs.iter().zip([Channel::Stdout, Channel::Stderr]) {
            output.watch(self.epoll, token(channel))?;
        }
        Ok((streams, theirs))
    }
}

fn pipe_streams(input: Option<Pipe>, stream: u32, token: u64) -> nix::Result<(Streams, Theirs)> {
    let (stdout, stderr) = (pipe(End::Read)?, pipe(End::Read)?);
    let (ours, theirs) = input.map(|pipe| (pipe.ours, pipe.theirs)).unzip();
    let outputs =
        [Output::of_pipe(Channel::Stdout, stdout.ours), Output::of_pipe(Channel::Stderr, stderr.ours)];
    let streams = Streams { stdin: Stdin::new(stream, token, ours), outputs, terminal: None };
    Ok((streams, Theirs::Pipes { stdin: theirs, stdout: stdout.theirs, stderr: stderr.theirs }))
}

fn terminal_streams(
    root: &Root,
    size: WindowSize,
    stream: u32,
    token: u64,
) -> nix::Result<(Streams, Theirs)> {
    let (terminal, theirs) = Terminal::open(root, size)?;
    let outputs = [Output::of_terminal(Channel::Stdout, terminal.another()?), Output::none(Channel::Stderr)];
    let stdin = Stdin::of_terminal(stream, token, terminal.another()?);
    Ok((Streams { stdin, outputs, terminal: Some(terminal) }, Theirs::Terminal(theirs)))
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
