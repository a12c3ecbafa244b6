//! Builds the guest agent as a static program, to be carried inside whatever links this crate: one file to
//! install, and a plain `cargo build` makes a working one.
//!
//! The musl target is preferred (a third of the size); where it is not installed the host's own target is used
//! with its C library linked in. Cargo has no stable way to depend on a program for another target, so that it is
//! called here, in a target folder of its own.
#![allow(clippy::print_stdout, reason = "how a build script speaks to cargo")]

use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

const MUSL: &str = "x86_64-unknown-linux-musl";
const GNU: &str = "x86_64-unknown-linux-gnu";

fn main() {
    let crates = PathBuf::from(variable("CARGO_MANIFEST_DIR")).join("..");
    for source in ["pyro-guest/src", "pyro-guest/Cargo.toml", "pyro-protocol/src", "pyro-protocol/Cargo.toml"]
    {
        println!("cargo::rerun-if-changed={}", crates.join(source).display());
    }
    println!("cargo::rerun-if-changed={}", crates.join("../Cargo.lock").display());
    println!("cargo::rerun-if-changed=build.rs");
    let out = PathBuf::from(variable("OUT_DIR"));
    let target = if has_target(MUSL) { MUSL } else { GNU };
    let built = build_agent(&crates, &out.join("guest"), target);
    let agent =
        fs::read(&built).unwrap_or_else(|error| panic!("could not read `{}`: {error}", built.display()));
    let digest: String = Sha256::digest(&agent).iter().map(|byte| format!("{byte:02x}")).collect();
    println!("cargo::rustc-env=PYRO_GUEST_DIGEST={digest}");
    fs::write(out.join("pyro-guest"), agent).expect("OUT_DIR is writable");
}

fn build_agent(crates: &Path, target_dir: &Path, target: &str) -> PathBuf {
    let mut cargo = Command::new(variable("CARGO"));
    cargo.args(["build", "--package", "pyro-guest", "--bin", "pyro-guest", "--profile", "guest"]);
    cargo.args(["--target", target, "--target-dir"]).arg(target_dir);
    cargo.arg("--manifest-path").arg(crates.join("../Cargo.toml"));
    // Flags meant for the host's program (coverage, sanitizers, another linker) are not meant for the guest's.
    cargo.env_remove("CARGO_ENCODED_RUSTFLAGS").env_remove("RUSTC_WORKSPACE_WRAPPER");
    cargo.env("RUSTFLAGS", if target == GNU { "-C target-feature=+crt-static" } else { "" });
    let status =
        cargo.status().unwrap_or_else(|error| panic!("could not run cargo for the guest agent: {error}"));
    assert!(
        status.success(),
        "the guest agent (package pyro-guest, target {target}) did not build: see above"
    );
    target_dir.join(target).join("guest/pyro-guest")
}

/// Whether the standard library of a target is installed beside this compiler's own.
fn has_target(target: &str) -> bool {
    let output =
        Command::new(variable("RUSTC")).args(["--print", "target-libdir", "--target", target]).output();
    let folder =
        output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
    let mut entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.any(|entry| entry.file_name().to_string_lossy().starts_with("libstd-"))
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"))
}
