//! Exports of honest guests and of others.

use super::*;
use crate::tree::{TreeSource, check_output, pack};
use pyro_protocol::tree::TreeWriter;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;

const MIB: u64 = 1024 * 1024;

fn entry(path: impl AsRef<[u8]>, kind: EntryKind, mode: u32) -> Entry {
    Entry { path: path.as_ref().to_vec(), kind, mode, mtime_seconds: 1_000_000_000, mtime_nanos: 5 }
}

fn file(path: &str, mode: u32) -> Entry {
    entry(path, EntryKind::File { size: 1 }, mode)
}

fn directory(path: &str) -> Entry {
    entry(path, EntryKind::Directory, 0o755)
}

fn link(path: &str, target: &str) -> Entry {
    entry(path, EntryKind::Symlink { target: target.into() }, 0o777)
}

/// A whole stream; each file holds its own path.
fn stream(entries: &[Entry]) -> Vec<u8> {
    let mut writer = TreeWriter::new(Vec::new());
    for entry in entries {
        writer.record(&Record::Entry(entry.clone())).unwrap();
        if matches!(entry.kind, EntryKind::File { .. }) {
            writer.piece(&entry.path).unwrap();
            writer.end_of_content().unwrap();
        }
    }
    writer.finish().unwrap()
}

/// A directory with an output in it that is not there yet.
fn place() -> (tempfile::TempDir, PathBuf) {
    let place = tempfile::tempdir().unwrap();
    let output = place.path().join("out");
    (place, output)
}

fn assert_untouched(place: &tempfile::TempDir, wanted: &[&str]) {
    let mut found: Vec<_> = fs::read_dir(place.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    found.sort();
    assert_eq!(found, wanted);
}

fn refused(bytes: &[u8], limit: u64) -> Error {
    let (place, output) = place();
    let error = unpack(bytes, &output, false, limit).unwrap_err();
    assert_untouched(&place, &[]);
    error.into()
}

/// Mode, time, names, and content or target, by path.
type Picture = BTreeMap<Vec<u8>, (u32, i64, i64, u64, Vec<u8>)>;

/// All below a root.
fn picture(root: &Path) -> Picture {
    let mut picture = BTreeMap::new();
    let mut pending = vec![root.to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let found = path.symlink_metadata().unwrap();
            let mut content = Vec::new();
            if found.is_dir() {
                pending.push(path.clone());
            } else if found.is_symlink() {
                content = fs::read_link(&path).unwrap().as_os_str().as_bytes().to_vec();
            } else {
                content = fs::read(&path).unwrap();
            }
            let links = if found.is_dir() { 0 } else { found.nlink() };
            let key = path.strip_prefix(root).unwrap().as_os_str().as_bytes().to_vec();
            picture.insert(key, (found.mode(), found.mtime(), found.mtime_nsec(), links, content));
        }
    }
    picture
}

fn interesting_tree(root: &Path) {
    let mut deep = root.to_owned();
    for _ in 0..220 {
        deep.push("deep");
    }
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("bottom"), "b").unwrap();
    fs::create_dir_all(root.join("empty")).unwrap();
    fs::write(root.join("n".repeat(255)), "long name").unwrap();
    fs::write(root.join("ä ö\n"), "").unwrap();
    fs::write(root.join(std::ffi::OsStr::from_bytes(b"\xff\xfe")), vec![7; 700_000]).unwrap();
    fs::write(root.join("deep/run"), "#!").unwrap();
    fs::set_permissions(root.join("deep/run"), fs::Permissions::from_mode(0o751)).unwrap();
    fs::hard_link(root.join("deep/run"), root.join("deep/deep/again")).unwrap();
    symlink("deep/run", root.join("link")).unwrap();
    symlink("nowhere", root.join("deep/dangling")).unwrap();
    fs::create_dir(root.join("closed")).unwrap();
    fs::write(root.join("closed/in"), "x").unwrap();
    fs::set_permissions(root.join("closed"), fs::Permissions::from_mode(0o555)).unwrap();
}

