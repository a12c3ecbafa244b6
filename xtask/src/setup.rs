//! Everything that must be on a machine before pyro is built and used there.

use crate::packages;
use std::process::{Command, Stdio};

const GUEST_TARGET: &str = "x86_64-unknown-linux-musl";

pub fn setup() -> Result<(), String> {
    packages::install_missing()?;
    add_guest_target();
    Ok(())
}

/// Adds the parts of the tool chain that the checks need, where rustup manages it.
pub fn add_check_tools() {
    let mut rustup = Command::new("rustup");
    rustup.args(["component", "add", "rustfmt", "clippy"]).stdin(Stdio::null()).stderr(Stdio::null());
    // Where this fails they may be there all the same; if not, the check that needs them says so.
    let _ = rustup.status();
}

/// Adds the target of the guest agent. Where that is not possible, the build falls back to the host's own target
/// with its C library linked in: larger, and it works.
fn add_guest_target() {
    let mut rustup = Command::new("rustup");
    rustup.args(["target", "add", GUEST_TARGET]).stdin(Stdio::null()).stderr(Stdio::null());
    match rustup.status() {
        Ok(status) if status.success() => println!("Rust target {GUEST_TARGET}: installed"),
        _ => println!(
            "Rust target {GUEST_TARGET}: not to be had here, the guest agent is built for the host's own target"
        ),
    }
}
