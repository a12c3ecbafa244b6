//! Commands with a terminal: what they see of it, what comes and goes through it, how they end.

use crate::guest::{Guest, LIMIT, Output, command, within};
use pyro_host::guest::{ExecEvent, Execution, StdinSender};
use pyro_protocol::exec::{Exec, Exited, WindowSize};
use std::time::Duration;

const SIGINT: i32 = 2;
const SIGKILL: i32 = 9;
const SIGTERM: i32 = 15;

const SMALL: WindowSize = WindowSize { cols: 80, rows: 24 };

/// A command and what it has shown so far.
struct Screen {
    execution: Execution,
    stdin: StdinSender,
    shown: Vec<u8>,
    /// So much of that was awaited.
    seen: usize,
}

impl Screen {
    async fn open(guest: &Guest, exec: Exec) -> Self {
        let exec = Exec { terminal: Some(SMALL), ..exec };
        let mut execution = guest.connection.exec(exec).unwrap();
        let stdin = execution.stdin().unwrap();
        assert!(matches!(within(execution.next()).await.unwrap(), ExecEvent::Started { .. }));
        Self { execution, stdin, shown: Vec::new(), seen: 0 }
    }

    async fn shell(guest: &Guest) -> Self {
        let mut screen = Self::open(guest, contained_shell()).await;
        screen.wait_for("ready> ").await;
        screen
    }

    async fn keys(&mut self, keys: &str) {
        within(self.stdin.send(keys.as_bytes())).await.unwrap();
    }

    /// Types a line, whose echo is not waited for: what is to be seen must not be in it.
    async fn line(&mut self, line: &str) {
        self.keys(&format!("{line}\r")).await;
    }

    /// Gives what is shown up to a text that nothing before it contains, and has not been awaited before.
    async fn wait_for(&mut self, text: &str) -> String {
        loop {
            let new = String::from_utf8_lossy(&self.shown[self.seen..]).into_owned();
            if let Some(at) = new.find(text) {
                self.seen += at + text.len();
                return new[..at].to_owned();
            }
            match tokio::time::timeout(LIMIT, self.execution.next()).await.map(Result::unwrap) {
                Ok(ExecEvent::Stdout(bytes)) => self.shown.extend(bytes),
                other => panic!("{other:?} before {text:?}, after {new:?}"),
            }
        }
    }

    /// What a line prints, up to the next prompt.
    async fn answer(&mut self, line: &str) -> String {
        self.line(line).await;
        self.wait_for("\r\n").await;
        self.wait_for("ready> ").await
    }

    async fn exited(&mut self) -> Exited {
        let Output { exited, stdout, stderr } = within(crate::guest::finish(&mut self.execution)).await;
        self.shown.extend(stdout);
        assert!(stderr.is_empty(), "everything comes on one channel");
        exited
    }
}

fn contained_shell() -> Exec {
    let shell = command(&["bash", "--noprofile", "--norc", "--noediting", "-i"]);
    let mut env = shell.env.clone();
    env.insert("PS1".into(), "ready> ".into());
    Exec { contained: true, env, ..shell }
}

fn with_terminal(script: &str) -> Exec {
    Exec { terminal: Some(SMALL), ..crate::guest::shell(script) }
}

#[tokio::test]
async fn a_command_finds_a_terminal_of_the_size_that_was_asked_for() {
    let guest = Guest::start();
    let mut screen = Screen::shell(&guest).await;
    assert!(screen.answer("tty").await.starts_with("/dev/pts/"));
    assert_eq!(screen.answer("stty size").await, "24 80\r\n");
    assert!(screen.answer("stty -a").await.contains(" iutf8"));
    assert_eq!(screen.answer("test -t 0 && test -t 1 && test -t 2 && echo all").await, "all\r\n");
    assert_eq!(screen.answer("true </dev/tty && echo own").await, "own\r\n");
    let masters = screen.answer("readlink /proc/$$/fd/* | grep -c ptmx").await;
    assert_eq!(masters, "0\r\n", "our end is handed on to nobody");
    screen.execution.resize(WindowSize { cols: 0, rows: 7 }).unwrap();
    screen.answer("trap 'echo win''ch' WINCH").await;
    screen.execution.resize(WindowSize { cols: 132, rows: 43 }).unwrap();
    screen.keys("\r").await; // a shell that waits for a line runs its traps behind it
    screen.wait_for("winch").await;
    screen.wait_for("ready> ").await;
    assert_eq!(screen.answer("stty size").await, "43 132\r\n");
    screen.line("exit 3").await;
    let exited = screen.exited().await;
    assert_eq!((exited.code, exited.killed, exited.left_behind), (Some(3), false, 0));
    guest.stop();
}

