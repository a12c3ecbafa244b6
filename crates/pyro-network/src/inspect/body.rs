//! Where the body of an HTTP/1 request ends (RFC 9112, sections 6 and 7). What is in it passes unseen.

/// Longest line of a chunked body, in bytes.
const MAX_LINE: usize = 8 * 1024;

/// Most digits of a length, decimal or hexadecimal: more than anybody sends, less than overflows.
pub(super) const MAX_DIGITS: usize = 15;

/// What is left of a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// So many bytes, at least one.
    Len(u64),
    /// Chunks, from the length of the next one on.
    Chunks,
    /// So many bytes of a chunk, and then more chunks.
    Chunk(u64),
    /// The end of the line behind a chunk.
    ChunkEnd,
    /// Fields behind the last chunk.
    Trailer,
}

/// What of some bytes belongs to it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Cut {
    More,
    /// So many, and whether that is the end of the body.
    Pass(usize, bool),
    Bad(&'static str),
}

impl Body {
    pub(super) fn cut(&mut self, bytes: &[u8]) -> Cut {
        if bytes.is_empty() {
            return Cut::More;
        }
        match self {
            Self::Len(left) => {
                let len = take(left, bytes.len());
                Cut::Pass(len, *left == 0)
            }
            Self::Chunk(left) => {
                let len = take(left, bytes.len());
                if *left == 0 {
                    *self = Self::ChunkEnd;
                }
                Cut::Pass(len, false)
            }
            Self::ChunkEnd => match bytes {
                [b'\r'] => Cut::More,
                [b'\r', b'\n', ..] => {
                    *self = Self::Chunks;
                    Cut::Pass(2, false)
                }
                _ => Cut::Bad("an HTTP request with a chunk that is longer than it says"),
            },
            Self::Chunks => self.chunk(bytes),
            Self::Trailer => match line(bytes) {
                Ok(None) => Cut::More,
                Ok(Some(line)) => Cut::Pass(line.len() + 2, line.is_empty()),
                Err(rule) => Cut::Bad(rule),
            },
        }
    }

    /// The line before a chunk.
    fn chunk(&mut self, bytes: &[u8]) -> Cut {
        let line = match line(bytes) {
            Ok(None) => return Cut::More,
            Ok(Some(line)) => line,
            Err(rule) => return Cut::Bad(rule),
        };
        let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let is_extended = line.get(digits).is_none_or(|next| *next == b';');
        let size =
            std::str::from_utf8(&line[..digits]).ok().and_then(|hex| u64::from_str_radix(hex, 16).ok());
        match size {
            Some(size) if is_extended && digits <= MAX_DIGITS => {
                *self = if size == 0 { Self::Trailer } else { Self::Chunk(size) };
                Cut::Pass(line.len() + 2, false)
            }
            _ => Cut::Bad("an HTTP request with a chunk of no proper length"),
        }
    }
}

/// Takes what there is of so many bytes.
fn take(left: &mut u64, len: usize) -> usize {
    let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(len);
    *left -= taken as u64;
    taken
}

/// A line without its end. None: it has not ended.
fn line(bytes: &[u8]) -> Result<Option<&[u8]>, &'static str> {
    let bad = "an HTTP request with a chunked body that is not well-formed";
    let end = bytes.iter().take(MAX_LINE).position(|byte| byte.is_ascii_control() && *byte != b'\t');
    match (end, end.map(|end| &bytes[end..])) {
        (Some(end), Some([b'\r', b'\n', ..])) => Ok(Some(&bytes[..end])),
        (Some(_), Some([b'\r'])) => Ok(None),
        (None, _) if bytes.len() < MAX_LINE => Ok(None),
        _ => Err(bad),
    }
}
