//! Output of commands: which stream it belongs to, and how much of it is kept.

use serde::{Deserialize, Serialize};

/// How much of each output a result holds by default.
pub const CAPTURE_BYTES: usize = 8 * 1024 * 1024;

/// Which of a command's two outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputChannel {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// The beginning of an output, up to a limit.
#[derive(Debug)]
pub struct Capture {
    bytes: Vec<u8>,
    limit: usize,
    truncated: bool,
}

impl Capture {
    /// Keeps at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { bytes: Vec::new(), limit, truncated: false }
    }

    /// Takes what there is room for.
    pub fn push(&mut self, bytes: &[u8]) {
        let room = self.limit - self.bytes.len();
        self.truncated |= bytes.len() > room;
        self.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// Whether anything was left out.
    pub fn truncated(&self) -> bool {
        self.truncated
    }

    /// What was kept, as text; bytes that are no UTF-8 become U+FFFD.
    pub fn into_text(self) -> String {
        text_of(self.bytes)
    }
}

/// Bytes as text; those that are no UTF-8 become U+FFFD.
pub(crate) fn text_of(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// How many bytes there are without an incomplete character at the end.
pub(crate) fn complete_len(bytes: &[u8]) -> usize {
    // The first byte of a character that has 4 at most is one of the last 3, if the character is not complete.
    let last = bytes.len().saturating_sub(3);
    let is_incomplete = |at: &usize| {
        std::str::from_utf8(&bytes[*at..])
            .is_err_and(|error| error.valid_up_to() == 0 && error.error_len().is_none())
    };
    (last..bytes.len()).find(is_incomplete).unwrap_or(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_is_kept_and_the_rest_is_told() {
        let mut capture = Capture::new(5);
        capture.push(b"abc");
        assert!(!capture.truncated());
        capture.push(b"defg");
        assert!(capture.truncated());
        assert_eq!(capture.into_text(), "abcde");
    }
}
