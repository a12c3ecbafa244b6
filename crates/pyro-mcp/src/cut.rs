//! Shortens what is too long for a model: the middle is left out, since what matters most stands at the beginning and at
//! the end, and in its place stands how to get it.

/// How many characters of output one result has at most, whatever it is made of.
pub const LIMIT: usize = 30_000;

/// How many entries of a list one result has at most.
pub const LIMIT_ENTRIES: usize = 100;

/// Leaves the middle out of a text that has more characters than this.
pub fn cut(text: String, limit: usize, rest: &str) -> String {
    if text.len() <= limit || text.chars().count() <= limit {
        return text;
    }
    let (first, last) = (first_chars(&text, limit / 2), last_chars(&text, limit / 2));
    joined(first, (text.len() - first.len() - last.len()) as u64, last, rest)
}

/// The two ends of something, with what stands in the place of its middle.
pub(crate) fn joined(first: &str, left_out_bytes: u64, last: &str, rest: &str) -> String {
    joined_from(0, first, left_out_bytes, last, rest)
}

/// The same of something whose first byte is not the first of all.
pub(crate) fn joined_from(start: u64, first: &str, left_out_bytes: u64, last: &str, rest: &str) -> String {
    let from = start + first.len() as u64;
    format!(
        "{first}\n[... {left_out_bytes} bytes are left out here, from byte {from} on: {rest} ...]\n{last}"
    )
}

/// Shortens several texts so that they have so many characters in all. Short ones stay as they are. Says which were cut.
pub fn cut_all(texts: &mut [&mut String], limit: usize, rest: &str) -> Vec<bool> {
    let lengths: Vec<usize> = texts.iter().map(|text| text.chars().count()).collect();
    let each = share(&lengths, limit);
    for text in texts {
        **text = cut(std::mem::take(*text), each, rest);
    }
    lengths.iter().map(|length| *length > each).collect()
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

pub(crate) fn first_chars(text: &str, n_chars: usize) -> &str {
    text.char_indices().nth(n_chars).map_or(text, |(at, _)| &text[..at])
}

pub(crate) fn last_chars(text: &str, n_chars: usize) -> &str {
    match n_chars.checked_sub(1) {
        Some(before_last) => text.char_indices().nth_back(before_last).map_or(text, |(at, _)| &text[at..]),
        None => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_is_left_out_and_its_place_says_so() {
        assert_eq!(cut("äöü".into(), 3, "x"), "äöü");
        assert_eq!(
            cut("äbcdefö".into(), 4, "ask"),
            "äb\n[... 3 bytes are left out here, from byte 3 on: ask ...]\nfö"
        );
        assert_eq!(
            cut("abc".into(), 0, "ask"),
            "\n[... 3 bytes are left out here, from byte 0 on: ask ...]\n"
        );
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
