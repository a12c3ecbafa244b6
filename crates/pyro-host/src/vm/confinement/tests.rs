//! A program that tries everything, in exactly the confinement of QEMU: as who runs the tests, and, where that is root,
//! as an ordinary user as well.

mod hosts;
mod probe;

use super::*;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

/// Tells a copy of the tests that it is to run as an ordinary user.
const COPY: &str = "PYRO_TEST_CONFINEMENT_COPY";
/// An id that no account has.
const ORDINARY: &str = "60606";

/// Runs one of these tests once more, as an ordinary user.
fn again_as_ordinary_user(test: &str) {
    if std::env::var_os(COPY).is_some() {
        return;
    }
    if !rustix::process::geteuid().is_root() {
        println!("this process is an ordinary user already");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let copy = folder.path().join("tests");
    // By another process: a file that a thread of this one is writing may be open in what others fork off meanwhile.
    let copied = Command::new("cp").arg(std::env::current_exe().unwrap()).arg(&copy).status().unwrap();
    assert!(copied.success());
    let ids = [format!("--reuid={ORDINARY}"), format!("--regid={ORDINARY}")];
    let output = Command::new("setpriv")
        .args(ids)
        .args(["--clear-groups", "--"])
        .arg(copy)
        .args(["--exact", &format!("vm::confinement::tests::{test}"), "--nocapture"])
        .env(COPY, "1")
        .current_dir("/")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Like QEMU of a machine with one vCPU and 128 MiB.
fn wanted<'a>(program: &'a Path, arguments: &'a [String], stderr: OwnedFd) -> Wanted<'a> {
    Wanted {
        program,
        arguments,
        handed_over: Vec::new(),
        opened_by_path: Vec::new(),
        stderr,
        run_as: RunAs::choose(crate::vm::accelerator::Accelerator::Tcg).unwrap(),
        with_kvm: false,
        vcpu_count: 1,
        mem_mib: 128,
    }
}
