//! Differences: which are told, in which order, with which contents, and what is not even looked at.

use super::{Difference, Ground, changes};
use crate::tasks::diff::{Pair, compare, diff};
use crate::tasks::directory::Directory;
use crate::tasks::place::Hint;
use pyro_protocol::tree::{Node, NodeKind};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

const MAX_TEXT: u64 = 1000;

/// The same in the baseline and in the workspace.
fn both(ground: &Ground, path: &str, text: &str) {
    for side in ["disk/workspace/baseline/tree", "merged/tree"] {
        let path = ground.path(side).join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

fn hint(ground: &Ground, path: &str) {
    let path = ground.path("disk/workspace/changes/tree").join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, "").unwrap();
}

fn all(ground: &Ground) -> Vec<Difference> {
    let open = |path| Some(Directory::open(&ground.path(path)).unwrap());
    let (before, after) = (open("disk/workspace/baseline/tree"), open("merged/tree"));
    let mut bytes = Vec::new();
    compare(&Pair { before, after, hint: Hint::Everything }, MAX_TEXT, &mut bytes).unwrap();
    changes(&bytes)
}

/// One line for each difference: path, kind and mode before and after, contents.
fn lines(found: &[Difference]) -> Vec<String> {
    let node = |node: &Option<Node>| match node {
        None => "-".to_owned(),
        Some(Node { kind: NodeKind::Directory, mode, .. }) => format!("d{mode:o}"),
        Some(Node { kind: NodeKind::File { size }, mode, .. }) => format!("f{mode:o}:{size}"),
        Some(Node { kind: NodeKind::Symlink { target }, .. }) => {
            format!("l:{}", String::from_utf8_lossy(target))
        }
        Some(Node { kind: NodeKind::Other, .. }) => "o".to_owned(),
    };
    let text = |text: &Option<Vec<u8>>| match text {
        None => "-".to_owned(),
        Some(text) => format!("{:?}", String::from_utf8_lossy(text)),
    };
    let line = |(change, before, after): &Difference| {
        let path = String::from_utf8_lossy(&change.path);
        format!("{path} {} {} {} {}", node(&change.before), node(&change.after), text(before), text(after))
    };
    found.iter().map(line).collect()
}

#[test]
fn equal_trees_have_no_difference_whatever_the_times() {
    let ground = Ground::new();
    both(&ground, "d/f", "text");
    symlink("x", ground.tree("l")).unwrap();
    symlink("x", ground.path("disk/workspace/baseline/tree/l")).unwrap();
    let file = fs::File::options().write(true).open(ground.tree("d/f")).unwrap();
    file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    assert!(all(&ground).is_empty());
}

#[test]
fn every_kind_of_difference_is_told() {
    let ground = Ground::new();
    for path in ["content", "mode", "gone", "type", "tree/a/b", "same"] {
        both(&ground, path, "old");
    }
    let change = |path: &str| ground.tree(path);
    fs::write(change("content"), "new").unwrap();
    fs::set_permissions(change("mode"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::remove_file(change("gone")).unwrap();
    fs::remove_file(change("type")).unwrap();
    symlink("same", change("type")).unwrap();
    fs::remove_dir_all(change("tree")).unwrap();
    fs::write(change("tree"), "now a file").unwrap();
    fs::create_dir(change("added")).unwrap();
    fs::set_permissions(change("added"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(change("added/f"), "x").unwrap();
    for path in ["content", "gone", "added/f"] {
        let path = [ground.tree(path), ground.path("disk/workspace/baseline/tree").join(path)];
        path.iter().filter(|path| path.exists()).for_each(|path| {
            fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
        });
    }
    let found = lines(&all(&ground));
    let of = |path: &str| found.iter().find(|line| line.starts_with(&format!("{path} "))).unwrap().as_str();
    assert_eq!(of("added"), "added - d700 - -");
    assert_eq!(of("added/f"), "added/f - f644:1 - \"x\"");
    assert_eq!(of("content"), "content f644:3 f644:3 \"old\" \"new\"");
    assert_eq!(of("gone"), "gone f644:3 - \"old\" -");
    assert!(of("mode").ends_with(" f755:3 \"\" \"\""), "equal contents: {}", of("mode"));
    assert!(of("type").ends_with(" l:same \"old\" -"));
    assert!(of("tree").contains(" f") && of("tree").ends_with(" - \"now a file\""));
    assert!(of("tree/a/b").ends_with(" - \"old\" -"));
    let paths: Vec<_> = found.iter().map(|line| line.split(' ').next().unwrap()).collect();
    let sorted = ["added", "added/f", "content", "gone", "mode", "tree", "tree/a", "tree/a/b", "type"];
    assert_eq!(paths, sorted);
}

#[test]
fn paths_come_in_the_order_of_their_bytes() {
    let ground = Ground::new();
    for path in ["a/b", "a-b", "a.b/c", "a0"] {
        fs::create_dir_all(ground.tree(path).parent().unwrap()).unwrap();
        fs::write(ground.tree(path), "").unwrap();
    }
    let paths: Vec<_> = all(&ground).into_iter().map(|(change, ..)| change.path).collect();
    assert_eq!(paths, [&b"a"[..], b"a-b", b"a.b", b"a.b/c", b"a/b", b"a0"]);
    assert!(paths.is_sorted());
}

#[test]
fn contents_are_sent_of_text_on_both_sides_or_not_at_all() {
    let ground = Ground::new();
    for (path, old, new) in [
        ("binary", "a\0b", "text"),
        ("becomes-binary", "text", "a\0b"),
        ("long", "text", &"x".repeat(1001)),
        ("longest", "text", &"x".repeat(1000)),
    ] {
        both(&ground, path, old);
        fs::write(ground.tree(path), new).unwrap();
    }
    let sent: Vec<_> = all(&ground)
        .into_iter()
        .map(|(change, before, after)| {
            (String::from_utf8(change.path).unwrap(), before.is_some(), after.is_some())
        })
        .collect();
    let expected = [("becomes-binary", false), ("binary", false), ("long", false), ("longest", true)];
    assert_eq!(sent, expected.map(|(path, sent)| (path.to_owned(), sent, sent)));
}

#[test]
fn only_hinted_names_are_looked_at() {
    let ground = Ground::new();
    for path in ["d/seen", "d/unseen", "unseen", "copied-up"] {
        both(&ground, path, "old");
        fs::write(ground.tree(path), "new").unwrap();
    }
    fs::write(ground.tree("copied-up"), "old").unwrap();
    fs::create_dir(ground.tree("new")).unwrap();
    fs::write(ground.tree("new/f"), "").unwrap();
    for path in ["d/seen", "copied-up", "new/other"] {
        hint(&ground, path);
    }
    let told = |ground: &Ground| {
        let mut bytes = Vec::new();
        diff(MAX_TEXT, &ground.place, &mut bytes).unwrap();
        changes(&bytes).into_iter().map(|(change, ..)| change.path).collect::<Vec<_>>()
    };
    assert_eq!(told(&ground), [&b"d/seen"[..], b"new", b"new/f"]);
    fs::remove_dir_all(ground.path("disk/workspace/changes/tree")).unwrap();
    assert!(told(&ground).is_empty());
}
