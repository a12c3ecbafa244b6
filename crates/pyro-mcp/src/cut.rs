//! Shortens what is too long for a model: the middle is left out, since what matters most stands at the beginning and at
//! the end, and in its place stands how to get it.

/// How wide the output in one result is at most, whatever it is made of.
pub const LIMIT: usize = 30_000;

/// How many entries of a list one result has at most.
pub const LIMIT_ENTRIES: usize = 100;

/// Leaves the middle out of a text that is wider than this.
pub fn cut(text: String, limit: usize, rest: &str) -> String {
    let bytes = text.as_bytes();
    if width(bytes) <= limit {
        return text;
    }
    let (first, last) = (&text[..head(bytes, limit / 2)], &text[tail(bytes, limit / 2)..]);
    joined(first, None, (text.len() - first.len() - last.len()) as u64, last, rest)
}

/// The two ends of something, with what stands in the place of its middle. `from` is the byte with which that begins,
/// where there is a way to ask for it.
pub(crate) fn joined(first: &str, from: Option<u64>, left_out_bytes: u64, last: &str, rest: &str) -> String {
    let from = from.map_or(String::new(), |from| format!(", from byte {from} on"));
    format!("{first}\n[... {left_out_bytes} bytes are left out here{from}: {rest} ...]\n{last}")
}

/// How wide something is as a text in JSON, where a line break takes two characters and a control character six. What is
/// no UTF-8 becomes one character.
pub(crate) fn width(bytes: &[u8]) -> usize {
    pieces(bytes).map(|piece| piece.width).sum()
}

/// How many bytes the longest beginning has that is no wider than this. It does not end within a character.
pub(crate) fn head(bytes: &[u8], limit: usize) -> usize {
    let mut left = limit;
    let fits = |piece: &Piece| match left.checked_sub(piece.width) {
        Some(still) => {
            left = still;
            true
        }
        None => false,
    };
    pieces(bytes).take_while(fits).map(|piece| piece.n_bytes).sum()
}

/// With which byte the longest end begins that is no wider than this, and does not begin within a character.
pub(crate) fn tail(bytes: &[u8], limit: usize) -> usize {
    let mut left = width(bytes);
    let too_wide = |piece: &Piece| {
        let is_too_wide = left > limit;
        left -= piece.width;
        is_too_wide
    };
    pieces(bytes).take_while(too_wide).map(|piece| piece.n_bytes).sum()
}

/// A character, or what stands in the place of one.
struct Piece {
    n_bytes: usize,
    width: usize,
}

fn pieces(bytes: &[u8]) -> impl Iterator<Item = Piece> {
    bytes.utf8_chunks().flat_map(|chunk| {
        let characters = chunk.valid().chars().map(|it| Piece { n_bytes: it.len_utf8(), width: in_json(it) });
        let n_invalid = chunk.invalid().len();
        characters.chain((n_invalid > 0).then_some(Piece { n_bytes: n_invalid, width: 1 }))
    })
}

fn in_json(character: char) -> usize {
    match character {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        '\0'..' ' => 6,
        _ => 1,
    }
}

/// Shortens several texts so that they are no wider than this in all. Short ones stay as they are. Says which were cut.
pub fn cut_all(texts: &mut [&mut String], limit: usize, rest: &str) -> Vec<bool> {
    let widths: Vec<usize> = texts.iter().map(|text| width(text.as_bytes())).collect();
    let each = share(&widths, limit);
    for text in texts {
        **text = cut(std::mem::take(*text), each, rest);
    }
    widths.iter().map(|width| *width > each).collect()
}

/// How long each of these may be so that all of them are this long at most: what short ones do not need goes to the long
/// ones.
pub fn share(lengths: &[usize], limit: usize) -> usize {
    let mut ascending = lengths.to_vec();
    ascending.sort_unstable();
    let (mut left, mut n_left) = (limit, ascending.len());
    for length in ascending {
        if length * n_left > left {
            return left / n_left;
        }
        left -= length;
        n_left -= 1;
    }
    limit
}

/// Leaves the middle out of a list that has more entries than a result may have. Says how many that are.
pub fn cut_list<T>(list: &mut Vec<T>) -> usize {
    let n_left_out = list.len().saturating_sub(LIMIT_ENTRIES);
    if n_left_out > 0 {
        list.drain(LIMIT_ENTRIES / 2..LIMIT_ENTRIES / 2 + n_left_out);
    }
    n_left_out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_is_left_out_and_its_place_says_so() {
        assert_eq!(cut("äöü".into(), 3, "x"), "äöü");
        assert_eq!(cut("äbcdefö".into(), 4, "ask"), "äb\n[... 3 bytes are left out here: ask ...]\nfö");
        assert_eq!(cut("abc".into(), 0, "ask"), "\n[... 3 bytes are left out here: ask ...]\n");
    }

    #[test]
    fn ends_have_whole_characters_and_the_width_that_they_have_in_json() {
        let text = "a\n\0\u{1b}\"\\\t\u{7f}ä日😀";
        assert_eq!(width(text.as_bytes()), serde_json::to_string(text).unwrap().chars().count() - 2);
        let bytes = b"\xffx\xe6\x97\xa5\xe6\x97";
        assert_eq!(width(bytes), 4);
        assert_eq!([0, 1, 2, 3, 4, 9].map(|limit| head(bytes, limit)), [0, 1, 2, 5, 7, 7]);
        assert_eq!([0, 1, 2, 3, 4, 9].map(|limit| tail(bytes, limit)), [7, 5, 2, 1, 0, 0]);
        assert_eq!(head("\n\n".as_bytes(), 3), 1);
        assert_eq!(tail("\n\n".as_bytes(), 3), 1);
    }

    #[test]
    fn the_long_ones_get_what_the_short_ones_leave() {
        assert_eq!(share(&[10, 100, 100], 110), 50);
        assert_eq!(share(&[10, 20], 100), 100);
        assert_eq!(share(&[100, 0], 50), 50);
        assert_eq!(share(&[], 50), 50);
        let (mut short, mut long) = ("ab".to_owned(), "c".repeat(100));
        assert_eq!(cut_all(&mut [&mut short, &mut long], 12, "ask"), [false, true]);
        assert_eq!(short, "ab");
        assert!(long.starts_with("ccccc\n[... 90 bytes"), "{long}");
    }

    #[test]
    fn a_list_keeps_its_ends() {
        let mut list: Vec<usize> = (0..LIMIT_ENTRIES + 7).collect();
        assert_eq!(cut_list(&mut list), 7);
        assert_eq!((list.len(), list[0], list[LIMIT_ENTRIES - 1]), (LIMIT_ENTRIES, 0, LIMIT_ENTRIES + 6));
        assert_eq!(cut_list(&mut list), 0);
    }
}
