//! Shells with much to show and much to read: nothing is lost, nothing is there twice, and all of it has bounds.

use crate::home::{Home, names_in, report};
use crate::shell::Shell;
use crate::workspace::Workspace;
use serde_json::json;
use std::fmt::Write;
use std::fs;
use std::sync::Barrier;
use std::time::{Duration, Instant};

const N_ROUNDS: usize = 10;
/// Lines of 50 characters with their end: a megabyte in each round.
const N_LINES: usize = 20_000;
const N_READERS: usize = 3;

/// So much is kept at least: more than a round, so that readers that wait for each other miss nothing.
const KEPT_CHARS: u64 = 4 * 1024 * 1024;

/// Prints a round, then waits for a line before the next.
const PRINTER: &str = r#"$| = 1; print "BEG", "IN\n"; for my $r (0 .. 9) {
    my $t = "";
    $t .= sprintf "%04d %06d %s\n", $r, $_, "abcdefghijklmnopqrstuvwxyz0123456789" for 1 .. 20000;
    $t .= "MARK $r\n";
    while (length $t) { my $n = syswrite STDOUT, $t; substr($t, 0, $n, "") }
    <STDIN> }"#;

/// A round as a terminal shows it.
fn round(number: usize) -> String {
    let mut text = String::with_capacity(N_LINES * 51);
    for line in 1..=N_LINES {
        write!(text, "{number:04} {line:06} abcdefghijklmnopqrstuvwxyz0123456789\r\n").unwrap();
    }
    text + &format!("MARK {number}\r\n")
}

#[test]
fn three_readers_see_ten_megabytes_once_each() {
    let home = Home::new();
    let workspace = home.workspace();
    let shell = workspace.shell();
    workspace.sh(&format!("cat > /root/printer <<'EOF'\n{PRINTER}\nEOF"));
    shell.sh("stty -echo");
    shell.line("perl /root/printer; stty echo");
    shell.expect("BEGIN\r\n");
    let start = shell.cursor();
    let barrier = Barrier::new(N_READERS);
    let read = |reader: usize| {
        let (shell, mut cursor) = (workspace.shell_of(&shell.id), start);
        // Each in pieces of another size.
        let max_chars = (1_048_576 >> (2 * reader)).to_string();
        for number in 0..N_ROUNDS {
            let expected = round(number);
            let mut text = String::with_capacity(expected.len());
            let deadline = Instant::now() + Duration::from_secs(180);
            while text.len() < expected.len() {
                let read = shell.read(cursor, &["--max-chars", &max_chars]);
                assert_eq!((&read["truncated"], &read["dropped_chars"]), (&json!(false), &json!(0)));
                text += read["output"].as_str().unwrap();
                cursor = read["next_cursor"].as_u64().unwrap();
                assert!(Instant::now() < deadline, "{} of {}", text.len(), expected.len());
            }
            assert!(text == expected, "reader {reader}, round {number}: {} bytes", text.len());
            if barrier.wait().is_leader() {
                shell.line("");
            }
        }
        cursor
    };
    let ends: Vec<u64> = std::thread::scope(|scope| {
        let readers: Vec<_> = (0..N_READERS).map(|reader| scope.spawn(move || read(reader))).collect();
        readers.into_iter().map(|reader| reader.join().unwrap()).collect()
    });
    assert!(ends.iter().all(|end| *end == ends[0]), "{ends:?}");
    let all: String = (0..N_ROUNDS).map(round).collect();
    assert_eq!(ends[0] - start, all.len() as u64);
    check_dropped(&shell, start, &all);
    assert_eq!(shell.sh("echo on"), "on\n");
    drop(shell);
    drop(workspace);
    home.assert_nothing_left();
}

