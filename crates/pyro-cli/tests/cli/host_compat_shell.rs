//! Shells, where commands run on this host: by programs, and by somebody at a terminal.

use crate::home::{Home, eventually};
use crate::terminal::Terminal;
use serde_json::Value;
use std::process::Stdio;
use std::time::Duration;

/// What gives the terminal back: leaves the alternate screen, shows the cursor.
const GIVEN_BACK: [&str; 2] = ["\x1b[?1049l", "\x1b[?25h"];

/// As many keys wait on their way to a program that does not read, but not many more, and then none is seen any more.
const FULL: usize = (64 + 256 + 56) * 1024;

impl Home {
    /// `pyro workspace shell WORDS` with `--json`, which must end with this code.
    fn shell(&self, words: &[&str], code: i32) -> Value {
        self.json(&[&["workspace", "shell", words[0], "--json"], &words[1..]].concat(), code)
    }

    fn open(&self, id: &str) -> String {
        let id = self.text(&["workspace", "shell", "open", id, "--id-only"], 0);
        assert!(id.starts_with("sh-") && id.lines().count() == 1, "{id}");
        id.trim().to_owned()
    }

    fn enter(&self, id: &str, shell: &str, line: &str) {
        assert_eq!(self.shell(&["write", id, shell, "--input", line], 0)["append_newline"], true);
    }

    /// Waits until a shell has shown something.
    fn shows(&self, id: &str, shell: &str, text: &str) {
        let shown = || self.shell(&["read", id, shell, "--plain"], 0)["output"].as_str().unwrap().to_owned();
        eventually(text, || shown().contains(text));
    }

    fn shell_state(&self, id: &str, shell: &str) -> String {
        self.shell(&["read", id, shell], 0)["state"].as_str().unwrap().to_owned()
    }

    /// Somebody sits down at a shell.
    fn attach(&self, id: &str, shell: &str, options: &[&str]) -> Terminal {
        let words = [&["workspace", "shell", "attach", id, shell], options].concat();
        Terminal::with(&self.command(&words), 100, 40)
    }
}

#[test]
fn a_shell_is_written_read_signalled_and_closed() {
    let home = Home::new();
    let id = home.create(&[]);
    let opened = home.shell(&["open", &id, "--cols", "90", "--rows", "20"], 0);
    assert_eq!(
        (&opened["state"], &opened["cols"], &opened["rows"]),
        (&"running".into(), &90.into(), &20.into())
    );
    let shell = opened["shell_id"].as_str().unwrap();
    home.enter(&id, shell, "stty size; echo $((40 + 2))");
    home.shows(&id, shell, "20 90\n42\n");
    let first = home.shell(&["read", &id, shell, "--max-chars", "3"], 0);
    assert_eq!((&first["cursor"], &first["next_cursor"]), (&0.into(), &3.into()));
    assert_eq!(first["output"].as_str().unwrap().chars().count(), 3);
    let idle = home.shell(&["read", &id, shell, "--cursor", "3", "--wait-for-idle-ms", "100"], 0);
    assert_eq!((&idle["idle"], &idle["cursor"]), (&true.into(), &3.into()));

    home.enter(&id, shell, "trap 'echo caught' INT; sh -c 'echo begun; sleep 1000'; echo over");
    home.shows(&id, shell, "\nbegun\n");
    assert_eq!(home.shell(&["signal", &id, shell], 0)["signal"], "INT");
    home.shows(&id, shell, "over\n");
    assert_eq!(home.shell(&["resize", &id, shell, "--cols", "70", "--rows", "10"], 0)["cols"], 70);
    home.enter(&id, shell, "stty size");
    home.shows(&id, shell, "10 70\n");
    let written = home.shell(&["write", &id, shell, "--input", "-né", "--no-newline"], 0);
    assert_eq!((&written["input_length"], &written["append_newline"]), (&3.into(), &false.into()));

    let closed = home.shell(&["close", &id, shell], 0);
    assert_eq!(closed["state"], "closed", "{closed}");
    assert_eq!(home.shell(&["write", &id, shell, "--input", "x"], 125)["error"]["kind"], "wrong_state");
    assert_eq!(home.shell(&["list", &id], 0)["running_count"], 0);
    assert!(home.shell(&["read", &id, shell, "--plain"], 0)["output"].as_str().unwrap().contains("10 70"));
}

