//! What a model gets: structured content and a text, each complete on its own, since some clients show it only the one
//! and some only the other.

use crate::cut::cut;
use crate::failure::hint_for_model;
use crate::fit::fit;
use pyro_host::error::{Error, ErrorKind, Result};
use serde::Serialize;
use serde_json::{Value, json};

/// The widest message of an error. It may hold the end of a log.
const LONGEST_MESSAGE: usize = 8_000;

/// The widest hint. It may name what the model has named.
const LONGEST_HINT: usize = 1_000;

/// The answer to a call.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// For programs, and models whose client shows them this.
    pub structured: Value,
    /// The same for models whose client shows them text.
    pub text: String,
    /// Whether it says that the call failed.
    pub is_error: bool,
}

impl Reply {
    /// What came of a call.
    pub fn of<T: Serialize>(result: Result<T>) -> Self {
        let internal =
            |source| Error::new(ErrorKind::Internal, "could not write the result").with_source(source);
        match result.and_then(|value| serde_json::to_value(value).map_err(internal)) {
            Ok(mut structured) => {
                fit(&mut structured);
                Self { text: structured.to_string(), structured, is_error: false }
            }
            Err(error) => Self::failed(&error),
        }
    }

    /// A failure: its kind, what failed and why, what to do next.
    pub fn failed(error: &Error) -> Self {
        let kind = error.kind().code();
        let message = cut(error.chain().join(": "), LONGEST_MESSAGE, "a log, which was longer");
        let hint = cut(hint_for_model(error), LONGEST_HINT, "the rest of the hint");
        let text = format!("error ({kind}): {message}\nhint: {hint}");
        let structured = json!({"error": {"kind": kind, "message": message, "hint": hint}});
        Self { structured, text, is_error: true }
    }
}
