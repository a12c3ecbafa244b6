//! Syncs: all or nothing, also when they are killed, and several at a time.

use super::{Ground, Sent, dir, entry, file, hard_link, link, picture, stream};
use crate::tasks::killed::killed_after;
use crate::tasks::sync::{recover, sync};
use pyro_protocol::task::TaskFailureKind;
use pyro_protocol::tree::EntryKind;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, symlink};

/// A workspace in which a sync meets something of every kind.
pub(super) fn inhabited() -> Ground {
    let ground = Ground::new();
    fs::create_dir_all(ground.tree("there/deep")).unwrap();
    for path in ["there/kept", "there/replaced", "there/becomes-a-directory", "there/deep/kept"] {
        fs::write(ground.tree(path), "old").unwrap();
    }
    fs::create_dir(ground.tree("there/empty")).unwrap();
    symlink("/etc", ground.tree("there/link")).unwrap();
    ground
}

fn sent() -> Vec<Sent> {
    vec![
        entry("deep", EntryKind::Directory, 0o1770),
        file("deep/new", "new"),
        file("replaced", "new"),
        dir("becomes-a-directory"),
        file("becomes-a-directory/f", "new"),
        file("empty", "a file now"),
        dir("link"),
        file("link/passwd", "not that one"),
        dir("new"),
        dir("new/tree"),
        file("new/tree/f", "new"),
        hard_link("new/tree/g", "new/tree/f"),
        link("to", "new/tree"),
    ]
}

fn assert_synced(ground: &Ground) {
    let read = |path: &str| fs::read_to_string(ground.tree(path)).unwrap();
    for path in ["deep/new", "replaced", "becomes-a-directory/f", "new/tree/f", "new/tree/g", "to/f"] {
        assert_eq!(read(&format!("there/{path}")), "new", "{path}");
    }
    assert_eq!(read("there/kept") + &read("there/deep/kept"), "oldold");
    assert_eq!(read("there/empty") + &read("there/link/passwd"), "a file nownot that one");
    for path in ["deep", "becomes-a-directory", "link", "new", "new/tree", "deep/new", "to"] {
        let stat = fs::symlink_metadata(ground.tree(&format!("there/{path}"))).unwrap();
        assert_eq!((stat.mtime(), stat.mtime_nsec()), (1_000_000, 5), "{path}");
    }
    assert_eq!(fs::metadata(ground.tree("there/deep")).unwrap().mode() & 0o7777, 0o1770);
    ground.assert_tidy();
}

#[test]
fn a_sync_brings_everything_and_keeps_the_rest() {
    let ground = inhabited();
    sync(&stream(&sent())[..], "there", &ground.place).unwrap();
    assert_synced(&ground);
}

#[test]
fn a_destination_is_made() {
    for destination in ["", "new", "a/b/c", "there/deep", "there/deep/x"] {
        let ground = inhabited();
        sync(&stream(&[file("f", "new"), dir("d")])[..], destination, &ground.place).unwrap();
        assert_eq!(fs::read_to_string(ground.tree(destination).join("f")).unwrap(), "new");
        if !["", "there/deep"].contains(&destination) {
            assert_eq!(fs::metadata(ground.tree(destination)).unwrap().mode() & 0o7777, 0o755);
        }
        ground.assert_tidy();
    }
}

#[test]
fn a_sync_that_is_refused_changes_nothing() {
    let cases: [(&str, &[Sent], TaskFailureKind, &str); 7] = [
        ("there", &[file("deep", "")], TaskFailureKind::InTheWay, "there/deep"),
        ("", &[dir("there"), link("there/deep", "x")], TaskFailureKind::InTheWay, "there/deep"),
        ("there/kept", &[file("f", "")], TaskFailureKind::InTheWay, "there/kept"),
        ("there/kept/x", &[file("f", "")], TaskFailureKind::InTheWay, "there/kept"),
        ("there/link", &[file("f", "")], TaskFailureKind::UnsafePath, "there/link"),
        ("../x", &[], TaskFailureKind::UnsafePath, "../x"),
        ("there", &[file("f", ""), file("f", "")], TaskFailureKind::Malformed, "there/f"),
    ];
    for (destination, entries, kind, path) in cases {
        let ground = inhabited();
        let before = picture(&ground.tree(""));
        let failure = sync(&stream(entries)[..], destination, &ground.place).unwrap_err();
        assert_eq!(
            (failure.kind, failure.path.unwrap().as_slice()),
            (kind, path.as_bytes()),
            "{destination}"
        );
        assert_eq!(picture(&ground.tree("")), before);
        ground.assert_tidy();
    }
}

#[test]
fn a_sync_that_is_killed_is_finished_or_never_was() {
    let mut n_undone = 0;
    for n_steps in 0.. {
        let ground = inhabited();
        let before = picture(&ground.tree(""));
        let bytes = stream(&sent());
        let Some(done) = killed_after(n_steps, || sync(&bytes[..], "there", &ground.place)) else {
            // And the recovery is killed, too, again and again.
            let mut n_recovery_steps = 0;
            while killed_after(n_recovery_steps, || recover(&ground.place)).is_none() {
                n_recovery_steps += 1;
            }
            if picture(&ground.tree("")) == before {
                ground.assert_tidy();
                n_undone += 1;
            } else {
                assert_synced(&ground);
            }
            continue;
        };
        done.unwrap();
        assert!(n_steps > 14, "{n_steps} steps");
        assert_eq!(n_undone, 1, "only the step before the decision");
        return;
    }
}

#[test]
fn the_next_sync_finishes_the_last() {
    let ground = inhabited();
    let bytes = stream(&sent());
    assert!(killed_after(8, || sync(&bytes[..], "there", &ground.place)).is_none());
    sync(&stream(&[file("f", "later")])[..], "there/new", &ground.place).unwrap();
    assert_eq!(fs::read_to_string(ground.tree("there/new/f")).unwrap(), "later");
    fs::remove_file(ground.tree("there/new/f")).unwrap();
    let new = fs::File::open(ground.tree("there/new")).unwrap();
    new.set_modified(std::time::UNIX_EPOCH + std::time::Duration::new(1_000_000, 5)).unwrap();
    assert_synced(&ground);
}

/// Lets something happen when a stream comes to its end.
struct AtEnd<F>(Box<dyn Read>, Option<F>);

impl<F: FnOnce()> Read for AtEnd<F> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n_bytes = self.0.read(buffer)?;
        if n_bytes == 0 {
            self.1.take().into_iter().for_each(|end| end());
        }
        Ok(n_bytes)
    }
}

#[test]
fn syncs_under_way_leave_each_other_alone() {
    let ground = inhabited();
    let bytes = stream(&[file("f", "1")]);
    let inner = || {
        recover(&ground.place).unwrap();
        sync(&stream(&[file("g", "2")])[..], "", &ground.place).unwrap();
        assert_eq!(fs::read_dir(ground.path("merged/staging")).unwrap().count(), 1);
    };
    let cut = bytes.len() - 5; // before the last record
    let (head, tail) = (bytes[..cut].to_vec(), bytes[cut..].to_vec());
    let from = AtEnd(Box::new(std::io::Cursor::new(head)), Some(inner)).chain(&tail[..]);
    sync(from, "", &ground.place).unwrap();
    assert_eq!(fs::read_to_string(ground.tree("f")).unwrap(), "1");
    assert_eq!(fs::read_to_string(ground.tree("g")).unwrap(), "2");
    ground.assert_tidy();
}