#[test]
fn what_was_packed_is_unpacked_as_it_was() {
    let (place, output) = place();
    let root = place.path().join("in");
    interesting_tree(&root);
    let mut bytes = stream(&[directory("")]);
    bytes.truncate(bytes.len() - stream(&[]).len());
    let packed =
        pack(TreeSource::open(&root).unwrap(), "/workspace", MIB, &mut bytes, &mut |_, _| {}).unwrap();
    let unpacked = unpack(&bytes[..], &output, false, MIB).unwrap();
    assert_eq!(unpacked.artifact_type, ArtifactType::Directory);
    assert_eq!((unpacked.entry_count, unpacked.bytes_written), (packed.entry_count, packed.bytes_written));
    assert_eq!(picture(&output), picture(&root));
    assert_untouched(&place, &["in", "out"]);
    for closed in [root.join("closed"), output.join("closed")] {
        fs::set_permissions(closed, fs::Permissions::from_mode(0o755)).unwrap(); // so that the place can be deleted
    }
}

#[test]
fn single_files_and_links_lose_their_dangerous_bits() {
    let (_place, output) = place();
    let unpacked = unpack(&stream(&[file("", 0o7755)])[..], &output, false, MIB).unwrap();
    assert_eq!((unpacked.artifact_type, unpacked.entry_count), (ArtifactType::File, 1));
    let found = output.metadata().unwrap();
    assert_eq!((found.mode() & 0o7777, found.mtime(), found.mtime_nsec()), (0o755, 1_000_000_000, 5));
    // A link replaces a file, and is not followed.
    let error: Error =
        unpack(&stream(&[link("", "/etc/passwd")])[..], &output, false, MIB).unwrap_err().into();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    let unpacked = unpack(&stream(&[link("", "/etc/passwd")])[..], &output, true, MIB).unwrap();
    assert_eq!(unpacked.artifact_type, ArtifactType::Symlink);
    assert_eq!(fs::read_link(&output).unwrap(), Path::new("/etc/passwd"));
}

#[test]
fn hostile_streams_leave_nothing() {
    let hard = |path: &str, target: &str| entry(path, EntryKind::HardLink { target: target.into() }, 0);
    let root = || directory("");
    let protocol = ErrorKind::GuestUnreachable;
    for (entries, kind) in [
        (vec![], protocol),
        (vec![directory("a")], protocol),
        (vec![hard("", "x")], protocol),
        (vec![root(), directory("")], protocol),
        (vec![link("", "x\0")], protocol),
        (vec![link("", "")], protocol),
        (vec![file("", 0o644), file("x", 0o644)], protocol),
        (vec![link("", "/"), file("x", 0o644)], protocol),
        (vec![root(), file("a/b", 0o644)], protocol),
        (vec![root(), file("a", 0o644), file("a", 0o644)], protocol),
        (vec![root(), directory("a"), directory("a")], protocol),
        (vec![root(), hard("a", "b")], protocol),
        (vec![root(), link("l", "/etc/passwd"), hard("a", "l")], protocol),
        (vec![root(), file("../x", 0o644)], ErrorKind::UnsafePath),
        (vec![root(), file("/x", 0o644)], ErrorKind::UnsafePath),
        (vec![root(), directory("d"), hard("d/a", "../../etc/passwd")], ErrorKind::UnsafePath),
        (vec![root(), link("l", "/tmp"), file("l/x", 0o644)], ErrorKind::UnsafePath),
        (vec![root(), directory("d"), link("d/l", ".."), file("d/l/x", 0o644)], ErrorKind::UnsafePath),
    ] {
        let error = refused(&stream(&entries), MIB);
        assert_eq!(error.kind(), kind, "{entries:?}: {error}");
    }
    assert_eq!(refused(b"\xff\xff\xff\xff", MIB).kind(), protocol);
}

#[test]
fn a_stream_that_breaks_off_leaves_nothing() {
    let mut closed = directory("closed");
    closed.mode = 0;
    let whole = stream(&[directory(""), closed, file("closed/x", 0o400), link("l", "/")]);
    for cut in 0..whole.len() {
        let (place, output) = place();
        let error = unpack(&whole[..cut], &output, false, MIB).unwrap_err();
        assert!(matches!(error, ReadError::Stream(_)), "{cut}: {error:?}");
        assert_untouched(&place, &[]);
    }
}

#[test]
fn content_without_end_is_refused() {
    let mut writer = TreeWriter::new(Vec::new());
    writer.record(&Record::Entry(file("", 0o644))).unwrap();
    for _ in 0..3 {
        writer.piece(&vec![0; 512 * 1024]).unwrap();
    }
    let error = refused(&writer.finish().unwrap_or_default(), MIB);
    assert_eq!(error.kind(), ErrorKind::WrongState);
    assert!(error.message().contains("1 MiB"));
}

