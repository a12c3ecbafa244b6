//! One day with a workspace: a repository goes in, is built, gets updates, is compared, comes out. What comes out is,
//! byte for byte, what the same steps make of it on the host.

use crate::home::Home;
use crate::trees::{self, Node, Tree, host, link, noise, write};
use crate::workspace::{Workspace, text};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// Runs in the guest and on the host, with the same result.
const BUILD: &str = r##"#!/bin/sh
set -e
export LC_ALL=C
umask 022
mkdir -p out/reports "out/new empty"
find src -type f -print0 | sort -z | xargs -0 sha256sum > out/sums
awk '{ n[substr($1, 1, 1)]++ } END { for (k in n) print k, n[k] }' out/sums | sort > out/reports/histogram
awk 'BEGIN { for (i = 0; i < 20000; i++) print i, i * i }' > out/squares.txt
sha256sum assets/blob.bin > out/blob.sha256
head -c 100000 assets/blob.bin > out/part.bin
chmod 700 out/reports

# Every kind of change, each to a file of its own.
sed -i 's/line one/LINE ONE/' src/d00/e0/file-0.txt
printf 'no line feed at the end' >> docs/readme.txt
printf 'a\r\nb\r\n' > docs/dos.txt
printf 'changed\n' > 'docs/a file with spaces.txt'
printf 'changed\n' >> 'docs/Übersicht – 日本.md'
printf 'changed\n' >> 'docs/"quotes" and \ and	tab'
printf 'caf\351\n' >> docs/latin1.txt
: > docs/emptied.txt
mv src/d01/e1/file-1.txt src/d01/e1/moved.txt
mv src/d05 src/d05-renamed
rm -r src/d02/e2
rm src/d03/e3/file-3.txt
mkdir src/d03/e3/file-3.txt
echo inner > src/d03/e3/file-3.txt/inner
rm docs/kind
ln -s readme.txt docs/kind
rm -r dir-to-file
echo file > dir-to-file
chmod 755 src/d04/e4/file-4.txt
chmod 600 src/d04/e4/file-5.txt
chmod 750 src/d04
ln -sfn d01 src/current
ln -s ../out/sums links/sums
rmdir empty/inner
"##;

#[test]
fn a_repository_is_built_updated_compared_and_exported() {
    let home = Home::new();
    let scratch = tempfile::tempdir().unwrap();
    let (seed, here) = (scratch.path().join("seed"), scratch.path().join("here"));
    make_repository(&seed);
    trees::copy(&seed, &here);
    let workspace = home.workspace_with(&["--seed-path", text(&seed)]);
    check_unchanged(&workspace, &seed);

    assert_eq!(workspace.sh("./build.sh && echo built"), "built\n");
    host(Command::new("sh").arg("build.sh").current_dir(&here));
    push_directory(&workspace, scratch.path(), &here);
    push_archive(&workspace, scratch.path(), &here);

    let there = scratch.path().join("there");
    let exported = workspace.export("/workspace", &there);
    assert_eq!(exported["artifact_type"], "directory", "{exported}");
    let (ours, theirs) = (trees::read(&here), trees::read(&there));
    trees::assert_same(&ours, &theirs);
    check_pieces(&workspace, scratch.path(), &here);
    check_diff(&workspace, &seed, &here);
    check_patch(&workspace, scratch.path(), &seed, &theirs);
    drop(workspace);
    home.assert_nothing_left();
}

/// Some 3000 files, and one of each kind that is unusual.
fn make_repository(seed: &Path) {
    for file in 0..3000 {
        let (directory, inner, number) = (file / 100, file / 10 % 10, file % 10);
        let content: String = ["one", "two", "three", "four", "five"]
            .iter()
            .map(|word| format!("line {word} of file {file}\n"))
            .collect();
        write(&seed.join(format!("src/d{directory:02}/e{inner}/file-{number}.txt")), content, 0o644);
    }
    write(&seed.join("build.sh"), BUILD, 0o755);
    write(&seed.join("assets/blob.bin"), noise(50_000_000, 1), 0o644);
    for name in
        ["readme.txt", "a file with spaces.txt", "Übersicht – 日本.md", "\"quotes\" and \\ and\ttab", "kind"]
    {
        write(&seed.join("docs").join(name), format!("first\n{name}\nlast\n"), 0o644);
    }
    write(&seed.join("docs/latin1.txt"), b"na\xefve\n", 0o644);
    write(&seed.join("docs/emptied.txt"), "full\n", 0o644);
    write(&seed.join("docs/private"), "private\n", 0o600);
    write(&seed.join("docs/read only"), "read only\n", 0o444);
    write(&seed.join("tools/run"), "#!/bin/sh\nexit 0\n", 0o755);
    write(&seed.join("dir-to-file/a"), "a\n", 0o644);
    link("d00", &seed.join("src/current"));
    link("../src/d00/e0/file-0.txt", &seed.join("links/file"));
    link("nothing-there", &seed.join("links/dangling"));
    host(git(seed).args(["init", "--quiet"]));
    host(git(seed).args(["add", "--all"]));
    host(git(seed).args(["commit", "--quiet", "--message", "first"]));
    // Git knows nothing of these.
    fs::create_dir_all(seed.join("empty/inner")).unwrap();
    fs::set_permissions(seed.join("empty"), fs::Permissions::from_mode(0o711)).unwrap();
}

