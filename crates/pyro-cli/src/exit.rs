//! Exit codes: the guest command's own; 2 for wrong usage; 124 for a time-out; 125 where pyro failed; 126 and 127
//! for a command that could not be started; 130 and 143 for an interrupted pyro; 0 for a closed pipe.

use crate::output;
use pyro_host::command::ExecFailure;
use pyro_host::error::{Error, ErrorKind};
use pyro_host::guest::ExecNotStarted;
use std::process::ExitCode;

/// What a command came to, and whether a failure is to be told as JSON.
#[derive(Debug)]
pub struct Outcome {
    /// The exit code, or why there is none.
    pub result: Result<u8, Failure>,
    /// Whether `--json` was given.
    pub json: bool,
}

/// Why a command has no result.
#[derive(Debug)]
pub enum Failure {
    /// It failed.
    Error(Error),
    /// A signal ended it, by its number.
    Interrupted(u8),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

pub fn code(outcome: Outcome) -> ExitCode {
    let code = match outcome.result {
        Ok(code) => code,
        Err(Failure::Interrupted(signal)) => {
            if outcome.json {
                let message = format!("interrupted by signal {signal}");
                output::error(&Error::new(ErrorKind::Interrupted, message), true);
            }
            128 + signal
        }
        Err(Failure::Error(error)) if error.kind() == ErrorKind::OutputClosed => 0,
        Err(Failure::Error(error)) => {
            output::error(&error, outcome.json);
            of_error(&error)
        }
    };
    ExitCode::from(code)
}

fn of_error(error: &Error) -> u8 {
    match error.kind() {
        ErrorKind::InvalidArgument => 2,
        ErrorKind::ExecNotStarted => {
            let source =
                std::error::Error::source(error).and_then(|source| source.downcast_ref::<ExecNotStarted>());
            match source.map(|source| source.failure) {
                Some(ExecFailure::NotFound) => 127,
                Some(ExecFailure::NotExecutable) => 126,
                _ => 125,
            }
        }
        _ => 125,
    }
}
