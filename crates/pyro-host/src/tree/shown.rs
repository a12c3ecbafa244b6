//! How names of hostile files are shown in messages: printable, and of a length that can be read.

/// The longest name shown in full, in characters.
const LONGEST: usize = 200;

/// A path or a link target for a message. Control characters, which could steer a terminal, are escaped; bytes that
/// are not UTF-8 are replaced; the middle of a long one is left out.
pub(super) fn shown(bytes: &[u8]) -> String {
    let mut text = String::new();
    for character in String::from_utf8_lossy(bytes).chars() {
        if character.is_control() {
            text.extend(character.escape_default());
        } else {
            text.push(character);
        }
    }
    let length = text.chars().count();
    if length <= LONGEST {
        return text;
    }
    let head: String = text.chars().take(LONGEST / 2).collect();
    let tail: String = text.chars().skip(length - LONGEST / 2).collect();
    format!("{head}…{tail}")
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn names_cannot_steer_a_terminal_and_stay_short() {
        assert_eq!(shown("ä b".as_bytes()), "ä b");
        assert_eq!(shown(b"a\x1b[2J\n"), "a\\u{1b}[2J\\n");
        assert_eq!(shown(&[b'x'; 5000]).chars().count(), 201);
    }
}