#[tokio::test]
async fn a_command_without_a_terminal_has_no_size() {
    let guest = Guest::start();
    let mut execution = guest.connection.exec(Exec { stdin: true, ..command(&["cat"]) }).unwrap();
    execution.resize(SMALL).unwrap();
    drop(execution.stdin());
    assert_eq!(within(crate::guest::finish(&mut execution)).await.exited.code, Some(0));
    guest.stop();
}

#[tokio::test]
async fn what_is_typed_is_echoed_unless_the_command_does_not_want_that() {
    let guest = Guest::start();
    let mut screen =
        Screen::open(&guest, command(&["sh", "-c", "read a; stty -echo; echo ok; read b; echo $b"])).await;
    screen.line("fünf").await;
    assert_eq!(screen.wait_for("ok\r\n").await, "fünf\r\n");
    screen.line("secret").await;
    assert_eq!(screen.exited().await.code, Some(0));
    assert_eq!(&screen.shown[screen.seen..], b"secret\r\n");
    guest.stop();
}

#[tokio::test]
async fn an_interrupt_reaches_the_foreground_and_not_the_shell() {
    let guest = Guest::start();
    let mut screen = Screen::shell(&guest).await;
    for by_signal in [false, true] {
        screen.line("sh -c 'echo g''o; exec sleep 1000'; echo nev''er").await;
        screen.wait_for("go\r\n").await;
        match by_signal {
            false => screen.keys("\u{3}").await,
            true => screen.execution.signal(SIGINT).unwrap(),
        }
        assert!(!screen.wait_for("ready> ").await.contains("never"));
        assert_eq!(screen.answer("echo $?").await, "130\r\n");
    }
    screen.line("exit").await;
    screen.exited().await;
    guest.stop();
}

#[tokio::test]
async fn jobs_are_stopped_and_continued() {
    let guest = Guest::start();
    let mut screen = Screen::shell(&guest).await;
    screen.line("cat").await;
    screen.line("early").await;
    screen.wait_for("\nearly\r\nearly\r\n").await; // the echo, and what cat says: it is in the foreground
    screen.keys("\u{1a}").await;
    screen.wait_for("Stopped").await;
    screen.wait_for("ready> ").await;
    assert!(screen.answer("jobs").await.contains("Stopped"));
    screen.line("fg").await;
    screen.wait_for("cat\r\n").await;
    screen.line("late").await;
    screen.wait_for("late\r\nlate\r\n").await;
    screen.keys("\u{4}").await;
    screen.wait_for("ready> ").await;
    assert_eq!(screen.answer("echo $?").await, "0\r\n");
    screen.keys("\u{4}").await;
    assert_eq!(screen.exited().await.code, Some(0));
    guest.stop();
}

