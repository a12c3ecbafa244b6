use super::*;
use proptest::prelude::*;
use std::time::{Duration, Instant};

const SIZE: WindowSize = WindowSize { cols: 20, rows: 5 };

fn shown(text: &str) -> String {
    plain("", text, SIZE)
}

#[test]
fn lines_are_lines() {
    assert_eq!(shown(""), "");
    assert_eq!(shown("one\r\ntwo"), "one\ntwo");
    assert_eq!(shown("one\r\ntwo\r\n"), "one\ntwo\n");
    assert_eq!(shown("one  \r\n\r\n two\r\n\r\n\r\n"), "one\n\n two\n");
    assert_eq!(shown("\r\n"), "\n");
    let many: String = (0..100).map(|number| format!("line {number}\r\n")).collect();
    assert_eq!(shown(&many), many.replace('\r', ""));
}

#[test]
fn long_lines_are_one_again() {
    let long = "0123456789".repeat(30);
    assert_eq!(shown(&long), long);
    assert_eq!(shown(&format!("{long}\r\nnext\r\n")), format!("{long}\nnext\n"));
    let exact = "x".repeat(20);
    assert_eq!(shown(&format!("{exact}\r\nnext")), format!("{exact}\nnext"));
}

#[test]
fn progress_bars_end_as_they_end() {
    let bar: String = (0..=100).map(|percent| format!("\r[{percent:3} %]\x1b[K")).collect();
    assert_eq!(shown(&format!("{bar}\r\ndone\r\n")), "[100 %]\ndone\n");
    assert_eq!(shown("long line\rshort\x1b[K\r\n"), "short\n");
    // Two lines, each drawn again.
    assert_eq!(shown("a 1\r\nb 1\r\n\x1b[2Aa 2\r\nb 2\r\n"), "a 2\nb 2\n");
}

#[test]
fn what_readline_echoes_is_what_was_meant() {
    // `ls -lx`, backspace, `a`; then a letter put in before the end.
    assert_eq!(shown("$ ls -lx\x08\x1b[Ka\r\n"), "$ ls -la\n");
    assert_eq!(shown("$ ehco\x08\x08\x08\x1b[1Pc\x08c\x1b[1@h\r\n"), "$ echo\n");
    assert_eq!(shown("\x1b[?2004h$ true\r\n\x1b[?2004l\r"), "$ true\n");
}

#[test]
fn colours_titles_and_bells_are_gone() {
    assert_eq!(shown("\x1b]0;title\x07\x1b[01;32mgreen\x1b[0m \x1b[38;5;9mred\x1b[m\x07\r\n"), "green red\n");
    assert_eq!(shown("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\ \x1bP+q\x1b\\a\x7f\0b"), "link ab");
    assert_eq!(shown("\x1b(0lqqk\x1b(B"), "┌──┐");
}

#[test]
fn characters_are_whole() {
    assert_eq!(shown("日本語\x08\x08é\r\n"), "日本é\n");
    assert_eq!(shown("e\u{301} 💡 ñ"), "e\u{301} 💡 ñ");
    assert_eq!(shown("a\tb\r\n\tc"), "a       b\n        c");
}

#[test]
fn a_cleared_screen_was_seen() {
    assert_eq!(shown("before\r\n\x1b[H\x1b[2J\x1b[3Jafter\r\n"), "before\nafter\n");
    assert_eq!(shown("before\r\n\x1bcafter"), "before\nafter");
}

#[test]
fn an_editor_is_there_while_it_is_open() {
    let open = "$ vim x\r\n\x1b[?1049h\x1b[H\x1b[2Jtext\r\n~\r\n~\x1b[5;1H-- INSERT --";
    assert_eq!(shown(open), "$ vim x\ntext\n~\n~\n\n-- INSERT --");
    assert_eq!(shown(&format!("{open}\x1b[?1049l$ ls\r\n")), "$ vim x\n$ ls\n");
}

#[test]
fn what_is_cut_in_two_is_no_text() {
    for cut in ["\x1b", "\x1b[", "\x1b[01;3", "\x1b]0;ti", "\x1b]0;a\x1b"] {
        let whole = if cut.contains(']') { "\x1b]0;title\x07" } else { "\x1b[01;31m" };
        let rest = whole.strip_prefix(cut).unwrap_or("\\");
        assert_eq!(plain(&format!("text{cut}"), &format!("{rest}red"), SIZE), "red", "{cut:?}");
        assert_eq!(shown(&format!("text{cut}")), "text", "{cut:?}");
    }
}

