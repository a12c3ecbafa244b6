//! The only module that prints. Standard output is data, everything else goes to standard error.
//!
//! Writing never panics: a closed pipe is reported to the caller, who ends quietly.

use pyro_host::error::{Error, ErrorKind};
use pyro_host::output::OutputChannel;
use serde::Serialize;
use serde_json::json;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::process::ExitCode;
use std::time::Duration;

/// Whether a person may be watching standard error.
pub fn stderr_is_terminal() -> bool {
    io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// One JSON object, indented by two, keys sorted.
pub fn json(value: &impl Serialize) -> Result<(), Error> {
    // By way of a value, whose objects sort their keys.
    let text = serde_json::to_value(value).and_then(|value| serde_json::to_string_pretty(&value)).map_err(
        |error| Error::new(ErrorKind::Internal, "could not write the result as JSON").with_source(error),
    )?;
    data(format!("{text}\n").as_bytes())
}

/// Lines of text.
pub fn text(text: &str) -> Result<(), Error> {
    data(text.as_bytes())
}

/// Bytes as they are.
pub fn data(bytes: &[u8]) -> Result<(), Error> {
    let mut stdout = io::stdout().lock();
    write_all(&mut stdout, bytes).and_then(|()| stdout.flush()).map_err(output_error)
}

/// Writes everything, also to an output that somebody else has made non-blocking: then it is tried again shortly.
fn write_all(output: &mut impl Write, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match output.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n_written) => bytes = &bytes[n_written..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn output_error(error: io::Error) -> Error {
    let kind =
        if error.kind() == io::ErrorKind::BrokenPipe { ErrorKind::OutputClosed } else { ErrorKind::Io };
    Error::new(kind, "could not write the output").with_source(error)
}

/// One line for people: progress, warnings. That it cannot be written is no reason to fail.
pub fn note(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// An error, with its causes and what to do next; as JSON on standard output where that was asked for.
pub fn error(error: &Error, as_json: bool) {
    if as_json {
        let value = json!({"error": {
            "kind": error.kind(),
            "message": error.chain().join(": "),
            "hint": error.hint(),
        }});
        // Whoever cannot read it there is told the other way.
        if json(&value).is_ok() {
            return;
        }
    }
    let mut chain = error.chain().into_iter();
    note(&format!("error: {}", chain.next().unwrap_or_default()));
    for cause in chain {
        note(&format!("  cause: {}", in_lines(&cause)));
    }
    if let Some(hint) = error.hint() {
        note(&format!("hint: {hint}"));
    }
}

/// A cause whose further lines, such as the end of a log, stand below the first. What a guest wrote in them does nothing to
/// a terminal.
fn in_lines(cause: &str) -> String {
    let harmless = |line: &str| {
        let shown = line.chars().map(|character| match character {
            '\t' => character.to_string(),
            character if character.is_control() => character.escape_default().to_string(),
            character => character.to_string(),
        });
        shown.collect::<String>()
    };
    cause.lines().map(harmless).collect::<Vec<_>>().join("\n    ")
}

/// What clap has to say: help and version are data, wrong usage is an error.
pub fn usage(error: &clap::Error) -> ExitCode {
    let before_command = std::env::args_os().skip(1).take_while(|word| word != "--");
    if error.use_stderr() && before_command.into_iter().any(|word| word == "--json") {
        let text = error.to_string();
        let lines = text.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:"));
        let message = lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
        let message = message.trim_start_matches("error: ");
        self::error(&Error::invalid(message).with_hint("see --help"), true);
    } else {
        let _ = error.print();
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

/// Passes a command's output on, and remembers which output is in the middle of a line.
#[derive(Debug)]
pub struct Streams {
    /// Whether both outputs go to the same place: a terminal, or one file.
    is_one_place: bool,
    stdout_open: bool,
    stderr_open: bool,
}

impl Streams {
    /// Nothing has been written yet.
    pub fn new() -> Self {
        Self { is_one_place: is_one_place(), stdout_open: false, stderr_open: false }
    }

    /// Writes to the stream that the bytes came from.
    pub fn write(&mut self, channel: OutputChannel, bytes: &[u8]) -> Result<(), Error> {
        match channel {
            OutputChannel::Stdout => data(bytes)?,
            OutputChannel::Stderr => write_all(&mut io::stderr().lock(), bytes).map_err(output_error)?,
        }
        let Some(last) = bytes.last() else { return Ok(()) };
        let is_open = *last != b'\n';
        if self.is_one_place || channel == OutputChannel::Stdout {
            self.stdout_open = is_open;
        }
        if self.is_one_place || channel == OutputChannel::Stderr {
            self.stderr_open = is_open;
        }
        Ok(())
    }

    /// Ends an unfinished line where the other output would go on in it.
    pub fn end_line(&mut self) -> Result<(), Error> {
        if self.is_one_place && self.stdout_open {
            return self.write(OutputChannel::Stdout, b"\n");
        }
        Ok(())
    }

    /// A line of pyro's own on standard output, on a line of its own: it belongs to the data.
    pub fn heading(&mut self, line: &str) -> Result<(), Error> {
        let before = if self.stdout_open { "\n" } else { "" };
        self.write(OutputChannel::Stdout, format!("{before}{line}\n").as_bytes())
    }

    /// A line of pyro's own between others, on a line of its own.
    pub fn remark(&mut self, line: &str) {
        self.closing_line(line);
        self.stderr_open = false;
        self.stdout_open &= !self.is_one_place;
    }

    /// A line of pyro's own, on a line of its own.
    pub fn closing_line(&self, line: &str) {
        note(&format!("{}{line}", if self.stderr_open { "\n" } else { "" }));
    }
}

fn is_one_place() -> bool {
    let place = |descriptor: io::Result<OwnedFd>| {
        let found = File::from(descriptor.ok()?).metadata().ok()?;
        Some((found.dev(), found.ino()))
    };
    let stdout = place(io::stdout().as_fd().try_clone_to_owned());
    stdout.is_some() && stdout == place(io::stderr().as_fd().try_clone_to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_of_several_lines_stays_readable_and_harmless() {
        assert_eq!(in_lines("one line"), "one line");
        assert_eq!(in_lines("its log ends:\n\ta\r\n\u{1b}[2Jb\n"), "its log ends:\n    \ta\n    \\u{1b}[2Jb");
    }
}