#[tokio::test]
async fn much_input_for_a_command_that_reads_late_arrives_whole() {
    let guest = Guest::start();
    let folder = tempfile::tempdir().unwrap();
    let (file, go) = (folder.path().join("file"), crate::guest::Fifo::new());
    const BYTES: usize = 1 << 20;
    let script = format!(
        "stty raw -echo; echo raw; cat {} >/dev/null; head -c {BYTES} >{}; echo done",
        go.path.display(),
        file.display()
    );
    let mut screen = Screen::open(&guest, command(&["sh", "-c", &script])).await;
    screen.wait_for("raw").await;
    let bytes: Vec<u8> = (0..BYTES).map(|n| (n % 251) as u8).collect();
    let early = tokio::time::timeout(Duration::from_millis(200), screen.stdin.send(&bytes[..100_000]));
    early.await.expect_err("nobody reads more than the windows hold");
    // How much of that was sent cannot be known, so the rest is zeroes.
    let opened = std::thread::spawn(move || std::fs::write(&go.path, ""));
    let rest = vec![0; BYTES];
    let (sent, ()) = tokio::join!(screen.stdin.send(&rest), async {
        within(async { while !matches!(screen.execution.next().await.unwrap(), ExecEvent::Stdout(_)) {} })
            .await;
    });
    let _ = sent; // ends with the command
    opened.join().unwrap().unwrap();
    assert_eq!(screen.exited().await.code, Some(0));
    let taken = std::fs::read(&file).unwrap();
    assert_eq!(taken.len(), BYTES);
    let n_early = taken.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    assert!(n_early >= 64 * 1024, "{n_early}");
    assert!(taken[..n_early] == bytes[..n_early]);
    guest.stop();
}

#[tokio::test]
async fn input_goes_on_when_what_was_there_is_thrown_away() {
    let guest = Guest::start();
    let go = crate::guest::Fifo::new();
    let script = format!(
        "stty raw -echo; echo raw; cat {} >/dev/null; \
         python3 -c 'import termios; termios.tcflush(0, termios.TCIFLUSH)'; echo flushed; head -c 1000000 | wc -c",
        go.path.display()
    );
    let mut screen = Screen::open(&guest, command(&["sh", "-c", &script])).await;
    screen.wait_for("raw").await;
    let bytes = vec![b'x'; 2_000_000];
    let early = tokio::time::timeout(Duration::from_millis(200), screen.stdin.send(&bytes));
    early.await.expect_err("nobody reads more than the windows hold");
    let opened = std::thread::spawn(move || std::fs::write(&go.path, ""));
    let Screen { mut execution, mut stdin, .. } = screen;
    let (_, output) = tokio::join!(stdin.send(&bytes), within(crate::guest::finish(&mut execution)));
    assert!(output.text().contains("1000000"), "{:?}", output.text());
    opened.join().unwrap().unwrap();
    guest.stop();
}

#[tokio::test]
async fn much_output_arrives_whole() {
    let guest = Guest::start();
    const LINES: usize = 1_500_000;
    let output = guest.run(with_terminal(&format!("seq {LINES}"))).await;
    assert_eq!(output.exited.code, Some(0));
    assert!(output.stdout.len() > 10_000_000);
    let expected = (1..=LINES).map(|n| n.to_string());
    assert!(output.text().split_terminator("\r\n").eq(expected));
    guest.stop();
}

#[tokio::test]
async fn the_last_words_are_never_lost() {
    let guest = Guest::start();
    for contained in [false, true] {
        for n_bytes in [1, 4095, 4096, 9000, 16_000, 20_000, 40_000] {
            for _ in 0..10 {
                let script = format!("head -c {n_bytes} /dev/zero; printf end; exit 4");
                let output = guest.run(Exec { contained, ..with_terminal(&script) }).await;
                assert_eq!(output.exited.code, Some(4));
                assert_eq!(output.stdout.len(), n_bytes + 3);
                assert!(output.stdout.ends_with(b"end"));
            }
        }
    }
    guest.stop();
}

#[tokio::test]
async fn a_background_child_that_keeps_the_terminal_holds_up_nobody() {
    let guest = Guest::start();
    // It prints as long as it has a terminal to print to.
    let script = "trap '' HUP; (while echo background; do :; done) & echo last; exit 5";
    let output = guest.run(with_terminal(script)).await;
    assert_eq!((output.exited.code, output.exited.left_behind), (Some(5), 0));
    assert!(output.text().contains("last\r\n"));
    guest.stop();
}

