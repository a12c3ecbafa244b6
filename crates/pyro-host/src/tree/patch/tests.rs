//! Patches, put to the test of a real `git apply`.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

/// Files and links by path.
type Tree = BTreeMap<Vec<u8>, (GitMode, Vec<u8>)>;

fn tree(files: &[(&[u8], GitMode, &[u8])]) -> Tree {
    files.iter().map(|(path, mode, content)| (path.to_vec(), (*mode, content.to_vec()))).collect()
}

fn write(root: &Path, tree: &Tree) {
    for (path, (mode, content)) in tree {
        let path = root.join(OsStr::from_bytes(path));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        if *mode == GitMode::Symlink {
            symlink(OsStr::from_bytes(content), path).unwrap();
            continue;
        }
        fs::write(&path, content).unwrap();
        let bits = if *mode == GitMode::Executable { 0o755 } else { 0o644 };
        fs::set_permissions(&path, fs::Permissions::from_mode(bits)).unwrap();
    }
}

fn read(root: &Path, below: &Path, tree: &mut Tree) {
    for entry in fs::read_dir(below).unwrap() {
        let path = entry.unwrap().path();
        let found = path.symlink_metadata().unwrap();
        let content = match () {
            () if found.is_dir() => {
                read(root, &path, tree);
                continue;
            }
            () if found.is_symlink() => {
                (GitMode::Symlink, fs::read_link(&path).unwrap().into_os_string().into_vec())
            }
            () => (GitMode::of_file(found.permissions().mode()), fs::read(&path).unwrap()),
        };
        tree.insert(path.strip_prefix(root).unwrap().as_os_str().as_bytes().to_vec(), content);
    }
}

fn patch_between(old: &Tree, new: &Tree) -> Vec<u8> {
    fn blob((mode, content): &(GitMode, Vec<u8>)) -> Blob<'_> {
        Blob { mode: *mode, content }
    }
    let mut paths: Vec<&Vec<u8>> = old.keys().chain(new.keys()).collect();
    paths.sort();
    paths.dedup();
    let patcher = Patcher::new();
    paths
        .into_iter()
        .flat_map(|path| patcher.patch(path, old.get(path).map(blob), new.get(path).map(blob)).unwrap())
        .collect()
}

/// What `git apply` makes of a tree.
fn applied(old: &Tree, patch: &[u8]) -> Result<Tree, String> {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), old);
    let mut git = Command::new("git")
        .args(["apply", "--whitespace=nowarn", "-"])
        .current_dir(root.path())
        .env("GIT_CEILING_DIRECTORIES", "/")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("HOME", root.path())
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    git.stdin.take().unwrap().write_all(patch).unwrap();
    let output = git.wait_with_output().unwrap();
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let mut tree = Tree::new();
    read(root.path(), root.path(), &mut tree);
    Ok(tree)
}

fn assert_applies(old: &Tree, new: &Tree) {
    let patch = patch_between(old, new);
    let text = String::from_utf8_lossy(&patch);
    assert_eq!(applied(old, &patch).as_ref(), Ok(new), "{text}");
}

/// Both ways.
fn assert_round_trip(old: &[(&[u8], GitMode, &[u8])], new: &[(&[u8], GitMode, &[u8])]) {
    assert_applies(&tree(old), &tree(new));
    assert_applies(&tree(new), &tree(old));
}

use GitMode::{Executable, File, Symlink};

#[test]
fn contents_and_their_last_lines() {
    let long = vec![b'x'; 300_000];
    let many: Vec<u8> = (0..5000).flat_map(|line| format!("line {line}\n").into_bytes()).collect();
    let mut many_changed = many.clone();
    many_changed.splice(100..200, *b"new\n");
    many_changed.extend(b"at the end");
    let texts: [&[u8]; 15] = [
        b"",
        b"\n",
        b"a",
        b"a\n",
        b"a\nb",
        b"a\nb\n",
        b"a\r\nb\r\n",
        b"a\rb\rc",
        b"\xff\xfe\x80\n\xe4",
        b"- a\n+ b\n",
        b"--- a/x\n+++ b/x\n@@ -1 +1 @@\n",
        &long,
        &many,
        &many_changed,
        b"\\ No newline at end of file",
    ];
    for old in texts {
        assert_round_trip(&[(b"keep", File, b"")], &[(b"keep", File, b""), (b"d/x", File, old)]);
        for new in texts {
            if old != new {
                assert_applies(&tree(&[(b"x", File, old)]), &tree(&[(b"x", File, new)]));
            }
        }
    }
}

#[test]
fn modes_and_links() {
    assert_round_trip(&[(b"x", File, b"a\n")], &[(b"x", Executable, b"a\n")]);
    assert_round_trip(&[(b"x", File, b"")], &[(b"x", Executable, b"")]);
    assert_round_trip(&[(b"x", File, b"a\n")], &[(b"x", Executable, b"b")]);
    assert_round_trip(&[], &[(b"x", Executable, b"")]);
    assert_round_trip(&[], &[(b"l", Symlink, b"../some where/\xff")]);
    assert_round_trip(&[(b"l", Symlink, b"a")], &[(b"l", Symlink, b"b")]);
    assert_round_trip(&[(b"l", Symlink, b"a\nb")], &[(b"l", Symlink, b"a\nc")]);
    assert_round_trip(&[(b"l", Symlink, b"a")], &[(b"l", File, b"a")]);
    assert_round_trip(&[(b"l", Symlink, b"a")], &[(b"l", Executable, b"")]);
    // A file becomes a directory, a directory a link.
    assert_round_trip(&[(b"x", File, b"a\n")], &[(b"x/y", File, b"b\n"), (b"x/z/w", File, b"")]);
    assert_round_trip(&[(b"d/x", File, b"a\n"), (b"d/y", File, b"")], &[(b"d", Symlink, b"e")]);
}

