//! `pyro workspace service logs`.

use super::ServiceArgs;
use super::summary::closing_line;
use crate::commands::block_on;
use crate::commands::printer::{Printer, Show};
use crate::exit::Failure;
use crate::output::{self, Streams};
use clap::Args;
use pyro_host::error::Error;
use pyro_host::output::OutputChannel;
use pyro_host::pyro::Pyro;
use pyro_host::workspace::{DEFAULT_TAIL_LINES, ServiceLogEvent, ServiceStatus};

/// Print the end of what a service printed, also of one that has ended.
///
/// What it printed to standard output goes to standard output, the rest to standard error. The last 16 MiB of each are
/// kept; what is not kept any more is said on standard error. With --json at most the last 8 MiB of each are given.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n\
\x20 id=$(pyro workspace create debian:12 --id-only)\n\
\x20 pyro workspace service start $id job -- sh -c 'seq 1000; sleep 3'\n\
\x20 pyro workspace service logs $id job --tail-lines 5\n\
\x20 pyro workspace service logs $id job --all --follow\n\
\x20 pyro workspace delete $id")]
pub struct Logs {
    #[command(flatten)]
    service: ServiceArgs,

    /// How many lines of each output.
    #[arg(long, value_name = "N", default_value_t = DEFAULT_TAIL_LINES)]
    tail_lines: u64,

    /// All that is kept.
    #[arg(long, conflicts_with = "tail_lines")]
    all: bool,

    /// Go on as it prints, until it ends. With --json, wait for that and print then.
    #[arg(long)]
    follow: bool,

    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

impl Logs {
    pub fn execute(self) -> Result<u8, Failure> {
        let ServiceArgs { id, name } = &self.service;
        let tail_lines = (!self.all).then_some(self.tail_lines);
        let pyro = Pyro::from_environment()?;
        if self.json {
            let logs = match self.follow {
                true => block_on(pyro.logs_service_at_end(id, name, tail_lines))?,
                false => pyro.logs_service(id, name, tail_lines)?,
            };
            output::json(&logs)?;
            return Ok(0);
        }
        let (events, printer) = Printer::start(Display::new());
        let told = block_on(pyro.tell_logs_service(id, name, tail_lines, self.follow, events));
        let ((), printer) = printer.outcome(told)?;
        printer.printed()?.closing_line();
        Ok(0)
    }
}

/// Prints what comes.
struct Display {
    streams: Streams,
    /// Which output was printed last.
    channel: OutputChannel,
    /// How the service is, once that is told.
    service: Option<ServiceStatus>,
}

impl Display {
    fn new() -> Self {
        Self { streams: Streams::new(), channel: OutputChannel::Stdout, service: None }
    }

    fn closing_line(&self) {
        if let Some(service) = &self.service {
            self.streams.closing_line(&closing_line("workspace-service-logs", service));
        }
    }
}

impl Show<ServiceLogEvent> for Display {
    fn show(&mut self, event: ServiceLogEvent) -> Result<(), Error> {
        match event {
            ServiceLogEvent::Dropped { channel, n_bytes } => {
                let output = match channel {
                    OutputChannel::Stdout => "stdout",
                    OutputChannel::Stderr => "stderr",
                };
                let line =
                    format!("[workspace-service-logs] dropped {output}_bytes={n_bytes}: not kept any more");
                self.streams.remark(&line);
            }
            ServiceLogEvent::Output { channel, bytes } => {
                if std::mem::replace(&mut self.channel, channel) != channel {
                    self.streams.end_line()?;
                }
                self.streams.write(channel, &bytes)?;
            }
            ServiceLogEvent::Ended(service) => self.service = Some(service),
        }
        Ok(())
    }
}