#[test]
fn a_disk_without_room_is_said_so() {
    let full = io::Error::from_raw_os_error(28);
    let error = failed(b"a", &full);
    assert_eq!(error.kind(), ErrorKind::DiskFull);
}

#[test]
fn force_replaces_only_the_same_kind() {
    let new = stream(&[directory(""), file("new", 0o644)]);
    let (place, output) = place();
    fs::create_dir_all(output.join("old/closed")).unwrap();
    fs::write(output.join("old/closed/x"), "x").unwrap();
    fs::set_permissions(output.join("old/closed"), fs::Permissions::from_mode(0o500)).unwrap();
    assert_eq!(check_output(&output, false).unwrap_err().kind(), ErrorKind::AlreadyExists);
    check_output(&output, true).unwrap();
    let error: Error = unpack(&stream(&[file("", 0o644)])[..], &output, true, MIB).unwrap_err().into();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert!(output.join("old/closed/x").exists());
    unpack(&new[..], &output, true, MIB).unwrap();
    assert_eq!(fs::read(output.join("new")).unwrap(), b"new");
    assert!(!output.join("old").exists());
    assert_untouched(&place, &["out"]);
    // A link to a directory is a link.
    let link_output = place.path().join("link");
    symlink(&output, &link_output).unwrap();
    let error: Error = unpack(&new[..], &link_output, true, MIB).unwrap_err().into();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    unpack(&stream(&[file("", 0o600)])[..], &link_output, true, MIB).unwrap();
    assert!(link_output.symlink_metadata().unwrap().is_file());
    assert_untouched(&place, &["link", "out"]);
}

#[test]
fn outputs_that_would_be_a_disaster_are_refused() {
    let here = std::env::current_dir().unwrap();
    let home = std::env::home_dir().unwrap();
    for output in [Path::new("/"), Path::new("."), Path::new(".."), &here, here.parent().unwrap(), &home] {
        for force in [false, true] {
            let error = check_output(output, force).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnsafePath, "{}: {error}", output.display());
        }
    }
    let (place, output) = place();
    let error = check_output(&output.join("x"), true).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(check_output(&place.path().join(".."), true).is_err());
    check_output(&output, false).unwrap();
}

#[test]
fn modes_do_not_hinder_an_owner_who_is_not_root() {
    let (place, output) = place();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let closed = |path: &str| entry(path, EntryKind::Directory, 0o555);
    let tree = [closed(""), closed("a"), closed("a/b"), file("a/b/c", 0o400), closed("z")];
    let bytes = stream(&tree);
    std::thread::spawn(move || {
        if rustix::process::geteuid().is_root() {
            rustix::thread::set_thread_uid(rustix::process::Uid::from_raw(65534)).unwrap();
        }
        unpack(&bytes[..], &output, false, MIB).unwrap();
        assert_eq!(output.join("a/b").metadata().unwrap().mode() & 0o777, 0o555);
        unpack(&bytes[..], &output, true, MIB).unwrap(); // deletes the old one
        let short = &bytes[..bytes.len() - 1];
        unpack(short, &output.with_extension("2"), true, MIB).unwrap_err();
    })
    .join()
    .unwrap();
    assert_untouched(&place, &["out"]);
    for closed in ["out", "out/a", "out/a/b", "out/z"] {
        fs::set_permissions(place.path().join(closed), fs::Permissions::from_mode(0o755)).unwrap();
    }
}

#[test]
fn deep_trees_need_few_descriptors() {
    let mut entries = vec![directory("")];
    let mut path = String::new();
    for _ in 0..1200 {
        path.push_str(if path.is_empty() { "d" } else { "/d" });
        entries.push(directory(&path));
    }
    entries.push(file(&format!("{path}/x"), 0o644));
    let (place, output) = place();
    let unpacked = unpack(&stream(&entries)[..], &output, false, MIB).unwrap();
    assert_eq!(unpacked.entry_count, 1201);
    unpack(&stream(&[directory("")])[..], &output, true, MIB).unwrap(); // deletes it again
    assert_untouched(&place, &["out"]);
}