#[test]
fn names() {
    let names: [&[u8]; 16] = [
        b"with space",
        b" both ",
        b"x b/x",
        b"tab\there",
        b"\"quoted\"",
        b"back\\slash",
        b"line\nfeed",
        b"\r",
        b"\x7f",
        "ä/ö ü".as_bytes(),
        b"\xff\xfe",
        b"-dash",
        b"a/b",
        b"dev/null",
        b"t\t \xe4",
        b"b/../b".strip_suffix(b"/../b").unwrap(),
    ];
    for name in names {
        for mode in [File, Executable, Symlink] {
            assert_round_trip(&[], &[(name, mode, b"a")]);
            assert_round_trip(&[(name, mode, b"a")], &[(name, mode, b"b\n")]);
        }
        assert_round_trip(&[], &[(name, File, b"")]);
        assert_round_trip(&[(name, File, b"")], &[(name, Executable, b"")]);
        assert_round_trip(&[(name, File, b"a\n")], &[(name, Executable, b"b")]);
    }
}

#[test]
fn what_git_refuses_gets_no_patch() {
    let blob = Blob { mode: File, content: b"a" };
    let by_hand = |path: &str| {
        let patch = Patcher::new().patch(b"x", None, Some(blob)).unwrap();
        String::from_utf8(patch)
            .unwrap()
            .replace("a/x", &format!("a/{path}"))
            .replace("b/x", &format!("b/{path}"))
    };
    for path in [".git/HEAD", "d/.GIT/x", ".git. /x", "git~1/x"] {
        assert!(Patcher::new().patch(path.as_bytes(), None, Some(blob)).is_none(), "{path}");
        assert!(applied(&Tree::new(), by_hand(path).as_bytes()).is_err(), "{path}");
    }
    assert!(applied(&Tree::new(), by_hand("y").as_bytes()).is_ok());
}

#[test]
fn the_form_is_that_of_git() {
    let patch = patch_between(
        &tree(&[(b"a b", File, b"1\n2\n3\n4\n5\n6\n7\n8\n9"), (b"gone", Executable, b"x\n")]),
        &tree(&[(b"a b", Executable, b"1\n2\n3\n4\nfive\n6\n7\n8\n9"), (b"new", Symlink, b"t")]),
    );
    let wanted = "diff --git a/a b b/a b\nold mode 100644\nnew mode 100755\n--- a/a b\t\n+++ b/a b\t\n@@ -2,7 +2,7 @@\n \
        2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\ndiff --git a/gone b/gone\ndeleted file mode 100755\n--- a/gone\n+++ \
        /dev/null\n@@ -1 +0,0 @@\n-x\ndiff --git a/new b/new\nnew file mode 120000\n--- /dev/null\n+++ b/new\n@@ -0,0 \
        +1 @@\n+t\n\\ No newline at end of file\n";
    assert_eq!(String::from_utf8(patch).unwrap(), wanted);
}

#[test]
fn contents_made_to_be_slow_are_not() {
    let text = |seed: u64| -> Vec<u8> {
        let mut state = seed;
        let mut text = Vec::new();
        for _ in 0..200_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            text.extend([b'a' + (state >> 60) as u8, b'\n']);
        }
        text
    };
    let (old, new) = (text(1), text(2));
    let started = Instant::now();
    let patcher = Patcher { deadline: Instant::now() + Duration::from_secs(1) };
    let blob = |content| Some(Blob { mode: File, content });
    let patch = patcher.patch(b"x", blob(&old), blob(&new)).unwrap();
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    assert!(applied(&tree(&[(b"x", File, &old)]), &patch) == Ok(tree(&[(b"x", File, &new)])));
}

fn any_tree() -> impl Strategy<Value = Tree> {
    let name = prop::collection::vec(prop::sample::select(b" ab\t\"\\\n\xc3\xa4\xff.-/".to_vec()), 1..6)
        .prop_filter("a path that git takes", |name| {
            pyro_protocol::tree::check_path(name).is_ok() && !is_refused_by_git(name, true)
        });
    let content = prop::collection::vec(prop::sample::select(b"ab\n\n\r\xff".to_vec()), 0..30);
    let mode = prop::sample::select(vec![File, File, Executable, Symlink]);
    prop::collection::btree_map(name, (mode, content), 0..4).prop_map(|tree| {
        let mut kept = Tree::new();
        for (path, (mode, mut content)) in tree {
            if mode == Symlink && content.is_empty() {
                content.push(b't');
            }
            let is_below = |other: &Vec<u8>| path.starts_with(&[&other[..], b"/"].concat());
            if !kept.keys().any(is_below) {
                kept.insert(path, (mode, content));
            }
        }
        kept
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn git_makes_of_any_tree_any_other(old in any_tree(), new in any_tree()) {
        let patch = patch_between(&old, &new);
        if patch.is_empty() {
            prop_assert_eq!(old, new);
        } else {
            let applied = applied(&old, &patch);
            prop_assert_eq!(applied, Ok(new), "{}", String::from_utf8_lossy(&patch));
        }
    }
}
