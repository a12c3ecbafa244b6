//! A supervisor whose socket was taken away, as the runtime folder of a user is who logs out.

use crate::home::{BASE, Home, report};
use std::fs;
use std::process::Output;

fn pyro(home: &Home, words: &[&str]) -> Output {
    home.pyro(words).output().unwrap()
}

fn created(home: &Home) -> String {
    let output = pyro(home, &["workspace", "create", BASE, "--id-only"]);
    assert!(output.status.success(), "{}", report(&output));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn a_supervisor_without_a_socket_is_stopped_and_deleted_all_the_same() {
    let home = Home::new();
    let id = created(&home);
    fs::remove_dir_all(home.path().join("run")).unwrap();
    let unreachable = pyro(&home, &["workspace", "exec", &id, "--", "true"]);
    let words = String::from_utf8_lossy(&unreachable.stderr).into_owned();
    assert!(!unreachable.status.success() && words.contains("hint: its socket is gone"), "{words}");
    let stopped = pyro(&home, &["workspace", "stop", &id]);
    assert!(stopped.status.success(), "{}", report(&stopped));
    let started = pyro(&home, &["workspace", "start", &id]);
    assert!(started.status.success(), "{}", report(&started));
    let run = pyro(&home, &["workspace", "exec", &id, "--", "echo", "back"]);
    assert_eq!(String::from_utf8_lossy(&run.stdout), "back\n", "{}", report(&run));
    fs::remove_dir_all(home.path().join("run")).unwrap();
    let deleted = pyro(&home, &["workspace", "delete", &id]);
    assert!(deleted.status.success(), "{}", report(&deleted));
    home.assert_nothing_left();
}
