//! `pyro workspace shell attach`: a person at a shell.

use super::ShellArgs;
use super::detach_keys::{DEFAULT_DETACH_KEYS, DetachKeys};
use super::summary::closing_line;
use super::terminal::{LentTerminal, cleared, local_size};
use crate::commands::block_on;
use crate::commands::printer::{Printer, Show};
use crate::exit::Failure;
use crate::output::{self, Streams};
use clap::Args;
use pyro_host::error::{Context, Error, ErrorKind};
use pyro_host::output::OutputChannel;
use pyro_host::pyro::Pyro;
use pyro_host::workspace::{ShellAttachment, ShellStatus};
use std::io::IsTerminal;
use std::time::Duration;
use tokio::io::{AsyncReadExt, Stdin};
use tokio::signal::unix::{Signal, SignalKind, signal as listen};
use tokio::sync::mpsc;
use tokio::time::timeout;

const QUIT: u8 = 3;

/// So many keys are read ahead of a shell that takes none, so that those that leave are found among them.
const MAX_WAITING_KEYS: usize = 64 * 1024;

/// How long who leaves waits for the shell to take the keys before those that leave.
const LEAVING_LIMIT: Duration = Duration::from_secs(2);

/// Sit at a shell: see what it shows, type into it, and leave it running.
///
/// Ctrl-p Ctrl-q leaves (--detach-keys); the shell goes on. When the shell ends, its exit code is that of this command. The
/// shell's terminal takes the size of this one. Any number of people may sit at the same shell. For programs there are
/// `shell read` and `shell write`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n\
\x20 id=$(pyro workspace create debian:12 --id-only)\n\
\x20 sh=$(pyro workspace shell open $id --id-only)\n\
\x20 pyro workspace shell write $id $sh --input 'sleep 3; exit'\n\
\x20 pyro workspace shell attach $id $sh --read-only | cat\n\
\x20 pyro workspace delete $id")]
pub struct Attach {
    #[command(flatten)]
    shell: ShellArgs,

    /// Only watch: nothing is typed, the size stays, and standard output may be a pipe. Ctrl-C leaves.
    #[arg(long)]
    read_only: bool,

    /// The keys that leave: characters, and ctrl- with one of a-z [ \ ] ^ _, with commas between them.
    #[arg(long, value_name = "KEYS", default_value = DEFAULT_DETACH_KEYS)]
    detach_keys: String,

    /// Refused: a terminal is nothing that JSON can carry. Use `shell read --json`.
    #[arg(long)]
    pub json: bool,
}

/// How it comes to an end.
#[derive(Debug)]
enum End {
    /// The person has left, and the shell has taken all keys or not.
    Detached { took_all: bool },
    /// The shell has ended, so.
    Ended(ShellStatus),
    /// The signal whose key is Ctrl-\\ came: unlike those that every command heeds, from somewhere else.
    Quit,
}

impl Attach {
    pub fn execute(self) -> Result<u8, Failure> {
        let mut keys = self.checked()?;
        let pyro = Pyro::from_environment()?;
        let mut terminal = None;
        let (pieces, printer) = Printer::start(Streams::new());
        let end = block_on(async {
            let mut shell = pyro.attach_shell(&self.shell.id, &self.shell.shell).await?;
            terminal = self.lend()?;
            self.sit_at(&mut shell, &mut keys, &pieces).await
        });
        drop(pieces);
        let takes_all = printer.ends_soon();
        if let Some(terminal) = terminal {
            terminal.give_back(takes_all);
            if end.is_err() && takes_all {
                output::note(""); // what is said of it does not stand behind a prompt
            }
        }
        match end {
            Ok(End::Quit) => Err(Failure::Interrupted(QUIT)),
            // Where nothing can be shown any more nothing is waited for.
            Ok(End::Detached { .. }) if !takes_all => Ok(0),
            end => {
                let (end, printer) = printer.outcome(end)?;
                self.told(&end, &printer.printed()?)
            }
        }
    }

    /// Whether this may be done at all.
    fn checked(&self) -> Result<DetachKeys, Error> {
        let ShellArgs { id, shell } = &self.shell;
        let keys = DetachKeys::parse(&self.detach_keys)?;
        if self.json {
            let hint = format!("pyro workspace shell read {id} {shell} --json");
            return Err(Error::invalid("`shell attach` has no result as JSON").with_hint(hint));
        }
        let is_terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
        if !self.read_only && !is_terminal {
            let hint = format!(
                "`pyro workspace shell read {id} {shell}` and `pyro workspace shell write {id} {shell}` need none, and \
                 neither does --read-only"
            );
            let message = "standard input and output of `shell attach` must be a terminal";
            return Err(Error::invalid(message).with_hint(hint));
        }
        Ok(keys)
    }

    fn lend(&self) -> Result<Option<LentTerminal>, Error> {
        if !self.read_only {
            return LentTerminal::to_type().map(Some);
        }
        Ok(std::io::stdout().is_terminal().then(LentTerminal::to_watch))
    }

