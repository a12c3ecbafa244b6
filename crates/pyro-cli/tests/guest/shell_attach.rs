//! People at a shell: a terminal of the host with `shell attach` in it.

use crate::home::{Home, names_in, report, wait_until};
use crate::shell::Shell;
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

const DETACH: &[u8] = b"\x10\x11";

#[test]
fn people_sit_at_a_shell_and_leave_it_running() {
    let home = Home::new();
    let workspace = home.workspace();
    let shell = workspace.shell();
    shell.sh("echo be''fore");
    let watcher =
        attach(&shell, &["--read-only"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let first = Seat::at(&shell, 101, 33);
    // What is on the screen is there at once.
    first.wait_for("before");
    wait_until("the size has come", || shell.status()["cols"] == 101 && shell.status()["rows"] == 33);
    first.press(b"stty size\r");
    first.wait_for("33 101");
    let second = Seat::at(&shell, 101, 33);
    second.press(b"echo from s\"\"econd\r");
    first.wait_for("from second\r\n");
    second.wait_for("from second\r\n");
    first.resize(90, 20);
    wait_until("the new size has come", || shell.status()["cols"] == 90);
    second.press(b"stty size\r");
    second.wait_for("20 90");
    check_interrupt(&shell, &first);
    // Half of the keys that leave belong to the shell; the whole leaves it running, and the terminal as it was.
    first.press(DETACH);
    let shown = first.end(0);
    assert!(shown.contains("[workspace-shell-attach]") && shown.contains("detached"), "{shown:?}");
    assert_eq!(shell.status()["state"], "running");
    second.press(b"echo st\"\"ill\r");
    second.wait_for("still\r\n");
    // Whoever is killed leaves it running, too.
    let mut third = Seat::at(&shell, 90, 20);
    third.wait_for("still");
    third.child.kill().unwrap();
    third.child.wait().unwrap();
    second.press(b"echo l\"\"ast; exit 7\r");
    let shown = second.end(7);
    assert!(shown.contains("last\r\n"), "{shown:?}");
    assert_eq!(shell.status_in("exited")["exit_code"], 7);
    let watched = watcher.wait_with_output().unwrap();
    assert_eq!(watched.status.code(), Some(7), "{}", report(&watched));
    let text = String::from_utf8_lossy(&watched.stdout);
    for words in ["before", "33 101", "from second\r\n", "20 90", "still\r\n", "last\r\n"] {
        assert!(text.contains(words), "{words}: {text:?}");
    }
    check_refusals(&shell);
    drop(shell);
    assert_eq!(names_in(&workspace.folder().join("shells")).len(), 1);
    drop(workspace);
    home.assert_nothing_left();
}

/// Ctrl-C and Ctrl-Z are keys for the guest.
fn check_interrupt(shell: &Shell<'_, '_>, seat: &Seat) {
    seat.press(b"sleep 1001\r");
    wait_until("it sleeps", || !shell.workspace.processes("sleep 1001").is_empty());
    seat.press(b"\x03");
    seat.press(b"echo was \"[$?]\"\r");
    seat.wait_for("was [130]");
    seat.press(b"sleep 1002\r");
    wait_until("it sleeps", || !shell.workspace.processes("sleep 1002").is_empty());
    seat.press(b"\x1a");
    seat.wait_for("Stopped");
    seat.press(b"kill %1\r");
    wait_until("it is gone", || shell.workspace.processes("sleep 1002").is_empty());
}

fn check_refusals(shell: &Shell<'_, '_>) {
    let ended = attach(shell, &["--read-only"]).output().unwrap();
    assert_eq!(ended.status.code(), Some(125), "{}", report(&ended));
    assert!(report(&ended).contains("(exited)"), "{}", report(&ended));
    for more in [&[][..], &["--json"], &["--read-only", "--detach-keys", "alt-x"]] {
        let output = attach(shell, more).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{more:?}: {}", report(&output));
    }
}

fn attach(shell: &Shell<'_, '_>, more: &[&str]) -> Command {
    shell.workspace.command(&["shell", "attach"], &[&[shell.id.as_str()], more].concat())
}

/// A terminal with `shell attach` in it.
struct Seat {
    /// The side of who looks and types.
    outside: File,
    inside: OwnedFd,
    child: Child,
    shown: Arc<Mutex<Vec<u8>>>,
}

impl Seat {
    fn at(shell: &Shell<'_, '_>, cols: u16, rows: u16) -> Self {
        let outside = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&outside).unwrap();
        unlockpt(&outside).unwrap();
        tcsetwinsize(&outside, size(cols, rows)).unwrap();
        let name = ptsname(&outside, Vec::new()).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let inside = rustix::fs::open(name, flags, Mode::empty()).unwrap();
        let stdio = || Stdio::from(inside.try_clone().unwrap());
        let attach = attach(shell, &[]);
        // It makes the terminal that of the session, so that the terminal's signals arrive.
        let mut leader = Command::new("setsid");
        leader.args(["--ctty", "--wait"]).arg(attach.get_program()).args(attach.get_args());
        leader.envs(attach.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let child = leader.stdin(stdio()).stdout(stdio()).stderr(stdio()).spawn().unwrap();
        let (outside, shown) = (File::from(outside), Arc::new(Mutex::new(Vec::new())));
        let (mut from, to) = (outside.try_clone().unwrap(), shown.clone());
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(n_bytes @ 1..) = from.read(&mut bytes) {
                to.lock().unwrap().extend(&bytes[..n_bytes]);
            }
        });
        let seat = Self { outside, inside, child, shown };
        wait_until("it takes keys", || !seat.local_modes().contains(LocalModes::ICANON));
        seat
    }

    fn local_modes(&self) -> LocalModes {
        tcgetattr(&self.inside).unwrap().local_modes
    }

    fn press(&self, keys: &[u8]) {
        (&self.outside).write_all(keys).unwrap();
    }

    fn resize(&self, cols: u16, rows: u16) {
        tcsetwinsize(&self.outside, size(cols, rows)).unwrap();
    }

    fn shown(&self) -> String {
        String::from_utf8_lossy(&self.shown.lock().unwrap()).into_owned()
    }

    fn wait_for(&self, text: &str) {
        wait_until(&format!("{text:?} is shown"), || self.shown().contains(text));
    }

    /// Waits for its end, with this exit code, and gives all that it has shown.
    fn end(mut self, code: i32) -> String {
        wait_until("it has ended", || self.child.try_wait().unwrap().is_some());
        let status = self.child.wait().unwrap();
        assert_eq!(status.code(), Some(code), "{:?}", self.shown());
        let usual = LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG;
        assert!(self.local_modes().contains(usual), "the terminal is not as it was");
        wait_until("the last is shown", || self.shown().contains("[workspace-shell-attach]"));
        self.shown()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn size(cols: u16, rows: u16) -> Winsize {
    Winsize { ws_col: cols, ws_row: rows, ws_xpixel: 0, ws_ypixel: 0 }
}
