//! A terminal with pyro in it, and somebody who types and looks.

use crate::home::LIMIT;
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;

pub struct Terminal {
    /// The side of who looks and types.
    outside: File,
    child: Child,
    shown: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Terminal {
    /// Starts a command as the leader of a session whose terminal has this size.
    pub fn with(command: &Command, cols: u16, rows: u16) -> Self {
        let outside = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&outside).unwrap();
        unlockpt(&outside).unwrap();
        let name = ptsname(&outside, Vec::new()).unwrap();
        let inside =
            rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()).unwrap();
        tcsetwinsize(&outside, size(cols, rows)).unwrap();
        let stdio = || Stdio::from(inside.try_clone().unwrap());
        // It makes the terminal that of the session, so that signals of the terminal arrive.
        let mut leader = Command::new("setsid");
        leader.args(["--ctty", "--wait"]).arg(command.get_program()).args(command.get_args());
        leader.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let child = leader.stdin(stdio()).stdout(stdio()).stderr(stdio()).spawn().unwrap();
        let outside = File::from(outside);
        let shown = Arc::new(Mutex::new(Vec::new()));
        let (mut from, to) = (outside.try_clone().unwrap(), shown.clone());
        let reader = std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // An error is how it says that nobody is inside any more.
            while let Ok(n_bytes @ 1..) = from.read(&mut bytes) {
                to.lock().unwrap().extend(&bytes[..n_bytes]);
            }
        });
        Self { outside, child, shown, reader: Some(reader) }
    }

    /// The process in it.
    pub fn pid(&self) -> i32 {
        self.child.id().try_into().unwrap()
    }

    pub fn press(&self, keys: &[u8]) {
        (&self.outside).write_all(keys).unwrap();
    }

    pub fn resize(&self, cols: u16, rows: u16) {
        tcsetwinsize(&self.outside, size(cols, rows)).unwrap();
    }

    /// All that it has shown so far.
    pub fn shown(&self) -> String {
        String::from_utf8_lossy(&self.shown.lock().unwrap()).into_owned()
    }

    pub fn wait_for(&self, text: &str) {
        let begun = Instant::now();
        while !self.shown().contains(text) {
            assert!(begun.elapsed() < LIMIT, "{text:?} did not come: {:?}", self.shown());
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    /// Whether it edits lines and echoes, as a shell of the user's wants it.
    pub fn is_as_it_was(&self) -> bool {
        let modes = tcgetattr(&self.outside).unwrap().local_modes;
        modes.contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
    }

    /// Waits for the end of the process in it, and gives all that was shown.
    pub fn end(&mut self) -> (ExitStatus, String) {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(begun.elapsed() < LIMIT, "it does not end: {:?}", self.shown());
            std::thread::sleep(std::time::Duration::from_millis(20));
        };
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        (status, self.shown())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn size(cols: u16, rows: u16) -> Winsize {
    Winsize { ws_col: cols, ws_row: rows, ws_xpixel: 0, ws_ypixel: 0 }
}
