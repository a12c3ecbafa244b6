//! Trees out of the workspace: what is sent, and what never leaves it.

use super::{Ground, dir, entries, file, hard_link, link, stream};
use crate::tasks::directory::Directory;
use crate::tasks::export::export;
use crate::tasks::import::import;
use crate::tasks::place::Modes;
use pyro_protocol::task::TaskFailureKind;
use pyro_protocol::tree::EntryKind;
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

fn exported(ground: &Ground, path: &str) -> crate::tasks::failure::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    export(path, &ground.place, &mut bytes).map(|()| bytes)
}

fn failure(ground: &Ground, path: &str) -> (TaskFailureKind, String) {
    let failure = exported(ground, path).unwrap_err();
    (failure.kind, String::from_utf8(failure.path.unwrap()).unwrap())
}

#[test]
fn an_import_is_exported_as_it_came() {
    let ground = Ground::new();
    let large = "x".repeat(300_000);
    let sent = [
        dir("a"),
        file("a/f", "text"),
        link("a/l", "../.."),
        file("a/large", &large),
        file("b", ""),
        hard_link("c", "b"),
    ];
    import(&stream(&sent)[..], &Directory::open(&ground.tree("")).unwrap(), b"", Modes::Any).unwrap();
    let got = entries(&exported(&ground, "").unwrap());
    assert_eq!(got[0].0.path, b"");
    assert_eq!(got[0].0.kind, EntryKind::Directory);
    assert!(got[1..] == sent);

    let got = entries(&exported(&ground, "a/f").unwrap());
    assert_eq!((got.len(), got[0].0.path.as_slice(), got[0].1.as_slice()), (1, &b""[..], &b"text"[..]));
    let got = entries(&exported(&ground, "a/l").unwrap());
    assert_eq!(got[0].0.kind, EntryKind::Symlink { target: b"../..".to_vec() });
    let paths: Vec<_> =
        entries(&exported(&ground, "a").unwrap()).into_iter().map(|(entry, _)| entry.path).collect();
    assert_eq!(paths, [&b""[..], b"f", b"l", b"large"]);
}

#[test]
fn nothing_outside_is_exported() {
    let ground = Ground::new();
    fs::write(ground.path("secret"), "").unwrap();
    fs::create_dir(ground.tree("in")).unwrap();
    fs::write(ground.tree("in/f"), "").unwrap();
    symlink("../..", ground.tree("out")).unwrap();
    symlink("/", ground.tree("root")).unwrap();
    symlink("in", ground.tree("inside")).unwrap();
    assert_eq!(failure(&ground, "out/secret"), (TaskFailureKind::UnsafePath, "out/secret".into()));
    assert_eq!(failure(&ground, "root/etc"), (TaskFailureKind::UnsafePath, "root/etc".into()));
    for path in ["..", "/etc", "in/../in", "in//f"] {
        assert_eq!(failure(&ground, path), (TaskFailureKind::UnsafePath, path.into()));
    }
    assert_eq!(entries(&exported(&ground, "inside/f").unwrap()).len(), 1);
    assert_eq!(failure(&ground, "none"), (TaskFailureKind::NotFound, "none".into()));
    assert_eq!(failure(&ground, "in/f/x"), (TaskFailureKind::NotFound, "in/f/x".into()));
}

#[test]
fn what_is_not_carried_over_is_named() {
    let ground = Ground::new();
    fs::create_dir(ground.tree("d")).unwrap();
    let _socket = UnixListener::bind(ground.tree("d/socket")).unwrap();
    assert_eq!(failure(&ground, ""), (TaskFailureKind::NotCarried, "d/socket".into()));
    assert_eq!(failure(&ground, "d"), (TaskFailureKind::NotCarried, "d/socket".into()));
    assert_eq!(failure(&ground, "d/socket"), (TaskFailureKind::NotCarried, "d/socket".into()));
}
