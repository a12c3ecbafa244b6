//! Who runs this, and the ordinary user whom root's tests become.

use crate::run::run;
use std::fs;
use std::process::Command;

/// The user that is made where root tests and the machine has no ordinary user.
const TEST_USER: &str = "pyro-test";

pub fn is_root() -> Result<bool, String> {
    let uid =
        Command::new("id").arg("-u").output().map_err(|error| format!("could not run `id -u`: {error}"))?;
    Ok(uid.stdout.trim_ascii() == b"0")
}

/// Some tests that run as root become an ordinary user with subordinate ids. Makes one where there is none.
pub fn ensure_ordinary_user() -> Result<(), String> {
    if !is_root()? || has_ordinary_user() {
        return Ok(());
    }
    println!("No ordinary user has subordinate ids: the user {TEST_USER} is made for the tests");
    run(Command::new("useradd").args(["--create-home", TEST_USER]))
}

fn has_ordinary_user() -> bool {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let (passwd, subuid) = (read("/etc/passwd"), read("/etc/subuid"));
    let owners: Vec<&str> = subuid.lines().filter_map(|line| line.split(':').next()).collect();
    passwd
        .lines()
        .filter_map(|line| line.split(':').next())
        .any(|name| name != "root" && owners.contains(&name))
}
