//! One segment of a log: what it holds.

use super::{OutputLog, Unit};
use crate::output::complete_len;
use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

/// What a segment holds beyond this is none of ours.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// Some of a segment.
pub(super) struct Content {
    /// As bytes; of characters, UTF-8.
    pub bytes: Vec<u8>,
    /// How many units that are.
    pub n_units: u64,
}

impl OutputLog {
    /// How many units a segment holds.
    pub(super) fn units(&self, position: u64) -> io::Result<u64> {
        match self.unit {
            Unit::Bytes => Ok(self.path(position).metadata()?.len().min(MAX_BYTES)),
            Unit::Chars => Ok(self.content(position, 0, u64::MAX)?.n_units),
        }
    }

    /// At most so many units of a segment, after its first `skipped`.
    pub(super) fn content(&self, position: u64, skipped: u64, wanted: u64) -> io::Result<Content> {
        let mut file = File::open(self.path(position))?;
        let mut bytes = Vec::new();
        match self.unit {
            Unit::Bytes => {
                let skipped = skipped.min(MAX_BYTES);
                file.seek(SeekFrom::Start(skipped))?;
                file.take(wanted.min(MAX_BYTES - skipped)).read_to_end(&mut bytes)?;
                Ok(Content { n_units: bytes.len() as u64, bytes })
            }
            Unit::Chars => {
                file.take(MAX_BYTES).read_to_end(&mut bytes)?;
                let text = complete_text(&bytes);
                let rest = after_chars(&text, skipped);
                let given = &rest[..rest.len() - after_chars(rest, wanted).len()];
                let n_units = given.chars().count() as u64;
                Ok(Content { bytes: given.as_bytes().to_vec(), n_units })
            }
        }
    }
}

/// Bytes as text, without an incomplete character at the end. What is no text becomes U+FFFD.
fn complete_text(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(&bytes[..complete_len(bytes)])
}

/// What follows the first characters of a text. `chars` counts many at a time.
fn after_chars(text: &str, n_chars: u64) -> &str {
    let Ok(n_chars) = usize::try_from(n_chars) else { return "" };
    if n_chars >= text.len() {
        return "";
    }
    let mut chars = text.chars();
    if let Some(last) = n_chars.checked_sub(1) {
        chars.nth(last);
    }
    chars.as_str()
}