fn git(folder: &Path) -> Command {
    let mut git = Command::new("git");
    git.arg("-C").arg(folder).args(["-c", "user.name=nobody", "-c", "user.email=nobody@example.org"]);
    git.args(["-c", "commit.gpgsign=false", "-c", "gc.auto=0", "-c", "core.autocrlf=false"]);
    git
}

/// A workspace is at first what was seeded, times included.
fn check_unchanged(workspace: &Workspace<'_>, seed: &Path) {
    let status = workspace.status();
    let n_entries = trees::read(seed).len();
    assert_eq!(status["workspace_seed"]["mode"], "directory", "{status:#}");
    assert_eq!(status["workspace_seed"]["entry_count"], n_entries, "{status:#}");
    let diff = workspace.diff();
    assert_eq!((&diff["changed"], &diff["patch"]), (&false.into(), &"".into()), "{diff:#}");
    assert_eq!((&diff["summary"]["total"], &diff["entries"]), (&0.into(), &serde_json::json!([])));
    let times = "find . -name .git -prune -o -type f -printf '%T@ %p\\n' | LC_ALL=C sort";
    let here = host(Command::new("sh").args(["-c", times]).current_dir(seed));
    assert!(workspace.sh(times) == here, "the times of files are not those of the seed");
}

fn push_directory(workspace: &Workspace<'_>, scratch: &Path, here: &Path) {
    let update = scratch.join("update");
    write(&update.join("src/d06/e6/file-6.txt"), "line one, updated\n", 0o644);
    write(&update.join("src/d06/e6/file-7.txt"), "executable now\n", 0o755);
    write(&update.join("new/tief/ünd tiefer/fresh.txt"), "fresh\n", 0o640);
    write(&update.join("assets/second.bin"), noise(3_000_000, 2), 0o644);
    write(&update.join("links/file"), "a file where a link was\n", 0o644);
    link("../../build.sh", &update.join("new/tief/build"));
    fs::create_dir(update.join("new/empty")).unwrap();
    fs::set_permissions(update.join("src/d06"), fs::Permissions::from_mode(0o700)).unwrap();
    let pushed = workspace.sync(&update, &[]);
    assert_eq!(pushed["mode"], "directory", "{pushed}");
    assert_eq!(pushed["destination"], "/workspace");
    assert_eq!(pushed["entry_count"], trees::read(&update).len());
    host(
        Command::new("sh")
            .args(["-c", r#"tar -C "$1" -cf - . | tar -C "$2" -xpf -"#, "sh"])
            .arg(&update)
            .arg(here),
    );
}

fn push_archive(workspace: &Workspace<'_>, scratch: &Path, here: &Path) {
    let vendor = scratch.join("vendor-source");
    write(&vendor.join("lib.c"), "int main() { return 0; }\n", 0o644);
    write(&vendor.join("bin/tool"), "#!/bin/sh\necho tool\n", 0o755);
    write(&vendor.join("data.bin"), noise(1_000_000, 3), 0o644);
    link("../lib.c", &vendor.join("bin/source"));
    fs::create_dir(vendor.join("empty")).unwrap();
    let archive = scratch.join("vendor.tar.gz");
    host(
        Command::new("tar")
            .arg("-C")
            .arg(&vendor)
            .arg("-czf")
            .arg(&archive)
            .args(["lib.c", "bin", "data.bin", "empty"]),
    );
    let pushed = workspace.sync(&archive, &["--dest", "/workspace/third party/vendor"]);
    assert_eq!(pushed["mode"], "tar_archive", "{pushed}");
    assert_eq!(pushed["destination"], "/workspace/third party/vendor");
    let to = here.join("third party/vendor");
    fs::create_dir_all(&to).unwrap();
    host(Command::new("tar").arg("-C").arg(&to).arg("-xpzf").arg(&archive));
}

/// A single file and a single link come out as they are.
fn check_pieces(workspace: &Workspace<'_>, scratch: &Path, here: &Path) {
    let file = scratch.join("piece");
    assert_eq!(workspace.export("/workspace/assets/blob.bin", &file)["artifact_type"], "file");
    assert!(fs::read(&file).unwrap() == fs::read(here.join("assets/blob.bin")).unwrap());
    let symlink = scratch.join("piece-link");
    assert_eq!(workspace.export("src/current", &symlink)["artifact_type"], "symlink");
    assert_eq!(fs::read_link(&symlink).unwrap(), Path::new("d01"));
    let again = workspace.refused(&["export"], &["build.sh", "--output", text(&file)]);
    assert_eq!(again["kind"], "already_exists", "{again}");
    workspace.done(&["export"], &["build.sh", "--output", text(&file), "--force"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), BUILD);
}

/// The diff names exactly the paths that are not what they were.
fn check_diff(workspace: &Workspace<'_>, seed: &Path, here: &Path) {
    let (before, after) = (trees::read(seed), trees::read(here));
    let paths: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let expected: Vec<(String, &str)> = paths
        .into_iter()
        .filter(|path| before.get(*path) != after.get(*path))
        .map(|path| (String::from_utf8(path.clone()).unwrap(), status(before.get(path), after.get(path))))
        .collect();
    let diff = workspace.diff();
    let found: Vec<(String, &str)> = diff["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (entry["path"].as_str().unwrap().to_owned(), entry["status"].as_str().unwrap()))
        .collect();
    assert_eq!(found, expected);
    assert_eq!((&diff["changed"], &diff["summary"]["total"]), (&true.into(), &expected.len().into()));
    for (path, status) in [("src/d01/e1/file-1.txt", "deleted"), ("src/d01/e1/moved.txt", "added")] {
        assert!(found.contains(&(path.into(), status)), "{path}");
    }
    let names = workspace.command(&["diff"], &["--name-only"]).output().unwrap();
    assert!(String::from_utf8(names.stdout).unwrap().lines().any(|line| line == "src/d01/e1/moved.txt"));
}

fn status(before: Option<&Node>, after: Option<&Node>) -> &'static str {
    match (before, after) {
        (None, _) => "added",
        (_, None) => "deleted",
        (Some(before), Some(after)) if std::mem::discriminant(before) == std::mem::discriminant(after) => {
            "modified"
        }
        _ => "type_changed",
    }
}

/// `git apply` makes of the seed what the workspace has become, as far as a patch can say it.
fn check_patch(workspace: &Workspace<'_>, scratch: &Path, seed: &Path, theirs: &Tree) {
    let applied = scratch.join("applied");
    trees::copy(seed, &applied);
    let patch = workspace.command(&["diff"], &[]).output().unwrap();
    assert!(patch.status.success(), "{}", crate::home::report(&patch));
    fs::write(scratch.join("patch"), &patch.stdout).unwrap();
    host(git(&applied).args(["apply", "--whitespace=nowarn"]).arg(scratch.join("patch")));
    let applied = trees::read(&applied);
    let before = trees::read(seed);
    let is_binary = |path: &Vec<u8>| {
        [Some(theirs), Some(&before)].into_iter().flatten().any(|tree| match tree.get(path) {
            Some(Node::File { content, .. }) => content.iter().take(8000).any(|byte| *byte == 0),
            _ => false,
        })
    };
    let as_git_sees_it = |tree: &Tree| -> Tree {
        tree.iter()
            .filter(|(path, _)| !path.starts_with(b".git/") && !is_binary(path))
            .filter_map(|(path, node)| Some((path.clone(), git_node(node)?)))
            .collect()
    };
    trees::assert_same(&as_git_sees_it(&applied), &as_git_sees_it(theirs));
}

/// Directories are nothing to git, and of modes it knows whether a file is executable.
fn git_node(node: &Node) -> Option<Node> {
    match node {
        Node::Directory { .. } => None,
        Node::File { mode, content } => Some(Node::File { mode: mode & 0o100, content: content.clone() }),
        Node::Symlink { target } => Some(Node::Symlink { target: target.clone() }),
    }
}
