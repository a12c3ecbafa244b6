use super::*;
use proptest::prelude::*;

fn entry(path: impl AsRef<[u8]>, kind: EntryKind) -> Entry {
    Entry { path: path.as_ref().to_vec(), kind, mode: 0o644, mtime_seconds: 0, mtime_nanos: 0 }
}

fn file(path: &str) -> Entry {
    entry(path, EntryKind::File { size: 0 })
}

fn directory(path: &str) -> Entry {
    entry(path, EntryKind::Directory)
}

fn link(path: &str, target: &str) -> Entry {
    entry(path, EntryKind::Symlink { target: target.into() })
}

fn hard(path: &str, target: &str) -> Entry {
    entry(path, EntryKind::HardLink { target: target.into() })
}

fn import() -> TreeCheck {
    TreeCheck::import("the archive `x.tar`", "/workspace/sub")
}

/// The kind of the refusal of the last entry; those before it are accepted.
fn refused(mut check: TreeCheck, entries: &[Entry]) -> ErrorKind {
    let (last, before) = entries.split_last().unwrap();
    for entry in before {
        check.add(entry).unwrap();
    }
    let error = check.add(last).unwrap_err();
    assert!(error.message().contains(&shown(&last.path)), "{error}");
    assert!(error.message().contains("the archive `x.tar`"), "{error}");
    error.kind()
}

#[test]
fn an_ordinary_tree_is_accepted() {
    let mut check = import();
    let entries = [
        file("a/b/c"),
        directory("a/b"),
        directory("a"),
        link("a/up", "../a/b/c"),
        link("root", "."),
        link("a/b/top", "../.."),
        link("absolute", "/workspace/sub/a/./b"),
        link("home", "//workspace//sub"),
        link("dangling", "not/there"),
        link("detour", "a/../a/b"),
        link("through", "later/../a"),
        directory("later"),
        hard("a/again", "a/b/c"),
        hard("a/thrice", "a/again"),
    ];
    for entry in &entries {
        check.add(entry).unwrap();
    }
}

#[test]
fn what_leads_out_is_unsafe() {
    use ErrorKind::UnsafePath;
    for entries in [
        vec![file("/etc/passwd")],
        vec![file("a/../../b")],
        vec![link("l", "..")],
        vec![link("a/l", "../..")],
        vec![link("l", "/etc")],
        vec![link("l", "/workspace")],
        vec![link("l", "/workspace/subway")],
        vec![link("l", "/workspace/sub/../x")],
        vec![link("l", "/workspace/sub/../sub/../../etc")],
        vec![link("l", "a/../../x")],
        vec![link("l", "a"), file("l/x")],
        vec![link("l", "a"), file("l/x/y")],
        vec![hard("h", "/etc/passwd")],
        vec![hard("h", "../x")],
        // Each stays inside by its words; together they leave.
        vec![link("p/q/r", "../.."), link("out", "p/q/r/../x")],
        vec![link("out", "p/q/r/../x"), link("p/q/r", "../..")],
        vec![link("p", "."), link("out", "p/q/../x")],
    ] {
        assert_eq!(refused(import(), &entries), UnsafePath, "{entries:?}");
    }
}

#[test]
fn what_is_malformed_is_named() {
    use ErrorKind::InvalidArgument;
    for entries in [
        vec![file("a"), file("a")],
        vec![directory("a"), directory("a")],
        vec![file("a/b"), directory("a"), directory("a")],
        vec![file("a"), directory("a")],
        vec![directory("a"), file("a")],
        vec![file("a/b"), file("a")],
        vec![file("a/b"), link("a", "b")],
        vec![file("a"), link("a", "b")],
        vec![link("a", "b"), directory("a")],
        vec![file("a"), file("a/b")],
        vec![file("a"), file("a/b/c")],
        vec![hard("h", "nothing")],
        vec![hard("h", "h")],
        vec![directory("d"), hard("h", "d")],
        vec![link("l", "x"), hard("h", "l")],
        vec![hard("h", "later")],
        vec![hard("h", "a/./b")],
        vec![link("l", "")],
        vec![link("l", "a\0b")],
        vec![link("l", &"a/".repeat(2048))],
        vec![file("")],
        vec![file("a//b")],
        vec![file("./a")],
        vec![file("a\0")],
        vec![file(&"n".repeat(256))],
        vec![file(&"n/".repeat(3000))],
    ] {
        assert_eq!(refused(import(), &entries), InvalidArgument, "{entries:?}");
    }
}

#[test]
fn an_export_mentions_every_directory_and_may_link_anywhere() {
    let export = || TreeCheck::export("the archive `x.tar`");
    let mut check = export();
    for entry in [directory("a"), link("a/l", "/etc/../.."), file("a/b"), hard("c", "a/b")] {
        check.add(&entry).unwrap();
    }
    assert_eq!(refused(export(), &[file("a/b")]), ErrorKind::GuestUnreachable);
    assert_eq!(refused(export(), &[link("a", "/"), file("a/b")]), ErrorKind::UnsafePath);
    assert_eq!(refused(export(), &[file("../b")]), ErrorKind::UnsafePath);
}

#[test]
fn what_is_not_carried_is_named() {
    let error = import().not_carried(b"run/x.sock", "a socket");
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.message().contains("`run/x.sock`") && error.message().contains("a socket"), "{error}");
}

/// A tree in memory, resolved as a kernel does it.
fn escapes(links: &[(String, String)], path: &str, depth: usize) -> bool {
    let mut at: Vec<String> = Vec::new();
    let mut rest: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
    let mut followed = 0;
    while let Some(component) = rest.pop() {
        match component.as_str() {
            "" | "." => {}
            ".." => {
                if at.pop().is_none() {
                    return true;
                }
            }
            _ => {
                at.push(component);
                let here = at.join("/");
                if let Some((_, target)) = links.iter().find(|(link, _)| *link == here) {
                    followed += 1;
                    if followed > depth {
                        return false; // a loop leads nowhere
                    }
                    at.pop();
                    rest.extend(target.split('/').rev().map(str::to_owned));
                }
            }
        }
    }
    false
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]
    #[test]
    fn no_accepted_link_leaves_when_a_kernel_follows_it(
        entries in prop::collection::vec(("[ab](/[ab]){0,2}", r"(\.\./){0,2}([ab]|\.\.)(/([ab]|\.\.)){0,3}"), 1..7)
    ) {
        let mut check = import();
        let mut links: Vec<(String, String)> = Vec::new();
        for (path, target) in entries {
            if check.add(&link(&path, &target)).is_ok() {
                links.push((path, target));
            }
        }
        for (path, _) in &links {
            prop_assert!(!escapes(&links, path, 40), "{path} of {links:?}");
        }
    }

    #[test]
    fn no_bytes_make_it_panic(
        entries in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..20), any::<u8>()), 0..20)
    ) {
        let mut check = import();
        for (bytes, kind) in entries {
            let kind = match kind % 4 {
                0 => EntryKind::Directory,
                1 => EntryKind::File { size: 0 },
                2 => EntryKind::Symlink { target: bytes.iter().rev().copied().collect() },
                _ => EntryKind::HardLink { target: bytes.iter().rev().copied().collect() },
            };
            let _ = check.add(&entry(&bytes, kind));
        }
    }
}
