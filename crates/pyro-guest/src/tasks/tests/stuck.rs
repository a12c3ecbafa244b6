//! Syncs that cannot be carried out: refused while there is a way back, and given up when there is none.

use super::sync::inhabited;
use super::{Ground, Sent, dir, file, picture, stream};
use crate::tasks::killed::{killed_after, stuck_at};
use crate::tasks::sync::{recover, sync};
use pyro_protocol::task::{TaskFailure, TaskFailureKind};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Something that `chattr` has fixed, until this is dropped.
struct Fixed(PathBuf);

impl Fixed {
    /// `None` when that is not possible here: it takes root, and a file system that knows it.
    fn new(path: PathBuf, flag: &str) -> Option<Self> {
        if chattr(&format!("+{flag}"), &path) {
            return Some(Self(path));
        }
        eprintln!("SKIPPED: `chattr +{flag} {}` is not possible here", path.display());
        None
    }
}

impl Drop for Fixed {
    fn drop(&mut self) {
        chattr("-ia", &self.0);
    }
}

fn chattr(what: &str, path: &Path) -> bool {
    Command::new("chattr").arg(what).arg(path).status().is_ok_and(|status| status.success())
}

/// The names of what is left of syncs.
fn left(ground: &Ground) -> Vec<String> {
    let entries = fs::read_dir(ground.path("merged/staging")).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn assert_in_part(failure: &TaskFailure, words: &str, path: &str) {
    assert_eq!(failure.kind, TaskFailureKind::Io);
    assert!(failure.message.starts_with(words), "{}", failure.message);
    assert_eq!(failure.path.as_deref(), Some(path.as_bytes()));
}

/// Leaves a decided sync of `a`, `b` and `c` of which nothing has been moved.
fn leave_decided(ground: &Ground) {
    let bytes = stream(&[file("a", "1"), file("b", "1"), file("c", "1")]);
    assert!(killed_after(2, || sync(&bytes[..], "there", &ground.place)).is_none());
    assert!(left(ground)[0].starts_with("commit-"));
}

#[test]
fn what_chattr_has_fixed_is_refused_and_nothing_is_changed() {
    let cases: [(&str, &str, &[Sent], &str); 9] = [
        ("there/deep", "i", &[dir("deep"), file("deep/f", "")], "there"),
        ("there/deep", "a", &[dir("deep"), file("deep/f", "")], "there"),
        ("there/deep", "i", &[dir("deep")], "there"), // gets the time of the staged one
        ("there/deep", "i", &[file("f", "")], "there/deep"),
        ("there/deep", "i", &[file("f", "")], "there/deep/new"),
        ("there/deep", "a", &[file("f", "")], "there/deep/new/deeper"),
        ("there/kept", "i", &[file("a", ""), file("kept", "")], "there"),
        ("there/kept", "a", &[dir("there"), file("there/kept", "")], ""),
        ("there/empty", "i", &[file("empty", "")], "there"),
    ];
    for (path, flag, entries, destination) in cases {
        let ground = inhabited();
        let before = picture(&ground.tree(""));
        let Some(_fixed) = Fixed::new(ground.tree(path), flag) else { return };
        let failure = sync(&stream(entries)[..], destination, &ground.place).unwrap_err();
        assert_eq!(failure.kind, TaskFailureKind::InTheWay, "{failure}");
        assert_eq!(failure.message, "may not be changed: it is immutable or append-only (chattr)");
        assert_eq!(failure.path.as_deref(), Some(path.as_bytes()), "{destination}");
        assert_eq!(picture(&ground.tree("")), before);
        ground.assert_tidy();
    }
}

#[test]
fn what_chattr_has_fixed_beside_the_tree_is_no_hindrance() {
    let ground = inhabited();
    let Some(_fixed) = Fixed::new(ground.tree("there/kept"), "i") else { return };
    let Some(_empty) = Fixed::new(ground.tree("there/empty"), "i") else { return };
    sync(&stream(&[file("f", "")])[..], "there", &ground.place).unwrap();
    sync(&stream(&[])[..], "there/empty", &ground.place).unwrap();
    ground.assert_tidy();
}

#[test]
fn what_is_fixed_after_the_decision_ends_one_sync_only() {
    let ground = inhabited();
    let bytes = stream(&[file("a", "1"), dir("deep"), file("deep/f", "1")]);
    assert!(killed_after(2, || sync(&bytes[..], "there", &ground.place)).is_none());
    let Some(_fixed) = Fixed::new(ground.tree("there/deep"), "i") else { return };
    let warning = recover(&ground.place).unwrap().unwrap();
    let words = "an interrupted sync was given up: a part of the tree is in place: could not bring";
    assert_in_part(&warning, words, "there/deep/f");
    assert_eq!(fs::read_to_string(ground.tree("there/a")).unwrap(), "1");
    assert_eq!(recover(&ground.place), Ok(None));
    assert_eq!(sync(&stream(&[file("f", "2")])[..], "", &ground.place), Ok(None));
    assert_eq!(left(&ground), ["stuck-1"]);
}

#[test]
fn a_sync_that_gets_stuck_says_so_and_is_not_tried_again() {
    let ground = inhabited();
    let bytes = stream(&[file("a", "1"), file("b", "1"), file("c", "1")]);
    let failure = stuck_at("b", || sync(&bytes[..], "there", &ground.place)).unwrap_err();
    assert_in_part(&failure, "a part of the tree is in place: could not bring", "there/b");
    assert!(ground.tree("there/a").exists());
    assert_eq!(recover(&ground.place), Ok(None));
    assert_eq!(sync(&bytes[..], "other", &ground.place), Ok(None));
    assert!(!ground.tree("there/c").exists());
    assert_eq!(left(&ground), ["stuck-1"]);
    assert!(ground.path("merged/staging/stuck-1/tree/c").exists());
}

#[test]
fn recovery_gives_up_what_is_stuck_and_warns_once() {
    let ground = inhabited();
    leave_decided(&ground);
    let warning = stuck_at("b", || recover(&ground.place)).unwrap().unwrap();
    let words = "an interrupted sync was given up: a part of the tree is in place: could not bring";
    assert_in_part(&warning, words, "there/b");
    assert_eq!(recover(&ground.place), Ok(None));
    assert_eq!(left(&ground), ["stuck-1"]);
}

#[test]
fn a_sync_gives_up_the_one_before_it_and_goes_on() {
    let ground = inhabited();
    leave_decided(&ground);
    let bytes = stream(&[file("f", "mine")]);
    let warning = stuck_at("b", || sync(&bytes[..], "", &ground.place)).unwrap().unwrap();
    assert!(warning.message.starts_with("an interrupted sync was given up: "), "{warning}");
    assert_eq!(fs::read_to_string(ground.tree("f")).unwrap(), "mine");
    assert_eq!(left(&ground), ["stuck-1"]);
}

#[test]
fn a_decided_sync_that_is_damaged_is_given_up() {
    let ground = inhabited();
    fs::create_dir_all(ground.path("merged/staging/commit-1-0/tree")).unwrap(); // without its destination
    let warning = recover(&ground.place).unwrap().unwrap();
    assert!(warning.message.starts_with("an interrupted sync was given up: could not finish"), "{warning}");
    assert_eq!(left(&ground), ["stuck-1"]);
}

#[test]
fn only_the_last_stuck_syncs_are_kept() {
    let ground = inhabited();
    for _ in 0..12 {
        stuck_at("b", || sync(&stream(&[file("b", "1")])[..], "", &ground.place)).unwrap_err();
    }
    assert_eq!(left(&ground), ["stuck-10", "stuck-11", "stuck-12"]);
}

#[test]
fn what_cannot_be_removed_keeps_nobody_waiting() {
    let ground = inhabited();
    fs::create_dir_all(ground.path("merged/staging/done-1/aside-0")).unwrap();
    let Some(_fixed) = Fixed::new(ground.path("merged/staging/done-1/aside-0"), "i") else { return };
    assert_eq!(recover(&ground.place), Ok(None));
    assert_eq!(sync(&stream(&[file("f", "")])[..], "", &ground.place), Ok(None));
    assert_eq!(left(&ground), ["done-1"]);
}