#[test]
fn somebody_sits_at_a_shell_and_leaves_it_running() {
    let home = Home::new();
    let id = home.create(&[]);
    let shell = home.open(&id);
    home.enter(&id, &shell, "echo before-$((1 + 1))");
    home.shows(&id, &shell, "before-2\n");
    let mut terminal = home.attach(&id, &shell, &[]);
    terminal.wait_for("before-2");
    eventually("its keys are the shell's", || !terminal.is_as_it_was());
    terminal.press(b"stty size\r");
    terminal.wait_for("40 100");
    terminal.resize(90, 33);
    eventually("the shell's terminal has the new size", || {
        home.shell(&["list", &id], 0)["shells"][0]["cols"] == 90
    });
    terminal.press(b"stty size\r");
    terminal.wait_for("33 90");
    // Ctrl-C is the shell's; half of the detach keys goes to it with what follows.
    terminal.press(b"sleep 1000\r");
    terminal.press(b"\x03");
    terminal.press(b"echo \x10");
    terminal.press(b"after-$((1 + 2))\r");
    terminal.wait_for("after-3");
    terminal.press(b"\x10");
    terminal.press(b"\x11");
    let (status, shown) = terminal.end();
    assert_eq!(status.code(), Some(0), "{shown}");
    let (_, last) = shown.rsplit_once("[workspace-shell-attach] ").unwrap();
    assert!(last.contains("detached") && last.contains(&format!("pyro workspace shell attach {id} {shell}")));
    assert!(GIVEN_BACK.iter().all(|sequence| shown.contains(sequence)), "{shown:?}");
    assert!(terminal.is_as_it_was());
    assert_eq!(home.shell_state(&id, &shell), "running");
}