/// What is not kept is told, and cursors stay what they are.
fn check_dropped(shell: &Shell<'_, '_>, start: u64, all: &str) {
    let end = start + all.len() as u64;
    for cursor in [0, start, start + 1_000_000] {
        let read = shell.read(cursor, &["--max-chars", "1000"]);
        assert_eq!((&read["truncated"], &read["cursor"]), (&json!(true), &json!(cursor)), "{read:#}");
        let first = cursor + read["dropped_chars"].as_u64().unwrap();
        assert!(first < end - KEPT_CHARS, "{first} is the first of {end}");
        let from = usize::try_from(first - start).unwrap();
        assert!(read["output"].as_str().unwrap() == &all[from..from + 1000], "{read:#}");
        assert_eq!(read["next_cursor"], first + 1000);
    }
    let read = shell.read(end - KEPT_CHARS, &["--max-chars", &KEPT_CHARS.to_string()]);
    assert_eq!((&read["truncated"], &read["dropped_chars"]), (&json!(false), &json!(0)));
    assert!(all.ends_with(read["output"].as_str().unwrap()) && read["next_cursor"] == end);
    let folder = shell.workspace.folder().join("shells").join(&shell.id);
    let sizes = names_in(&folder).into_iter().map(|name| fs::metadata(folder.join(name)).unwrap().len());
    let on_disk: u64 = sizes.sum();
    assert!((KEPT_CHARS..KEPT_CHARS + 1024 * 1024).contains(&on_disk), "{on_disk} bytes are on disk");
}

#[test]
fn much_input_is_read_whole_or_said_to_be_too_much() {
    let home = Home::new();
    let workspace = home.workspace();
    let shell = workspace.shell();
    check_paste(&workspace, &shell);
    check_full(&shell);
    // It is closed although it is full.
    fill(&shell);
    assert_eq!(shell.done("close", &[])["state"], "closed");
    assert!(workspace.processes("sleep").is_empty());
    drop(shell);
    drop(workspace);
    home.assert_nothing_left();
}

/// Every byte of a big paste arrives, once and in its order, also those that a terminal would act on.
fn check_paste(workspace: &Workspace<'_>, shell: &Shell<'_, '_>) {
    let controls: String = (1..=127_u8).map(char::from).collect();
    let pieces: Vec<String> = (0..3)
        .map(|piece| {
            (0..600).fold(String::new(), |text, line| text + &format!("{piece} {line} ä€😀{controls}"))
        })
        .collect();
    let all = pieces.concat();
    assert!(all.len() > 250_000 && pieces[0].len() < 128 * 1024);
    shell.line(&format!(
        "stty raw -echo; echo rea''dy; head -c {} > /root/paste; stty sane; echo fin''ished",
        all.len()
    ));
    shell.expect("ready");
    for piece in &pieces {
        shell.keys(piece);
    }
    shell.expect("finished");
    let output = workspace.exec(&["cat", "/root/paste"]);
    assert!(output.stdout == all.as_bytes(), "{} of {}: {}", output.stdout.len(), all.len(), output.status);
}

/// Comes to an error when nobody reads; after an interrupt it goes on.
fn check_full(shell: &Shell<'_, '_>) {
    fill(shell);
    // An observer is not disturbed by that, nor is another shell.
    assert!(shell.read(0, &[])["output"].is_string());
    assert_eq!(shell.workspace.shell().sh("echo other"), "other\n");
    shell.done("signal", &["--signal", "INT"]);
    // The shell that reads the rest has half a line of it.
    shell.keys("\rstty sane\r");
    assert_eq!(shell.sh("echo on"), "on\n");
}

/// Types until there is no room.
fn fill(shell: &Shell<'_, '_>) {
    shell.line("stty raw -echo; echo as''leep; sleep 1000");
    shell.expect("asleep");
    // The shell that reads the rest does nothing with it.
    let piece = format!("{}\r", "#".repeat(1023)).repeat(64);
    let begun = Instant::now();
    for _ in 0..16 {
        let mut write =
            shell.workspace.command(&["shell", "write"], &[&shell.id, "--input", &piece, "--json"]);
        let output = write.output().unwrap();
        if output.status.success() {
            continue;
        }
        assert_eq!(output.status.code(), Some(125), "{}", report(&output));
        let told = report(&output);
        assert!(told.contains("\"timeout\"") && told.contains("full") && told.contains("signal"), "{told}");
        assert!(begun.elapsed() < Duration::from_secs(120), "{:?}", begun.elapsed());
        return;
    }
    panic!("a megabyte was taken, though nobody reads");
}
