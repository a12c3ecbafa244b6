//! The keys that leave a shell, among those that are typed into it.

use pyro_host::error::Error;

/// What leaves a shell where nothing else is said.
pub const DEFAULT_DETACH_KEYS: &str = "ctrl-p,ctrl-q";

/// Looks for a sequence of keys in what is typed.
#[derive(Debug)]
pub struct DetachKeys {
    sequence: Vec<u8>,
    /// The beginning of the sequence that was typed and not passed on, since the rest may follow.
    held: Vec<u8>,
}

/// What of the typed keys is meant for the shell.
#[derive(Debug, PartialEq, Eq)]
pub struct Typed {
    /// The bytes for it.
    pub bytes: Vec<u8>,
    /// Whether the sequence came after them.
    pub detached: bool,
}

impl DetachKeys {
    /// The keys as words, such as `ctrl-p,ctrl-q`.
    ///
    /// # Errors
    /// `invalid_argument` for what is no key.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let keys = text.split(',').map(|key| bytes_of(key).ok_or_else(|| no_key(key, text)));
        let sequence = keys.collect::<Result<Vec<_>, Error>>()?.concat();
        Ok(Self { sequence, held: Vec::new() })
    }

    /// Takes bytes that were typed. A sequence may be split over any number of calls.
    pub fn typed(&mut self, bytes: &[u8]) -> Typed {
        let mut passed = Vec::with_capacity(bytes.len());
        for byte in bytes {
            self.held.push(*byte);
            while !self.sequence.starts_with(&self.held) {
                passed.extend(self.held.drain(..1));
            }
            if self.held.len() == self.sequence.len() {
                self.held.clear();
                return Typed { bytes: passed, detached: true };
            }
        }
        Typed { bytes: passed, detached: false }
    }
}

/// What a terminal sends for a key.
fn bytes_of(key: &str) -> Option<Vec<u8>> {
    if let Some(with_ctrl) = key.strip_prefix("ctrl-") {
        return match with_ctrl.as_bytes() {
            [byte @ (b'a'..=b'z' | b'[' | b'\\' | b']' | b'^' | b'_')] => Some(vec![byte & 0x1f]),
            _ => None,
        };
    }
    let mut characters = key.chars();
    let is_one = characters.next().is_some_and(|first| !first.is_control()) && characters.next().is_none();
    is_one.then(|| key.as_bytes().to_vec())
}

fn no_key(key: &str, all: &str) -> Error {
    Error::invalid(format!("{key:?} is no key, in the detach keys {all:?}")).with_hint(
        "a key is one character, or ctrl- and one of a-z [ \\ ] ^ _; commas stand between keys: ctrl-p,ctrl-q",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use pyro_host::error::ErrorKind;

    const P: u8 = 0x10;
    const Q: u8 = 0x11;

    fn passed(bytes: &[u8]) -> Typed {
        Typed { bytes: bytes.to_vec(), detached: false }
    }

    fn detached(bytes: &[u8]) -> Typed {
        Typed { bytes: bytes.to_vec(), detached: true }
    }

    #[test]
    fn a_sequence_detaches_and_what_came_before_it_is_passed_on() {
        let mut keys = DetachKeys::parse(DEFAULT_DETACH_KEYS).unwrap();
        assert_eq!(keys.typed(b"ls\r"), passed(b"ls\r"));
        assert_eq!(keys.typed(&[b'a', P, Q, b'b']), detached(b"a"));
    }

    #[test]
    fn a_sequence_may_be_split() {
        let mut keys = DetachKeys::parse(DEFAULT_DETACH_KEYS).unwrap();
        assert_eq!(keys.typed(&[P]), passed(b""));
        assert_eq!(keys.typed(&[]), passed(b""));
        assert_eq!(keys.typed(&[Q]), detached(b""));
    }

    #[test]
    fn half_a_sequence_is_passed_on_with_what_follows() {
        let mut keys = DetachKeys::parse(DEFAULT_DETACH_KEYS).unwrap();
        assert_eq!(keys.typed(&[P]), passed(b""));
        assert_eq!(keys.typed(b"x"), passed(&[P, b'x']));
        assert_eq!(keys.typed(&[Q, P, P]), passed(&[Q, P]));
        assert_eq!(keys.typed(&[Q]), detached(b""));
    }

    #[test]
    fn a_sequence_that_repeats_itself_is_found() {
        let mut keys = DetachKeys::parse("a,a,b").unwrap();
        assert_eq!(keys.typed(b"aaab"), detached(b"a"));
        let mut keys = DetachKeys::parse("a,b,a,c").unwrap();
        assert_eq!(keys.typed(b"ababac"), detached(b"ab"));
    }

    #[test]
    fn keys_have_names() {
        for (text, bytes) in [
            ("ctrl-a,ctrl-z", &[1, 26][..]),
            (r"ctrl-[,ctrl-\,ctrl-],ctrl-^,ctrl-_", &[27, 28, 29, 30, 31]),
            ("~,.", b"~."),
            ("ä", "ä".as_bytes()),
            (" ", b" "),
        ] {
            assert_eq!(DetachKeys::parse(text).unwrap().sequence, bytes, "{text}");
        }
        for text in ["", ",", "a,", "ab", "ctrl-", "ctrl-A", "ctrl-1", "ctrl-ab", "alt-x", "\n"] {
            let refused = DetachKeys::parse(text).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::InvalidArgument, "{text:?}");
            assert!(refused.hint().is_some());
        }
    }
}
