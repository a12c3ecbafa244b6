//! The life of one shell: one task that owns its process in the guest, what it shows and its record.

use super::Wish;
use super::text::TextDecoder;
use crate::clock::unix_time;
use crate::conversation::exit_code;
use crate::error::{Error, ErrorKind, Result};
use crate::guest::{ExecEvent, Execution, StdinSender};
use crate::instance::{LogWriter, SHELL_LOG_BYTES, ShellRecord, ShellState};
use crate::shell::{ShellId, ShellSpec};
use crate::supervisor::operation::Topic;
use crate::supervisor::shared::Shared;
use pyro_protocol::exec::{Exec, Exited, WindowSize};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};

const SIGHUP: i32 = libc::SIGHUP;

/// How long what runs in a shell may take to end when the terminal is taken away, before it is killed.
pub(super) const GRACE: Duration = Duration::from_secs(2);

/// How long the guest may take to start a shell: a busy emulated one needs seconds.
const START_LIMIT: Duration = Duration::from_secs(30);

/// What others see of a shell.
#[derive(Debug, Clone)]
pub(super) struct View {
    pub(super) record: ShellRecord,
    /// Where what it has shown ends.
    pub(super) position: u64,
    /// When something was last shown, typed or signalled.
    pub(super) active_at: Instant,
}

/// See the module.
pub(super) struct Task {
    shared: Arc<Shared>,
    execution: Execution,
    view: watch::Sender<View>,
    decoder: TextDecoder,
    log: LogWriter,
    wishes: mpsc::UnboundedReceiver<Wish>,
    is_closing: bool,
}

/// A shell that has been sent to the guest.
pub(super) struct Opened {
    pub(super) task: Task,
    pub(super) input: StdinSender,
    pub(super) wishes: mpsc::UnboundedSender<Wish>,
    pub(super) view: watch::Sender<View>,
}

impl Task {
    /// Has the guest start a program on a terminal, and waits until it runs.
    pub(super) async fn open(shared: &Arc<Shared>, spec: &ShellSpec, program: &str) -> Result<Opened> {
        let mut execution = shared.guest()?.exec(exec(spec, program))?;
        let input =
            execution.stdin().ok_or_else(|| Error::new(ErrorKind::Internal, "a shell without input"))?;
        let late = |_| shared.silent("the guest does not say that the shell runs");
        match timeout(START_LIMIT, execution.next()).await.map_err(late)? {
            Ok(ExecEvent::Started { .. }) if shared.is_gone() => return Err(shared.ended()),
            Ok(ExecEvent::Started { .. }) => {}
            Ok(_) => {
                return Err(Error::new(
                    ErrorKind::GuestUnreachable,
                    "the guest did not say that the shell runs",
                ));
            }
            Err(error) => return Err(shared.explain(error).await),
        }
        let record = beginning(spec)?;
        let shells = shared.instance.shells();
        shells.write(&record)?;
        let log = shells.log(&record.shell_id).writer(SHELL_LOG_BYTES)?;
        let view = watch::Sender::new(View { record, position: log.position(), active_at: Instant::now() });
        let (wishes_to, wishes) = mpsc::unbounded_channel();
        let (shared, decoder) = (Arc::clone(shared), TextDecoder::default());
        let task = Self { shared, execution, view: view.clone(), decoder, log, wishes, is_closing: false };
        Ok(Opened { task, input, wishes: wishes_to, view })
    }

    /// Until it has ended.
    pub(super) async fn live(mut self) {
        loop {
            tokio::select! {
                event = self.execution.next() => if self.process(event).await { return },
                Some(wish) = self.wishes.recv() => self.carry_out(wish),
            }
            if self.shared.is_gone() {
                return;
            }
        }
    }

    fn carry_out(&mut self, wish: Wish) {
        let done = match wish {
            Wish::Signal(signal) => self.execution.signal(signal),
            Wish::Resize(size) => self.resize(size),
            Wish::Close if self.is_closing => Ok(()),
            Wish::Close => {
                self.is_closing = true;
                self.execution.terminate(SIGHUP, GRACE)
            }
        };
        if let Err(error) = done {
            tracing::debug!("{}", error.chain().join(": ")); // its end comes as an event
        }
        self.view.send_modify(|view| view.active_at = Instant::now());
    }

    fn resize(&mut self, size: WindowSize) -> Result<()> {
        self.view.send_modify(|view| (view.record.cols, view.record.rows) = (size.cols, size.rows));
        self.record();
        self.execution.resize(size)
    }

    /// Something happened to its process. Gives whether it is over.
    async fn process(&mut self, event: Result<ExecEvent>) -> bool {
        match event {
            Ok(ExecEvent::Stdout(bytes)) => {
                let text = self.decoder.push(&bytes);
                self.show(&text);
                false
            }
            Ok(ExecEvent::Started { .. } | ExecEvent::Stderr(_)) => false,
            Ok(ExecEvent::Exited(exited)) => self.ended(&exited),
            Err(error) => {
                let why = self.shared.why_ended(&error).await;
                self.finish(|record| {
                    record.state = ShellState::Failed;
                    record.failure = Some(why);
                })
            }
        }
    }

    fn show(&mut self, text: &str) {
        if text.is_empty() || self.shared.is_gone() {
            return;
        }
        if let Err(error) = self.log.append(text.as_bytes()) {
            tracing::warn!("{}", error.chain().join(": "));
        }
        let position = self.log.position();
        self.view.send_modify(|view| (view.position, view.active_at) = (position, Instant::now()));
        self.changed();
        self.shared.printed.notify_one();
    }

    fn ended(&mut self, exited: &Exited) -> bool {
        let (state, code) =
            (if self.is_closing { ShellState::Closed } else { ShellState::Exited }, exit_code(exited));
        self.finish(|record| {
            record.state = state;
            match code {
                Ok(code) => record.exit_code = Some(code),
                Err(error) => record.failure = Some(error.message().to_owned()),
            }
        })
    }

    fn finish(&mut self, change: impl FnOnce(&mut ShellRecord)) -> bool {
        let rest = self.decoder.finish();
        self.show(&rest);
        let mut view = self.view.borrow().clone();
        view.record.ended_at = Some(unix_time());
        change(&mut view.record);
        self.view.send_replace(view);
        self.record();
        true
    }

    fn record(&self) {
        let id = self.view.borrow().record.shell_id.clone();
        self.shared.shell_changed(&id);
    }

    fn changed(&self) {
        let id = self.view.borrow().record.shell_id.clone();
        self.shared.topics.changed(&Topic::Shell(id));
    }
}

fn beginning(spec: &ShellSpec) -> Result<ShellRecord> {
    Ok(ShellRecord {
        shell_id: ShellId::fresh()?,
        cwd: spec.cwd.clone(),
        cols: spec.cols,
        rows: spec.rows,
        state: ShellState::Running,
        started_at: unix_time(),
        ended_at: None,
        exit_code: None,
        failure: None,
    })
}

/// A program as a login would start it on a terminal.
fn exec(spec: &ShellSpec, program: &str) -> Exec {
    let command = crate::command::Command::Argv(vec![program.into(), "-l".into()]);
    let mut exec = command.to_exec(Duration::ZERO, true);
    exec.env.insert("TERM".into(), "xterm-256color".into());
    (exec.cwd, exec.timeout_ms, exec.contained) = (spec.cwd.clone(), None, true);
    exec.terminal = Some(WindowSize { cols: spec.cols, rows: spec.rows });
    exec
}
