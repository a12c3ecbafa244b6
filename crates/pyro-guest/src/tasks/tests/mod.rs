//! Tasks on plain directories, which stand for the layers of a workspace. Nothing here needs to be root.

mod diff;
mod export;
mod import;
mod stuck;
mod sync;

use super::place::Place;
use pyro_protocol::tree::{Change, Entry, EntryKind, Record, TreeReader, TreeWriter};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

pub(super) struct Ground {
    folder: tempfile::TempDir,
    pub(super) place: Place,
}

impl Ground {
    pub(super) fn new() -> Self {
        super::prepare_process().unwrap();
        let memory = Path::new("/dev/shm"); // a file system whose every flush is for nothing
        let base = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let folder = tempfile::tempdir_in(base).unwrap();
        let place = Place::Machine { disk: folder.path().join("disk"), merged: folder.path().join("merged") };
        for path in
            ["disk/workspace/baseline/tree", "disk/workspace/changes/tree", "merged/tree", "merged/staging"]
        {
            fs::create_dir_all(folder.path().join(path)).unwrap();
        }
        Self { folder, place }
    }

    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    pub(super) fn tree(&self, path: &str) -> PathBuf {
        self.path("merged/tree").join(path)
    }

    /// Nothing of any sync is left.
    pub(super) fn assert_tidy(&self) {
        assert_eq!(fs::read_dir(self.path("merged/staging")).unwrap().count(), 0);
    }
}

/// An entry with a content.
pub(super) type Sent = (Entry, Vec<u8>);

pub(super) fn entry(path: &str, kind: EntryKind, mode: u32) -> Sent {
    (Entry { path: path.into(), kind, mode, mtime_seconds: 1_000_000, mtime_nanos: 5 }, Vec::new())
}

pub(super) fn dir(path: &str) -> Sent {
    entry(path, EntryKind::Directory, 0o755)
}

pub(super) fn file(path: &str, content: &str) -> Sent {
    let sent = entry(path, EntryKind::File { size: content.len() as u64 }, 0o644);
    (sent.0, content.into())
}

pub(super) fn link(path: &str, target: &str) -> Sent {
    entry(path, EntryKind::Symlink { target: target.into() }, 0o777)
}

pub(super) fn hard_link(path: &str, target: &str) -> Sent {
    entry(path, EntryKind::HardLink { target: target.into() }, 0o644)
}

pub(super) fn stream(entries: &[Sent]) -> Vec<u8> {
    let mut writer = TreeWriter::new(Vec::new());
    for (entry, content) in entries {
        writer.record(&Record::Entry(entry.clone())).unwrap();
        if matches!(entry.kind, EntryKind::File { .. }) {
            writer.piece(content).unwrap();
            writer.end_of_content().unwrap();
        }
    }
    writer.finish().unwrap()
}

fn content(reader: &mut TreeReader<&[u8]>) -> Vec<u8> {
    let mut content = Vec::new();
    while let Some(piece) = reader.piece().unwrap() {
        content.extend_from_slice(piece);
    }
    content
}

/// The entries of a stream.
pub(super) fn entries(stream: &[u8]) -> Vec<Sent> {
    let mut reader = TreeReader::new(stream);
    let mut all = Vec::new();
    loop {
        match reader.record().unwrap() {
            Record::Entry(entry) if matches!(entry.kind, EntryKind::File { .. }) => {
                let content = content(&mut reader);
                all.push((entry, content));
            }
            Record::Entry(entry) => all.push((entry, Vec::new())),
            Record::Change(_) => panic!("a change"),
            Record::End => return all,
        }
    }
}

/// A difference, and the contents that were sent with it.
pub(super) type Difference = (Change, Option<Vec<u8>>, Option<Vec<u8>>);

/// The differences of a stream, with the contents before and after.
pub(super) fn changes(stream: &[u8]) -> Vec<Difference> {
    let mut reader = TreeReader::new(stream);
    let mut all = Vec::new();
    loop {
        match reader.record().unwrap() {
            Record::Change(change) => {
                let sent = |node: &Option<_>| {
                    node.as_ref().is_some_and(|node: &pyro_protocol::tree::Node| node.content)
                };
                let before = sent(&change.before).then(|| content(&mut reader));
                let after = sent(&change.after).then(|| content(&mut reader));
                all.push((change, before, after));
            }
            Record::Entry(_) => panic!("an entry"),
            Record::End => return all,
        }
    }
}

/// One line for each thing below a folder: mode, time, path, content.
pub(super) fn picture(folder: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    draw(folder, "", &mut lines);
    lines.sort();
    lines
}

fn draw(folder: &Path, below: &str, lines: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{below}/{}", entry.file_name().to_string_lossy());
        let metadata = entry.metadata().unwrap();
        let (mode, time) = (metadata.permissions().mode(), metadata.mtime());
        if metadata.is_dir() {
            lines.push(format!("{path} {mode:o} {time}"));
            draw(&entry.path(), &path, lines);
        } else if metadata.is_symlink() {
            lines.push(format!("{path} -> {} {time}", fs::read_link(entry.path()).unwrap().display()));
        } else {
            lines.push(format!("{path} {mode:o} {time} {}", fs::read_to_string(entry.path()).unwrap()));
        }
    }
}