#[test]
fn a_paste_of_any_length_arrives_whole() {
    let home = Home::new();
    let id = home.create(&[]);
    let shell = home.open(&id);
    let mut terminal = home.attach(&id, &shell, &[]);
    eventually("its keys are the shell's", || !terminal.is_as_it_was());
    let target = home.path("pasted");
    // Every byte, except that half of the detach keys is never followed by the other.
    let paste: Vec<u8> = (0..2_000_000_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .filter(|byte| *byte != 0x11)
        .collect();
    // It begins to read only after more has come than may wait.
    terminal.press(
        format!("stty raw -echo; echo ready-$((1 + 1)); sleep 3; head -c {} > '{}'; stty sane; echo got-$((2 + 2))\r", paste.len(), target.display()).as_bytes(),
    );
    terminal.wait_for("ready-2");
    terminal.press(&paste);
    terminal.wait_for("got-4");
    assert!(std::fs::read(&target).unwrap() == paste, "what arrived is not what was pasted");
    terminal.press(b"exit 5\r");
    let (status, shown) = terminal.end();
    assert_eq!(status.code(), Some(5), "{shown}");
}

#[test]
fn somebody_leaves_a_shell_that_does_not_read() {
    let home = Home::new();
    let id = home.create(&[]);
    let shell = home.open(&id);
    let mut terminal = home.attach(&id, &shell, &[]);
    eventually("its keys are the shell's", || !terminal.is_as_it_was());
    terminal.press(b"stty raw -echo; echo ready-$((1 + 1)); sleep 1000\r");
    terminal.wait_for("ready-2");
    terminal.press(&vec![b'x'; FULL]);
    // Longer than a call may take to type: nothing of it ends who only waits.
    std::thread::sleep(Duration::from_secs(12));
    terminal.press(b"\x10\x11");
    let (status, shown) = terminal.end();
    assert_eq!(status.code(), Some(0), "{shown}");
    assert!(shown.contains("detached"), "{shown}");
    assert!(terminal.is_as_it_was());
    assert_eq!(home.shell_state(&id, &shell), "running");
    // The end of the shell ends who waits, too.
    let mut terminal = home.attach(&id, &shell, &[]);
    eventually("its keys are the shell's", || !terminal.is_as_it_was());
    terminal.press(b"more");
    assert_eq!(home.shell(&["close", &id, &shell], 0)["state"], "closed");
    let (status, shown) = terminal.end();
    assert!(shown.contains("state=closed"), "{status}: {shown}");
}

#[test]
fn the_end_of_a_shell_is_the_end_of_who_sits_there() {
    let home = Home::new();
    let id = home.create(&[]);
    let shell = home.open(&id);
    let mut watcher = home.attach(&id, &shell, &["--read-only"]);
    let words = ["workspace", "shell", "attach", &id, &shell, "--read-only"];
    let piped = home.command(&words).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut terminal = home.attach(&id, &shell, &["--detach-keys", "~,."]);
    terminal.press(b"echo seen-$((3 + 4))\r");
    terminal.wait_for("seen-7");
    watcher.wait_for("seen-7");
    watcher.press(b"exit 9\r"); // nobody hears it
    assert!(watcher.is_as_it_was());
    terminal.press(b"exit 7\r");
    for terminal in [&mut terminal, &mut watcher] {
        let (status, shown) = terminal.end();
        assert_eq!(status.code(), Some(7), "{shown}");
        assert!(shown.contains("state=exited exit_code=7"), "{shown}");
        assert!(terminal.is_as_it_was());
    }
    let output = piped.wait_with_output().unwrap();
    let piped = String::from_utf8(output.stdout).unwrap();
    assert!(piped.contains("seen-7") && !piped.contains(GIVEN_BACK[0]), "{piped:?}");
    assert_eq!(output.status.code(), Some(7));
}

#[test]
fn a_terminal_is_given_back_whatever_happens() {
    let home = Home::new();
    let id = home.create(&[]);
    let shell = home.open(&id);
    for (signal, code) in [("TERM", 143), ("HUP", 129), ("QUIT", 131)] {
        let mut terminal = home.attach(&id, &shell, &[]);
        eventually("its keys are the shell's", || !terminal.is_as_it_was());
        let pid = terminal.pid().to_string();
        assert!(std::process::Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
        let (status, shown) = terminal.end();
        assert_eq!(status.code(), Some(code), "{signal}: {shown}");
        assert!(terminal.is_as_it_was() && shown.contains(GIVEN_BACK[0]), "{signal}");
    }
    assert_eq!(home.shell_state(&id, &shell), "running");
    // And when the supervisor dies under it.
    let mut terminal = home.attach(&id, &shell, &[]);
    eventually("its keys are the shell's", || !terminal.is_as_it_was());
    crate::home::kill(home.supervisor(&id));
    let (status, shown) = terminal.end();
    assert_eq!(status.code(), Some(125), "{shown}");
    assert!(shown.contains("error: "), "{shown}");
    assert!(terminal.is_as_it_was() && shown.contains(GIVEN_BACK[0]));
    assert_eq!(home.shell_state(&id, &shell), "failed");
}

#[test]
fn no_more_than_sixty_four_shells_run_however_many_are_opened_at_once() {
    let home = Home::new();
    let id = home.create(&[]);
    let open = || {
        let mut command = home.command(&["workspace", "shell", "open", &id, "--json"]);
        command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
    };
    let opened: Vec<_> = std::iter::repeat_with(open).take(70).collect();
    let opened: Vec<_> = opened.into_iter().map(|child| child.wait_with_output().unwrap()).collect();
    let n_opened = opened.iter().filter(|output| output.status.success()).count();
    for refused in opened.iter().filter(|output| !output.status.success()) {
        let refused: Value = serde_json::from_slice(&refused.stdout).unwrap();
        assert_eq!(refused["error"]["kind"], "limit_reached", "{refused}");
    }
    let list = home.json(&["workspace", "shell", "list", &id, "--json"], 0);
    assert_eq!((n_opened, &list["running_count"]), (64, &64.into()));
}
