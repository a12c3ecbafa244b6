//! How values look to people. Names that a guest or a user chose are printed so that they stay on their line and do
//! nothing to a terminal.

use pyro_host::command::Command;
use std::borrow::Cow;
use std::time::{SystemTime, UNIX_EPOCH};

const KIB: u64 = 1024;

/// A command as a shell would take it, on one line.
pub fn command(command: &Command) -> String {
    match command {
        Command::Argv(words) => words.iter().map(|one| word(one)).collect::<Vec<_>>().join(" "),
        Command::Shell(line) => format!("sh -c {}", word(line)),
    }
}

/// A word as a shell would take it: in quotes only if it needs them.
pub fn word(text: &str) -> Cow<'_, str> {
    let is_plain = |character: char| character.is_alphanumeric() || "_-+=./:@%,^".contains(character);
    if !text.is_empty() && text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    if text.chars().any(char::is_control) {
        return Cow::Owned(format!("$'{}'", escaped(text, '\'')));
    }
    Cow::Owned(format!("'{}'", text.replace('\'', r"'\''")))
}

/// A path as it is, or as git quotes it where it would not stay on its line.
pub fn path(text: &str) -> Cow<'_, str> {
    if !text.chars().any(|character| character.is_control() || character == '"' || character == '\\') {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("\"{}\"", escaped(text, '"')))
}

fn escaped(text: &str, quote: char) -> String {
    let mut written = String::new();
    for character in text.chars() {
        match character {
            '\n' => written.push_str("\\n"),
            '\t' => written.push_str("\\t"),
            '\r' => written.push_str("\\r"),
            '\\' => written.push_str("\\\\"),
            character if character == quote => written.extend(['\\', character]),
            character if character.is_control() => {
                let mut bytes = [0; 4];
                let bytes = character.encode_utf8(&mut bytes).bytes();
                written.extend(bytes.map(|byte| format!("\\{byte:03o}")));
            }
            character => written.push(character),
        }
    }
    written
}

/// The beginning of a text that is too long for its place.
pub fn short(text: &str, most: usize) -> Cow<'_, str> {
    match text.char_indices().nth(most) {
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

/// Bytes in a unit that suits them.
pub fn size(bytes: u64) -> String {
    match bytes {
        0..KIB => format!("{bytes} B"),
        KIB..0x0010_0000 => format!("{} KiB", bytes.div_ceil(KIB)),
        0x0010_0000..0x4000_0000 => format!("{} MiB", bytes.div_ceil(KIB * KIB)),
        _ => format!("{:.1} GiB", bytes as f64 / (KIB * KIB * KIB) as f64),
    }
}

/// How long it is from now to a time in seconds since the epoch, or was since then.
pub fn span_from_now(time: f64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    span((time - now).abs())
}

/// How long ago something began; a dash where a damaged record does not tell.
pub fn age(began_at: f64) -> String {
    if began_at > 0.0 { span_from_now(began_at) } else { "-".into() }
}

fn span(seconds: f64) -> String {
    let seconds = seconds as u64;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        3600..86400 => format!("{}h {:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d {:02}h", seconds / 86400, seconds / 3600 % 24),
    }
}

/// Lines of a name and a value.
pub fn facts(facts: &[(&str, String)]) -> String {
    let width = facts.iter().map(|(name, _)| name.len() + 1).max().unwrap_or(0);
    facts.iter().fold(String::new(), |text, (name, value)| {
        let name = format!("{name}:");
        text + &format!("{name:width$} {value}\n")
    })
}

/// Rows whose columns stand below each other. The last column is not filled up.
pub fn table(rows: &[Vec<String>]) -> String {
    let n_columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..n_columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}")).collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stay_words() {
        for (text, shown) in [
            ("git", "git"),
            ("", "''"),
            ("a b", "'a b'"),
            ("it's", r"'it'\''s'"),
            ("a\nb'", r"$'a\nb\''"),
            ("\u{1b}[2J", r"$'\033[2J'"),
        ] {
            assert_eq!(word(text), shown);
        }
        assert_eq!(command(&Command::Argv(vec!["sh".into(), "-c".into(), "a b".into()])), "sh -c 'a b'");
    }

    #[test]
    fn paths_stay_on_their_line() {
        for (text, shown) in [("a b/ä", "a b/ä"), ("a\nb", r#""a\nb""#), ("a\"b\\", r#""a\"b\\""#)] {
            assert_eq!(path(text), shown);
        }
        assert_eq!(path("\u{9b}"), r#""\302\233""#);
    }

    #[test]
    fn numbers_get_a_unit() {
        assert_eq!(
            [size(0), size(1023), size(1024), size(1 << 20), size(3 << 30)],
            ["0 B", "1023 B", "1 KiB", "1 MiB", "3.0 GiB"]
        );
        assert_eq!(
            [span(5.9), span(61.0), span(7265.0), span(90_000.0)],
            ["5s", "1m 01s", "2h 01m", "1d 01h"]
        );
        assert_eq!((short("abc", 3), short("abcd", 3)), ("abc".into(), "abc…".into()));
    }

    #[test]
    fn columns_stand_below_each_other() {
        let rows = [vec!["A".into(), "B".into()], vec!["long".into(), "b".into()]];
        assert_eq!(table(&rows), "A     B\nlong  b\n");
        assert_eq!(facts(&[("a", "1".into()), ("long", "2".into())]), "a:    1\nlong: 2\n");
    }
}
