//! Text of a guest or a model as people see it: not too much of it, and harmless to a terminal.

/// The longest line, in characters.
const MOST_CHARS: usize = 200;

/// Lines that are shown; of more, the first and the last ones.
const MOST_LINES: usize = 16;

/// The lines of a text, without those in the middle if they are many.
pub fn lines(text: &str) -> Vec<String> {
    let all: Vec<&str> = text.lines().collect();
    if all.len() <= MOST_LINES {
        return all.into_iter().map(|one| line(one, MOST_CHARS)).collect();
    }
    let half = MOST_LINES / 2;
    let left_out = format!("[... {} lines ...]", all.len() - 2 * half);
    let first = all[..half].iter().map(|one| line(one, MOST_CHARS));
    let last = all[all.len() - half..].iter().map(|one| line(one, MOST_CHARS));
    first.chain([left_out]).chain(last).collect()
}

/// A text on one line of at most so many characters.
pub fn line(text: &str, most: usize) -> String {
    let mut shown: String = text.chars().take(most).map(harmless).collect();
    let left_out = text.chars().count().saturating_sub(most);
    if left_out > 0 {
        shown += &format!(" [... {left_out} more]");
    }
    shown
}

fn harmless(character: char) -> String {
    match character {
        '\t' => character.to_string(),
        character if character.is_control() => character.escape_default().to_string(),
        character => character.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_a_long_text_are_shown() {
        let text: String = (0..100).map(|number| format!("{number}\n")).collect();
        let shown = lines(&text);
        assert_eq!(shown.len(), MOST_LINES + 1);
        assert_eq!((&shown[0][..], &shown[8][..], &shown[16][..]), ("0", "[... 84 lines ...]", "99"));
        assert_eq!(lines("a\nb\n"), ["a", "b"]);
    }

    #[test]
    fn a_line_stays_one_and_does_nothing() {
        assert_eq!(line("a\u{1b}[2Jb\nc", 100), r"a\u{1b}[2Jb\nc");
        assert_eq!(line("äbc", 2), "äb [... 1 more]");
    }
}
