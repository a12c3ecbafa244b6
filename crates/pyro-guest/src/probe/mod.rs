//! Asks whether a service is ready, again and again until it is.
//!
//! A probe is a process of its own, this same program started as `pyro-guest probe <hex>`, so that the event loop never
//! waits for a name server or a service. It lives where commands do: it sees their files and resolves names as they do.
//! The environment of the process is that of a command it asks with, and so is no argument that everybody sees.

mod command;
mod http;
mod tcp;

use crate::hex;
use pyro_protocol::message;
use pyro_protocol::probe::{Address, Check, MAX_ANSWER, Probe, Url};
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;

/// The first argument of a process that is to probe.
pub const ARGUMENT: &str = "probe";

/// Asking more often than this would only keep the service from getting ready.
const MIN_INTERVAL: Duration = Duration::from_millis(10);

/// From the first answer to the second question; then twice as long each time, up to the interval.
const FIRST_PAUSE: Duration = Duration::from_millis(20);

/// The words that start a probe's process.
///
/// # Errors
/// Why no service could ever be ready by it, or that it is too long for a message.
pub(crate) fn arguments(probe: &Probe) -> Result<Vec<String>, String> {
    validate(probe)?;
    let alone = Probe { env: BTreeMap::new(), ..probe.clone() };
    let bytes = message::encode(&alone).map_err(|error| error.to_string())?;
    Ok(vec!["pyro-guest".into(), ARGUMENT.into(), hex::encode(&bytes)])
}

fn validate(probe: &Probe) -> Result<(), String> {
    match &probe.check {
        Check::File { path } if !path.starts_with('/') => Err("the file's path is not absolute".into()),
        Check::Command { .. } if !probe.cwd.starts_with('/') => {
            Err("the working directory is not an absolute path".into())
        }
        Check::File { path: text } | Check::Command { command: text } if text.contains('\0') => {
            Err("the probe contains a zero byte".into())
        }
        Check::File { .. } | Check::Command { .. } => Ok(()),
        Check::Tcp { address } => parsed_address(address).map(drop),
        Check::Http { url } => parsed_url(url).map(drop),
    }
}

fn parsed_address(text: &str) -> Result<Address, String> {
    Address::parse(text).map_err(|why| format!("`{text}` is no HOST:PORT: {why}"))
}

fn parsed_url(text: &str) -> Result<Url, String> {
    Url::parse(text).map_err(|why| format!("`{text}` is no http URL: {why}"))
}

/// Probes as the only work of this process: prints each answer that is not the one before, and ends when it is that the
/// service is ready.
pub fn run(digits: &str) -> ExitCode {
    let probe = hex::decode(digits).and_then(|bytes| message::decode::<Probe>(&bytes).ok());
    let Some(probe) = probe else {
        let _ = writeln!(io::stderr(), "the probe is not understood"); // there is nobody else to tell
        return ExitCode::FAILURE;
    };
    let interval = Duration::from_millis(probe.interval_ms).max(MIN_INTERVAL);
    let mut pause = first_pause(&probe.check).min(interval);
    let mut last = String::new();
    while let Err(answer) = ask(&probe) {
        let answer = line(&answer);
        if answer != last && writeln!(io::stdout(), "{answer}").is_err() {
            return ExitCode::FAILURE; // nobody listens any more
        }
        last = answer;
        sleep(pause);
        pause = (pause * 2).min(interval);
    }
    ExitCode::SUCCESS
}

/// Most services are ready soon after they were started: the first questions are asked sooner than the later ones, unless
/// each costs a process.
fn first_pause(check: &Check) -> Duration {
    match check {
        Check::File { .. } | Check::Tcp { .. } | Check::Http { .. } => FIRST_PAUSE,
        Check::Command { .. } => Duration::MAX,
    }
}

/// Asks once. An error is the answer of a service that is not ready.
fn ask(probe: &Probe) -> Result<(), String> {
    match &probe.check {
        Check::File { path } => look_for(path),
        Check::Tcp { address } => tcp::connect(&parsed_address(address)?, tcp::deadline()).map(drop),
        Check::Http { url } => http::get(&parsed_url(url)?, tcp::deadline()),
        Check::Command { command } => command::run(command, &probe.cwd, command::LIMIT),
    }
}

fn look_for(path: &str) -> Result<(), String> {
    fs::metadata(path).map(drop).map_err(|error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => format!("no file {path}"),
        _ => format!("cannot see {path}: {}", words(&error)),
    })
}

/// What the system says, without its number.
fn words(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => nix::errno::Errno::from_raw(number).desc().to_lowercase(),
        None => error.to_string(),
    }
}

/// An answer as one line that is not too long.
fn line(answer: &str) -> String {
    let mut line: String = answer.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let mut end = line.len().min(MAX_ANSWER);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    line.truncate(end);
    line
}

#[cfg(test)]
mod tests;
