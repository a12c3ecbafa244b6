//! `pyro workspace shell read`.

use super::ShellArgs;
use super::summary::closing_line;
use crate::commands::block_on;
use crate::exit::Failure;
use crate::output::{self, Streams};
use clap::Args;
use pyro_host::output::OutputChannel;
use pyro_host::pyro::Pyro;
use pyro_host::workspace::{DEFAULT_MAX_CHARS, ReadSpec, ShellOutput};

/// Print what a shell has shown, from a cursor on, also of one that has ended.
///
/// The cursor counts characters from the start of the session. The closing line tells the cursor of what comes next
/// (next_cursor), and whether there was more before the text that is not kept any more (truncated). Reading takes nothing
/// away: any number of readers may have cursors of their own.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n\
\x20 id=$(pyro workspace create debian:12 --id-only)\n\
\x20 sh=$(pyro workspace shell open $id --id-only)\n\
\x20 pyro workspace shell write $id $sh --input 'ls -la'\n\
\x20 pyro workspace shell read $id $sh --plain --wait-for-idle-ms 500\n\
\x20 pyro workspace shell read $id $sh --cursor 10 --max-chars 1000 --json\n\
\x20 pyro workspace delete $id")]
pub struct Read {
    #[command(flatten)]
    shell: ShellArgs,

    /// Characters from the start of the session to the first that is wanted.
    #[arg(long, value_name = "N", default_value_t = 0)]
    cursor: u64,

    /// The most characters that are printed: 1 to 4194304.
    #[arg(long, value_name = "N", default_value_t = DEFAULT_MAX_CHARS)]
    max_chars: u64,

    /// Leave escape sequences out, and apply carriage returns and backspaces.
    #[arg(long)]
    plain: bool,

    /// Wait until the shell has shown nothing for so many milliseconds: 1 to 60000. At most a minute in all.
    #[arg(long, value_name = "MS")]
    wait_for_idle_ms: Option<u64>,

    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

impl Read {
    pub fn execute(self) -> Result<u8, Failure> {
        let ShellArgs { id, shell } = &self.shell;
        let spec = ReadSpec {
            cursor: self.cursor,
            max_chars: self.max_chars,
            plain: self.plain,
            wait_for_idle_ms: self.wait_for_idle_ms,
        };
        let pyro = Pyro::from_environment()?;
        let read = block_on(pyro.read_shell(id, shell, &spec))?;
        if self.json {
            output::json(&read)?;
            return Ok(0);
        }
        let mut streams = Streams::new();
        streams.write(OutputChannel::Stdout, read.output.as_bytes())?;
        streams.closing_line(&closing_line("workspace-shell-read", &read.shell, &told(&read)));
        Ok(0)
    }
}

fn told(read: &ShellOutput) -> String {
    let ShellOutput { cursor, next_cursor, truncated, .. } = read;
    let mut told = format!(" cursor={cursor} next_cursor={next_cursor} truncated={truncated}");
    if read.truncated {
        told += &format!(" dropped_chars={}", read.dropped_chars);
    }
    if let Some(idle) = read.idle {
        told += &format!(" idle={idle}");
    }
    told
}
