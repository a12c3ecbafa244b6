//! The Debian packages that pyro needs on a host.

use crate::run::run;
use crate::users::is_root;
use std::process::{Command, Stdio};

/// Each with what it is for.
const PACKAGES: &[(&str, &str)] = &[
    ("qemu-system-x86", "runs the guests"),
    ("seabios", "the firmware that starts their kernel"),
    ("mmdebstrap", "builds the environments' root from Debian packages"),
    ("debian-archive-keyring", "checks the signatures of Debian's archive"),
    ("erofs-utils", "makes the environments' read-only images"),
    ("e2fsprogs", "formats the machines' disks"),
    ("uidmap", "lets an ordinary user build environments"),
    ("util-linux", "namespaces for that build"),
    ("ca-certificates", "mirrors that are reached over TLS"),
];

/// What building the Python package needs beyond that, and so its tests.
const FOR_WHEEL: &[(&str, &str)] = &[
    ("python3", "is what the Python package is for"),
    ("python3-venv", "keeps what builds and tests it apart from the system"),
];

/// What the tests need beyond that, on a minimal system.
const FOR_TESTS: &[(&str, &str)] = &[
    ("procps", "sends signals, in the tests"),
    ("mount", "makes a disk that is soon full, in the tests"),
    ("passwd", "makes an ordinary user, in the tests"),
    ("git", "applies the patches of diffs, in the tests"),
    ("iproute2", "lays cables between network namespaces, in the tests"),
    ("openssl", "makes a certificate for the servers there, in the tests"),
];

/// Installs what pyro needs and is missing.
pub fn install_missing() -> Result<(), String> {
    install("pyro", PACKAGES)
}

/// Installs what building the Python package needs and is missing.
pub fn install_missing_for_wheel() -> Result<(), String> {
    install("the Python package", FOR_WHEEL)
}

/// Installs what the tests need and is missing.
pub fn install_missing_for_tests() -> Result<(), String> {
    install_missing_for_wheel()?;
    install("its tests", FOR_TESTS)
}

/// Installs those that are missing, after printing them.
fn install(for_what: &str, wanted: &[(&str, &str)]) -> Result<(), String> {
    let missing: Vec<&(&str, &str)> = wanted.iter().filter(|(name, _)| !is_installed(name)).collect();
    if missing.is_empty() {
        println!("Debian packages for {for_what}: all {} installed", wanted.len());
        return Ok(());
    }
    println!("These Debian packages are missing and will be installed:");
    for (name, purpose) in &missing {
        println!("  {name:24} {purpose}");
    }
    let names: Vec<&str> = missing.iter().map(|(name, _)| *name).collect();
    let mut install = as_root(&["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "--yes"])?;
    install.arg("--no-install-recommends").args(&names);
    let mut update = as_root(&["apt-get", "update"])?;
    if let Err(why) = run(&mut update) {
        // One unreachable source among several is no reason not to try.
        println!("{why}; trying to install all the same");
    }
    run(&mut install).map_err(|why| {
        let names = names.join(" ");
        format!("{why}\nask somebody who may install packages to run:\n  sudo apt-get install {names}")
    })
}

fn is_installed(package: &str) -> bool {
    let asked = Command::new("dpkg-query")
        .args(["-W", "-f", "${db:Status-Status}", package])
        .stderr(Stdio::null())
        .output();
    asked.is_ok_and(|output| output.stdout == b"installed")
}

/// The command for root: as it is where we are root, through sudo elsewhere.
fn as_root(words: &[&str]) -> Result<Command, String> {
    let is_root = is_root()?;
    let mut words = words.iter().copied();
    let program = if is_root { words.next().unwrap_or_default() } else { "sudo" };
    let mut command = Command::new(program);
    command.args(words);
    Ok(command)
}
