//! `pyro workspace logs`.

use crate::commands::block_on;
use crate::commands::printer::{Printer, Show};
use crate::commands::shown;
use crate::exit::Failure;
use crate::output::{self, Streams};
use clap::Args;
use pyro_host::command::Command;
use pyro_host::error::Error;
use pyro_host::instance::HistoryEntry;
use pyro_host::output::OutputChannel;
use pyro_host::pyro::Pyro;
use pyro_host::workspace::LogEvent;
use std::collections::BTreeMap;

/// Print the commands of a workspace and all that they printed, also of one that is stopped.
///
/// Each begins with a line such as `[1] $ git status` and ends with its exit code, on standard output; what it printed
/// goes to where it was printed to. With --json the output of each command is cut after 64 KiB, that of one (--sequence)
/// after 8 MiB, and that of all together after 8 MiB, of the oldest first.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n\
\x20 id=$(pyro workspace create debian:12 --id-only)\n\
\x20 pyro workspace exec $id -- uname -r\n\
\x20 pyro workspace logs $id\n\
\x20 pyro workspace logs $id --sequence 1 --follow\n\
\x20 pyro workspace delete $id")]
pub struct Logs {
    /// The workspace.
    #[arg(value_name = "WORKSPACE_ID")]
    id: String,

    /// Only the command with this number; the first is 1.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    sequence: Option<u64>,

    /// Go on as commands are run and print, until the workspace ends, or the command of --sequence. With --json, wait for
    /// that and print then.
    #[arg(long)]
    follow: bool,

    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

impl Logs {
    pub fn execute(self) -> Result<u8, Failure> {
        let pyro = Pyro::from_environment()?;
        if self.json {
            return self.json(&pyro);
        }
        let (events, printer) = Printer::start(Display::new());
        let told = block_on(pyro.tell_logs_workspace(&self.id, self.sequence, self.follow, events));
        let ((), printer) = printer.outcome(told)?;
        let display = printer.printed()?;
        let line = format!("[workspace-logs] workspace_id={} count={}", self.id, display.count);
        display.streams.closing_line(&line);
        Ok(0)
    }

    fn json(&self, pyro: &Pyro) -> Result<u8, Failure> {
        let logs = match self.follow {
            true => block_on(pyro.logs_workspace_at_end(&self.id, self.sequence))?,
            false => pyro.logs_workspace(&self.id, self.sequence)?,
        };
        output::json(&logs)?;
        Ok(0)
    }
}

/// Prints what happens, so that it is clear which output belongs to which command.
struct Display {
    streams: Streams,
    count: usize,
    /// The headers of commands that have not ended.
    running: BTreeMap<u64, String>,
    /// The command whose output was printed last.
    current: Option<u64>,
    /// Which of its outputs that was.
    channel: OutputChannel,
}

impl Display {
    fn new() -> Self {
        Self {
            streams: Streams::new(),
            count: 0,
            running: BTreeMap::new(),
            current: None,
            channel: OutputChannel::Stdout,
        }
    }

    fn turn_to(&mut self, sequence: u64) -> Result<(), Error> {
        if self.current == Some(sequence) {
            return Ok(());
        }
        self.current = Some(sequence);
        match self.running.get(&sequence) {
            Some(header) => self.streams.heading(header),
            None => Ok(()),
        }
    }

    fn ended(&mut self, entry: &HistoryEntry) -> Result<(), Error> {
        // One that printed nothing since another did has its header anyway.
        self.turn_to(entry.sequence)?;
        self.running.remove(&entry.sequence);
        self.streams.heading(&end(entry))
    }
}

impl Show<LogEvent> for Display {
    fn show(&mut self, event: LogEvent) -> Result<(), Error> {
        match event {
            LogEvent::Begun(entry) => {
                self.count += 1;
                self.running.insert(entry.sequence, header(&entry));
                self.turn_to(entry.sequence)
            }
            LogEvent::Output { sequence, channel, bytes } => {
                self.turn_to(sequence)?;
                if std::mem::replace(&mut self.channel, channel) != channel {
                    self.streams.end_line()?;
                }
                self.streams.write(channel, &bytes)
            }
            LogEvent::Ended(entry) => self.ended(&entry),
        }
    }
}

fn header(entry: &HistoryEntry) -> String {
    match &entry.command {
        Command::Argv(words) if words.is_empty() => format!("[{}] (its entry is damaged)", entry.sequence),
        command => format!("[{}] $ {}", entry.sequence, shown::command(command)),
    }
}

fn end(entry: &HistoryEntry) -> String {
    let mut line =
        format!("[{}] cwd={} execution_mode={}", entry.sequence, entry.cwd, entry.execution_mode.name());
    match entry.exit_code {
        Some(code) => line += &format!(" exit_code={code}"),
        None => line += " exit_code=none",
    }
    if let Some(duration_ms) = entry.duration_ms {
        line += &format!(" duration_ms={duration_ms:.0}");
    }
    if entry.timed_out {
        line += " timed_out=true";
    }
    if let Some(error) = &entry.error {
        line += &format!(" error={}", shown::word(error));
    }
    line
}