#[test]
fn a_screen_is_brought_to_another_terminal() {
    for text in ["one\r\n\x1b[1;31mtwo", "a\r\n\x1b[?1049hvi\x1b[3;4H", "x\x1b[2;4r\x1b[?6h", "text\x1b[31"] {
        let again = format!("{}mZ", screen(text, SIZE));
        assert_eq!(shown(&again), shown(&format!("{text}mZ")), "{text:?}");
        assert_eq!(screen(&again, SIZE), screen(&format!("{text}mZ"), SIZE), "{text:?}");
    }
    let used = format!("junk\x1b[?1049h\x1b[2;3r\x1b[7m\x1b[4hjunk{CLEAR}{}", screen("one\r\ntwo", SIZE));
    assert_eq!(screen(&used, SIZE), screen("one\r\ntwo", SIZE));
}

/// Text that makes much work for each byte, and text without end.
fn hostile() -> Vec<String> {
    let each = [
        "x\x1b[99999999b",
        "\x1b[65535@",
        "\x1b[65535L",
        "\x1b[65535M",
        "\x1b[65535S",
        "\x1b[65535T",
        "\x1b[65535P",
        "\x1b[999;999Hx\x1b[2J",
        "\x1b#8\x1b[2J",
        "\x1b[4hx\r",
        "\x1bcx",
        "\x1b[?1049h\x1b[?1049l",
        "\x1b[?1049;1047;1049h",
        "\x1b[2;4r\n\n\n\n\n",
        "\x1b[1;4r\x1b[4;1H\n",
        "\x1bM",
        "\n",
        "\x1b[9999I\x1b[9999Z",
        "\x1b[1;2;3;4;5;6;7;8;9;10;11;12;13;14;15;16;17;18;19;20;21;22;23;24;25;26;27;28;29;30;31;32;33;34m",
        "\x1b]0;endless",
        "\x1bPendless",
        "\x1b[111111111111111111111111111",
        "\u{301}",
        "日",
    ];
    each.map(|text| text.repeat((1 << 17) / text.len())).into()
}

#[test]
fn hostile_text_makes_bounded_work() {
    for size in [SIZE, WindowSize { cols: 2, rows: 1 }, WindowSize { cols: 1000, rows: 1000 }] {
        for text in hostile() {
            let begun = Instant::now();
            let plain = plain("", &text, size);
            screen(&text, size);
            let what = format!("{:?} at {size:?}", &text.chars().take(20).collect::<String>());
            assert!(plain.len() <= 6 * text.len() + 4 * 1024 * 1024, "{} bytes for {what}", plain.len());
            // Far more than it takes here, and far less than it would take without a bound.
            assert!(begun.elapsed() < Duration::from_secs(20), "{:?} for {what}", begun.elapsed());
        }
    }
}

fn piece() -> impl Strategy<Value = String> {
    let number = prop_oneof![0..12_u32, Just(1000), Just(65_535), Just(99_999_999)];
    let numbers = proptest::collection::vec(number, 0..4)
        .prop_map(|numbers| numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(";"));
    prop_oneof![
        3 => "[a-z 日é\u{301}💡\t\r\n\x08\x1b\u{9b}\0\x7f]{0,12}",
        3 => (numbers, "[?>!]?", "[@-~]").prop_map(|(numbers, mark, end)| format!("\x1b[{mark}{numbers}{end}")),
        1 => prop_oneof![Just("\x1b[?1049h"), Just("\x1b[?1049l"), Just("\x1b[4h"), Just("\x1b[?6h"), Just("\x1b[?7l")]
            .prop_map(str::to_owned),
        1 => "\x1b[#()][0-9A-Z]",
        1 => "\x1b[\\]PX^_][a-z;]{0,9}(\x07|\x1b\\\\)?",
    ]
}

proptest! {
    #[test]
    fn anything_can_be_shown(
        pieces in proptest::collection::vec(piece(), 0..60),
        cols in 2..40_u16,
        rows in 1..12_u16,
    ) {
        let (text, size) = (pieces.concat(), WindowSize { cols, rows });
        let shown = plain("", &text, size);
        prop_assert!(!shown.contains(|char: char| char.is_control() && char != '\n'), "{shown:?}");
        prop_assert!(shown.lines().all(|line| !line.ends_with(' ')));
        prop_assert!(!shown.ends_with("\n\n"));
        screen(&text, size);
    }

    #[test]
    fn random_bytes_can_be_shown(bytes in proptest::collection::vec(any::<u8>(), 0..3000)) {
        let text = String::from_utf8_lossy(&bytes);
        plain("", &text, SIZE);
        screen(&text, SIZE);
    }

    #[test]
    fn text_without_controls_stays_as_it_is(lines in proptest::collection::vec("[a-z]([a-z ]{0,60}[a-z])?", 0..30)) {
        let text: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
        prop_assert_eq!(shown(&text), text.replace('\r', ""));
    }
}

#[test]
fn four_mib_of_ordinary_text_take_no_time() {
    let text = "drwxr-xr-x 2 user group 4096 \x1b[01;34mdirectory\x1b[0m 日本\r\n".repeat(70_000);
    let size = WindowSize { cols: 120, rows: 30 };
    let begun = Instant::now();
    assert_eq!(plain("", &text, size).lines().count(), 70_000);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}
