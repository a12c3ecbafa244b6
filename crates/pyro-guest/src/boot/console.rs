//! What the agent says on the console: the phases of its start and why it failed. Nothing else, and nothing once
//! the machine serves.

use pyro_protocol::CONSOLE_PHASE_MARK;
use std::fs::{File, OpenOptions};
use std::io::Write;

/// The console, if there is one.
#[derive(Debug)]
pub struct Console(Option<File>);

impl Console {
    /// Opens it. A machine without one starts all the same.
    pub fn open() -> Self {
        Self(OpenOptions::new().write(true).open("/dev/console").ok())
    }

    /// Says that a phase begins.
    pub fn phase(&mut self, name: &str) {
        self.line(&format!("{CONSOLE_PHASE_MARK}{name}\n"));
    }

    /// Says why the machine does not go on.
    pub fn failure(&mut self, error: &dyn std::error::Error) {
        self.line(&format!("pyro-guest: failed: {error}\n"));
    }

    /// One write, so that lines of the kernel do not come between.
    fn line(&mut self, line: &str) {
        if let Some(console) = &mut self.0 {
            let _ = console.write_all(line.as_bytes()); // there is nobody else to tell
        }
    }
}