#[tokio::test]
async fn a_terminal_that_nobody_has_open_for_a_while_is_still_there() {
    let guest = Guest::start();
    let script = "exec <&- >&- 2>&-; sleep 0.05; exec </dev/tty >/dev/tty; echo back; read line; echo $line";
    let mut screen = Screen::open(&guest, command(&["sh", "-c", script])).await;
    screen.wait_for("back").await;
    screen.line("again").await;
    assert_eq!(screen.exited().await.code, Some(0));
    assert!(screen.shown.ends_with(b"again\r\nagain\r\n"), "{:?}", String::from_utf8_lossy(&screen.shown));
    guest.stop();
}

#[tokio::test]
async fn the_end_of_the_input_hangs_nobody_up() {
    let guest = Guest::start();
    let mut execution = guest
        .connection
        .exec(with_terminal("trap 'echo hup' HUP; read a; echo go; sleep 0.1; echo $a"))
        .unwrap();
    let mut stdin = execution.stdin().unwrap();
    within(stdin.send(b"line\r")).await.unwrap();
    stdin.finish();
    let output = within(crate::guest::finish(&mut execution)).await;
    assert!(output.text().ends_with("go\r\nline\r\n"), "{output:?}");
    assert_eq!(output.exited.code, Some(0));
    guest.stop();
}

#[tokio::test]
async fn to_end_a_shell_ends_its_jobs() {
    let guest = Guest::start();
    let mut screen = Screen::shell(&guest).await;
    let (behind, before) = (crate::guest::Fifo::new(), crate::guest::Fifo::new());
    let (behind_opened, behind_closed) = behind.opened_and_closed();
    let (before_opened, before_closed) = before.opened_and_closed();
    screen.answer(&format!("(trap '' TERM HUP; exec cat /dev/zero >{}) &", behind.path.display())).await;
    screen.line(&format!("cat /dev/zero >{}", before.path.display())).await;
    behind_opened.await;
    before_opened.await;
    // An interactive shell withstands SIGTERM, and so does the job behind it.
    screen.execution.terminate(SIGTERM, Duration::from_millis(300)).unwrap();
    let exited = screen.exited().await;
    assert_eq!((exited.signal, exited.killed, exited.timed_out), (Some(SIGKILL), true, false));
    assert_eq!(exited.left_behind, 0);
    behind_closed.await;
    before_closed.await;
    guest.stop();
}

#[tokio::test]
async fn a_shell_that_is_dropped_takes_its_jobs_along() {
    let guest = Guest::start();
    for contained in [true, false] {
        let mut screen = Screen::open(&guest, Exec { contained, ..contained_shell() }).await;
        screen.wait_for("ready> ").await;
        let fifo = crate::guest::Fifo::new();
        let (opened, closed) = fifo.opened_and_closed();
        screen.answer(&format!("(trap '' TERM HUP; exec cat /dev/zero >{}) &", fifo.path.display())).await;
        opened.await;
        drop(screen);
        closed.await;
    }
    guest.stop();
}

#[tokio::test]
async fn a_host_that_hangs_up_ends_shells_with_their_jobs() {
    let guest = Guest::start();
    let mut screen = Screen::shell(&guest).await;
    let fifo = crate::guest::Fifo::new();
    let (opened, closed) = fifo.opened_and_closed();
    screen.answer(&format!("(trap '' TERM HUP; exec cat /dev/zero >{}) &", fifo.path.display())).await;
    opened.await;
    guest.stop();
    closed.await;
}

#[tokio::test]
async fn a_signal_that_cannot_be_withstood_kills_only_what_is_in_the_foreground() {
    let guest = Guest::start();
    let mut screen = Screen::shell(&guest).await;
    let fifo = crate::guest::Fifo::new();
    let (opened, closed) = fifo.opened_and_closed();
    screen.line(&format!("cat /dev/zero >{}", fifo.path.display())).await;
    opened.await;
    screen.execution.signal(SIGKILL).unwrap();
    closed.await;
    screen.wait_for("ready> ").await;
    let answer = screen.answer("echo status $?").await;
    assert!(answer.contains("status 137"), "{answer}");
    guest.stop();
}
