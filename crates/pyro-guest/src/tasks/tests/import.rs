//! Trees into a directory: what arrives, and what is refused.

use super::{Ground, Sent, dir, entry, file, hard_link, link, stream};
use crate::tasks::directory::Directory;
use crate::tasks::failure::Result;
use crate::tasks::import::{Counts, import};
use crate::tasks::place::Modes;
use pyro_protocol::task::TaskFailureKind;
use pyro_protocol::tree::EntryKind;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

fn into(ground: &Ground, bytes: &[u8]) -> Result<Counts> {
    import(bytes, &Directory::open(&ground.path("merged/tree")).unwrap(), b"in", Modes::Any)
}

fn refused(entries: &[Sent]) -> pyro_protocol::task::TaskFailure {
    into(&Ground::new(), &stream(entries)).unwrap_err()
}

#[test]
fn everything_arrives_as_it_was() {
    let ground = Ground::new();
    let counts = into(
        &ground,
        &stream(&[
            entry("d", EntryKind::Directory, 0o2750),
            file("d/f", "text"),
            entry("d/run", EntryKind::File { size: 0 }, 0o6755),
            entry("d/closed", EntryKind::Directory, 0o500),
            file("d/closed/inner", "x"),
            link("d/l", "/nowhere/at all"),
            hard_link("g", "d/f"),
            file("implied/too/f", ""),
        ]),
    );
    assert_eq!(counts.unwrap(), Counts { directories: 4, others: 6 });
    let look = |path: &str| fs::symlink_metadata(ground.tree(path)).unwrap();
    for path in ["d", "d/f", "d/run", "d/closed", "d/closed/inner", "d/l", "g"] {
        assert_eq!((look(path).mtime(), look(path).mtime_nsec()), (1_000_000, 5), "{path}");
    }
    let modes = [("d", 0o2750), ("d/f", 0o644), ("d/run", 0o6755), ("d/closed", 0o500), ("implied", 0o755)];
    for (path, mode) in modes {
        assert_eq!(look(path).mode() & 0o7777, mode, "{path}");
    }
    assert_eq!(look("g").ino(), look("d/f").ino());
    assert_eq!(fs::read_to_string(ground.tree("g")).unwrap(), "text");
    fs::set_permissions(ground.tree("d/closed"), fs::Permissions::from_mode(0o700)).unwrap(); // to be removable
    assert_eq!(fs::read_link(ground.tree("d/l")).unwrap().to_str(), Some("/nowhere/at all"));
}

#[test]
fn a_directory_that_is_come_back_to_keeps_its_time() {
    let ground = Ground::new();
    into(&ground, &stream(&[dir("a"), dir("b"), file("a/f", ""), file("b/f", ""), file("a/g", "")])).unwrap();
    assert_eq!(fs::metadata(ground.tree("a")).unwrap().mtime(), 1_000_000);
}

#[test]
fn a_directory_may_be_told_of_after_what_lies_in_it() {
    let ground = Ground::new();
    let late = entry("a", EntryKind::Directory, 0o700);
    let counts = into(&ground, &stream(&[file("a/b/f", "x"), dir("a/b"), late, file("a/g", "")])).unwrap();
    assert_eq!(counts, Counts { directories: 2, others: 2 });
    let found = fs::metadata(ground.tree("a")).unwrap();
    assert_eq!((found.mode() & 0o7777, found.mtime()), (0o700, 1_000_000));
}

#[test]
fn depth_and_long_names_are_no_limit() {
    let ground = Ground::new();
    let deep = vec!["d"; 200].join("/");
    let long = "n".repeat(255);
    let longest = vec![long.as_str(); 15].join("/");
    into(&ground, &stream(&[file(&format!("{deep}/f"), "x"), file(&longest, "y")])).unwrap();
    assert_eq!(fs::read_to_string(ground.tree(&format!("{deep}/f"))).unwrap(), "x");
}

#[test]
fn large_files_arrive_whole() {
    let ground = Ground::new();
    let text = "0123456789".repeat(100_000);
    into(&ground, &stream(&[file("f", &text)])).unwrap();
    assert!(fs::read_to_string(ground.tree("f")).unwrap() == text);
}

#[test]
fn what_leads_out_is_refused() {
    let ways: [&[Sent]; 5] = [
        &[file("../f", "")],
        &[file("/f", "")],
        &[link("l", ".."), file("l/f", "")],
        &[link("l", "/"), hard_link("h", "l/etc/passwd")],
        &[file("f", ""), hard_link("h", "../../x")],
    ];
    for entries in ways {
        assert_eq!(refused(entries).kind, TaskFailureKind::Malformed, "{entries:?}");
    }
    let failure = refused(&[link("l", ".."), file("l/f", "")]);
    assert_eq!(failure.path.as_deref(), Some(&b"in/l"[..]));
}

#[test]
fn what_is_there_is_not_written_to() {
    let pairs: [&[Sent]; 5] = [
        &[file("f", ""), file("f", "")],
        &[dir("f"), file("f", "")],
        &[file("f", ""), dir("f")],
        &[link("f", "g"), file("f", "")],
        &[file("f", ""), file("g", ""), hard_link("f", "g")],
    ];
    for entries in pairs {
        let failure = refused(entries);
        assert_eq!(
            (failure.kind, failure.message.as_str()),
            (TaskFailureKind::Malformed, "the entry comes twice")
        );
    }
    let ground = Ground::new();
    symlink(ground.path("outside"), ground.tree("f")).unwrap();
    into(&ground, &stream(&[file("f", "")])).unwrap_err();
    assert!(!ground.path("outside").exists());
}

#[test]
fn bytes_that_are_no_tree_are_refused() {
    let whole = stream(&[dir("d"), file("d/f", "text")]);
    for cut in 0..whole.len() {
        let failure = into(&Ground::new(), &whole[..cut]).unwrap_err();
        assert_eq!(failure.kind, TaskFailureKind::Malformed, "{cut}");
    }
    assert_eq!(into(&Ground::new(), &[0xff; 64]).unwrap_err().kind, TaskFailureKind::Malformed);
    let odd = [entry("f", EntryKind::File { size: 0 }, 0o10_000), link("l", ""), link("l", "a\0b")];
    for sent in odd {
        assert_eq!(refused(&[sent]).kind, TaskFailureKind::Malformed);
    }
}
