//! Bytes that a terminal shows, as text: a character that came in two pieces is one, and what is none becomes U+FFFD.

use crate::output::{complete_len, text_of};

/// Turns pieces of bytes into pieces of text.
#[derive(Debug, Default)]
pub(super) struct TextDecoder {
    /// The beginning of a character whose end has not come.
    held: Vec<u8>,
}

impl TextDecoder {
    /// The text of the next piece, as far as it is certain.
    pub(super) fn push(&mut self, bytes: &[u8]) -> String {
        let mut all = std::mem::take(&mut self.held);
        all.extend_from_slice(bytes);
        self.held = all.split_off(complete_len(&all));
        text_of(all)
    }

    /// Nothing more comes: what is left.
    pub(super) fn finish(&mut self) -> String {
        text_of(std::mem::take(&mut self.held))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_character_in_pieces_is_one() {
        let mut decoder = TextDecoder::default();
        let pieces: Vec<String> = "a€😀".bytes().map(|byte| decoder.push(&[byte])).collect();
        assert_eq!(pieces, ["a", "", "", "€", "", "", "", "😀"]);
        assert_eq!(decoder.finish(), "");
        assert_eq!(decoder.push(b"x\xe2\x82"), "x");
        assert_eq!(decoder.push(b"y"), "\u{fffd}y");
        assert_eq!(decoder.push(b"\xf0\x9f"), "");
        assert_eq!(decoder.finish(), "\u{fffd}");
    }

    proptest! {
        #[test]
        fn pieces_give_what_the_whole_gives(bytes: Vec<u8>, cuts in proptest::collection::vec(0..64_usize, 0..8)) {
            let mut decoder = TextDecoder::default();
            let (mut text, mut rest) = (String::new(), &bytes[..]);
            for cut in cuts {
                let (piece, later) = rest.split_at(cut.min(rest.len()));
                text += &decoder.push(piece);
                rest = later;
            }
            text += &decoder.push(rest);
            text += &decoder.finish();
            prop_assert_eq!(text, String::from_utf8_lossy(&bytes).into_owned());
        }
    }
}
