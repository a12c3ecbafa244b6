//! Shells: terminals in a workspace.

use super::workspace::workspace_path;
use crate::call::Call;
use crate::cut::{LIMIT, cut};
use crate::tool::{Effect, Told, Tool};
use pyro_host::error::Result;
use pyro_host::shell::{DEFAULT_COLS, DEFAULT_ROWS, ShellSignal, ShellSpec};
use pyro_host::workspace::{
    DEFAULT_MAX_CHARS, ReadSpec, ShellOutput, ShellSignalled, ShellStatus, ShellWritten,
};
use schemars::JsonSchema;
use serde::Deserialize;

pub(super) fn tools() -> Vec<Tool> {
    let mut tools = vec![Tool::new(OPEN, shell_open), Tool::new(READ, shell_read)];
    tools.extend([Tool::new(WRITE, shell_write), Tool::new(SIGNAL, shell_signal)]);
    tools.push(Tool::new(CLOSE, shell_close));
    tools
}

const OPEN: Told = Told {
    name: "shell_open",
    effect: Effect::Adds,
    description: "Open an interactive shell on a terminal in a workspace, for programs that ask questions and for state \
                  that has to stay between commands. Returns shell_id. Next: shell_write, then shell_read. For a single \
                  command workspace_exec is simpler.",
};

const READ: Told = Told {
    name: "shell_read",
    effect: Effect::Reads,
    description: "Read what a shell's terminal has shown from cursor on. Give next_cursor of the last read as cursor of \
                  the next. After shell_write, give wait_for_idle_ms (for example 300) to wait for the answer, and \
                  plain=true for text without colours.",
};

const WRITE: Told = Told {
    name: "shell_write",
    effect: Effect::Changes,
    description: "Type text into a shell, and press Enter unless append_newline is false. Next: shell_read.",
};

const SIGNAL: Told = Told {
    name: "shell_signal",
    effect: Effect::Changes,
    description: "Send a signal to what runs in the foreground of a shell: INT is Ctrl-C.",
};

const CLOSE: Told = Told {
    name: "shell_close",
    effect: Effect::ChangesOnce,
    description: "End a shell with everything that was started in it. What it showed can still be read.",
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Open {
    /// From workspace_create.
    workspace_id: String,
    /// The directory that it begins in.
    #[serde(default = "workspace_path")]
    cwd: String,
    /// Columns of its terminal.
    #[serde(default = "cols")]
    cols: u16,
    /// Rows of its terminal.
    #[serde(default = "rows")]
    rows: u16,
}

fn cols() -> u16 {
    DEFAULT_COLS
}

fn rows() -> u16 {
    DEFAULT_ROWS
}

async fn shell_open(call: Call, open: Open) -> Result<ShellStatus> {
    let spec = ShellSpec { cwd: open.cwd, cols: open.cols, rows: open.rows };
    call.pyro.open_shell(&open.workspace_id, &spec).await
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Read {
    /// From workspace_create.
    workspace_id: String,
    /// From shell_open.
    shell_id: String,
    /// Characters from the beginning of the session to the first that is wanted.
    #[serde(default)]
    cursor: u64,
    /// How many characters at most.
    #[serde(default = "max_chars")]
    max_chars: u64,
    /// Give plain text: without escape sequences.
    #[serde(default)]
    plain: bool,
    /// Wait until nothing has been shown for so many milliseconds, 60 seconds in all at most.
    wait_for_idle_ms: Option<u64>,
}

fn max_chars() -> u64 {
    DEFAULT_MAX_CHARS
}

async fn shell_read(call: Call, read: Read) -> Result<ShellOutput> {
    let Read { cursor, max_chars, plain, wait_for_idle_ms, .. } = read;
    let spec = ReadSpec { cursor, max_chars, plain, wait_for_idle_ms };
    let mut output = call.pyro.read_shell(&read.workspace_id, &read.shell_id, &spec).await?;
    let from = output.cursor + output.dropped_chars;
    let rest = format!("read it in pieces, from cursor={from} with max_chars=20000");
    output.output = cut(output.output, LIMIT, &rest);
    Ok(output)
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Write {
    /// From workspace_create.
    workspace_id: String,
    /// From shell_open.
    shell_id: String,
    /// What to type.
    input: String,
    /// Press Enter after it.
    #[serde(default = "append_newline")]
    append_newline: bool,
}

fn append_newline() -> bool {
    true
}

async fn shell_write(call: Call, write: Write) -> Result<ShellWritten> {
    let Write { workspace_id, shell_id, input, append_newline } = write;
    call.pyro.write_shell(&workspace_id, &shell_id, &input, append_newline).await
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Signal {
    /// From workspace_create.
    workspace_id: String,
    /// From shell_open.
    shell_id: String,
    /// HUP, INT, TERM, KILL, QUIT, TSTP, CONT or WINCH.
    #[serde(default = "signal_name")]
    signal_name: String,
}

fn signal_name() -> String {
    ShellSignal::Int.name().into()
}

async fn shell_signal(call: Call, signal: Signal) -> Result<ShellSignalled> {
    let number = ShellSignal::parse(&signal.signal_name)?;
    call.pyro.signal_shell(&signal.workspace_id, &signal.shell_id, number).await
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Shell {
    /// From workspace_create.
    workspace_id: String,
    /// From shell_open.
    shell_id: String,
}

async fn shell_close(call: Call, shell: Shell) -> Result<ShellStatus> {
    call.pyro.close_shell(&shell.workspace_id, &shell.shell_id).await
}