    /// Shows what the shell shows and types what is typed, until either has had enough.
    async fn sit_at(
        &self,
        shell: &mut ShellAttachment,
        keys: &mut DetachKeys,
        pieces: &mpsc::Sender<String>,
    ) -> Result<End, Error> {
        let mut signals = Signals::listen()?;
        let mut stdin = tokio::io::stdin();
        if !self.read_only {
            fit(shell).await?;
        }
        let cleared = if std::io::stdout().is_terminal() { cleared() } else { String::new() };
        let mut waiting = Some(cleared + &shell.screen()?);
        let mut waiting_keys = Vec::new();
        loop {
            type_now(shell, &mut waiting_keys).await?;
            if waiting.is_none() {
                waiting = shell.shown()?;
                if waiting.is_none() && shell.is_over() {
                    return shell.status().map(End::Ended);
                }
            }
            // A terminal that takes nothing holds up what it is shown, not what is typed at it.
            tokio::select! {
                room = pieces.reserve(), if waiting.is_some() => {
                    let room = room.map_err(|_| Error::new(ErrorKind::OutputClosed, "nobody reads the output"))?;
                    room.send(waiting.take().unwrap_or_default());
                }
                told = shell.told(), if !shell.is_over() => told?,
                typed = read(&mut stdin), if !self.read_only && waiting_keys.len() < MAX_WAITING_KEYS => {
                    let Some(bytes) = typed? else { return leave(shell, &waiting_keys).await };
                    let typed = keys.typed(&bytes);
                    waiting_keys.extend(typed.bytes);
                    if typed.detached {
                        return leave(shell, &waiting_keys).await;
                    }
                }
                _ = signals.resized.recv(), if !self.read_only => fit(shell).await?,
                _ = signals.quit.recv() => return Ok(End::Quit),
            }
        }
    }

    /// Says how it ended. The exit code is the shell's.
    fn told(&self, end: &End, streams: &Streams) -> Result<u8, Failure> {
        let ShellArgs { id, shell } = &self.shell;
        match end {
            End::Detached { .. } | End::Quit => {
                streams.closing_line(&format!(
                    "[workspace-shell-attach] shell_id={shell} detached; it goes on: pyro workspace shell attach {id} \
                     {shell}"
                ));
                if let End::Detached { took_all: false } = end {
                    output::note(
                        "note: the last of what was typed is lost: what runs in the shell does not read it",
                    );
                }
                Ok(0)
            }
            End::Ended(ended) => {
                streams.closing_line(&closing_line("workspace-shell-attach", ended, ""));
                exit_code(ended)
            }
        }
    }
}

/// The exit code of a shell that has ended, where somebody saw its end.
fn exit_code(ended: &ShellStatus) -> Result<u8, Failure> {
    if let Some(code) = ended.exit_code {
        return Ok(u8::try_from(code).unwrap_or(u8::MAX));
    }
    let message = format!("shell `{}` ended without an exit code", ended.shell_id);
    let error = Error::new(ErrorKind::GuestUnreachable, message);
    Err(match &ended.failure {
        Some(failure) => error.with_source(failure.clone()),
        None => error,
    }
    .into())
}

/// The signals that matter to somebody at a shell, beside those that end every command.
struct Signals {
    resized: Signal,
    quit: Signal,
}

impl Signals {
    fn listen() -> Result<Self, Error> {
        let to = |kind| listen(kind).failing(ErrorKind::Io, || "could not listen for signals".into());
        Ok(Self { resized: to(SignalKind::window_change())?, quit: to(SignalKind::quit())? })
    }
}

/// Gives the shell's terminal the size of this one.
async fn fit(shell: &mut ShellAttachment) -> Result<(), Error> {
    match local_size() {
        Some((cols, rows)) => shell.resize(cols, rows).await,
        None => Ok(()),
    }
}

/// Types as many of the keys as there is room for.
async fn type_now(shell: &mut ShellAttachment, keys: &mut Vec<u8>) -> Result<(), Error> {
    let n_now = keys.len().min(shell.room());
    shell.write(&keys[..n_now]).await?;
    keys.drain(..n_now);
    Ok(())
}

/// Types what was typed before somebody leaves, which nothing that does not read it holds up for long.
async fn leave(shell: &mut ShellAttachment, keys: &[u8]) -> Result<End, Error> {
    match timeout(LEAVING_LIMIT, shell.write(keys)).await {
        Ok(typed) => typed.map(|()| End::Detached { took_all: true }),
        Err(_) => Ok(End::Detached { took_all: false }),
    }
}

/// Waits for keys. None when the terminal is gone. May be dropped half-way: no key is lost.
async fn read(stdin: &mut Stdin) -> Result<Option<Vec<u8>>, Error> {
    let mut bytes = vec![0; 4096];
    let n_bytes =
        stdin.read(&mut bytes).await.failing(ErrorKind::Io, || "could not read from the terminal".into())?;
    bytes.truncate(n_bytes);
    Ok((n_bytes > 0).then_some(bytes))
}

impl Show<String> for Streams {
    fn show(&mut self, piece: String) -> Result<(), Error> {
        self.write(OutputChannel::Stdout, piece.as_bytes())
    }
}
