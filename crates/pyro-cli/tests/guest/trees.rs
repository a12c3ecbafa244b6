//! Trees of files on the host, and whether two are the same byte for byte.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

/// What stands at a path. Owners and times are left out.
#[derive(Debug, PartialEq, Eq)]
pub enum Node {
    Directory { mode: u32 },
    File { mode: u32, content: Vec<u8> },
    Symlink { target: Vec<u8> },
}

/// Everything below a folder, by its path below it.
pub type Tree = BTreeMap<Vec<u8>, Node>;

pub fn read(root: &Path) -> Tree {
    let mut tree = Tree::new();
    read_below(root, root, &mut tree);
    tree
}

fn read_below(root: &Path, folder: &Path, tree: &mut Tree) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let metadata = fs::symlink_metadata(&path).unwrap();
        let mode = metadata.mode() & 0o7777;
        let node = if metadata.is_symlink() {
            Node::Symlink { target: fs::read_link(&path).unwrap().as_os_str().as_bytes().to_vec() }
        } else if metadata.is_dir() {
            read_below(root, &path, tree);
            Node::Directory { mode }
        } else {
            Node::File { mode, content: fs::read(&path).unwrap() }
        };
        tree.insert(path.strip_prefix(root).unwrap().as_os_str().as_bytes().to_vec(), node);
    }
}

/// Compares two trees, and names the paths that are not the same.
pub fn assert_same(ours: &Tree, theirs: &Tree) {
    let paths: std::collections::BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
    let different = paths.into_iter().filter(|path| ours.get(*path) != theirs.get(*path));
    let words: Vec<String> = different
        .map(|path| {
            let name = String::from_utf8_lossy(path);
            format!("{name:?}: {} and {}", describe(ours.get(path)), describe(theirs.get(path)))
        })
        .collect();
    assert!(
        words.is_empty(),
        "{} paths differ, such as:\n{}",
        words.len(),
        words[..words.len().min(30)].join("\n")
    );
}

fn describe(node: Option<&Node>) -> String {
    match node {
        None => "nothing".into(),
        Some(Node::Directory { mode }) => format!("directory {mode:o}"),
        Some(Node::Symlink { target }) => format!("link to {:?}", String::from_utf8_lossy(target)),
        Some(Node::File { mode, content }) => {
            let head = String::from_utf8_lossy(&content[..content.len().min(60)]).into_owned();
            format!("file {mode:o} of {} bytes {head:?}", content.len())
        }
    }
}

/// Writes a file and the folders that it lies in.
pub fn write(path: &Path, content: impl AsRef<[u8]>, mode: u32) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

pub fn link(target: &str, path: &Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    symlink(target, path).unwrap();
}

/// Copies a tree as it is. What it lays over another one, replaces.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    host(Command::new("cp").arg("--archive").arg(from.join(".")).arg(to));
}

/// Bytes that no program compresses, the same each time.
pub fn noise(n_bytes: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2).wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut word = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    std::iter::repeat_with(&mut word).flatten().take(n_bytes).collect()
}

/// Runs a program of the host that must succeed, and gives what it printed.
pub fn host(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", crate::home::report(&output));
    String::from_utf8(output.stdout).unwrap()
}
