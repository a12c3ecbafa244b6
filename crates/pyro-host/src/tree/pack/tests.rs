//! Directories, and one archive for each refusal.

use super::*;
use flate2::Compression;
use flate2::write::GzEncoder;
use pyro_protocol::tree::{EntryKind, TreeReader};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use tar::{Builder, EntryType, Header};

const MIB: u64 = 1024 * 1024;

/// Packs, and gives the stream in any case.
fn packed(path: &Path, limit_bytes: u64) -> (std::result::Result<Packed, PackError>, Vec<u8>) {
    let mut stream = Vec::new();
    let source = match TreeSource::open(path) {
        Ok(source) => source,
        Err(error) => return (Err(error.into()), stream),
    };
    let packed = pack(source, "/workspace", limit_bytes, &mut stream, &mut |_, _| {});
    (packed, stream)
}

/// The entries of a whole stream, with the content of files.
fn entries(stream: &[u8]) -> Vec<(Entry, Vec<u8>)> {
    let mut reader = TreeReader::new(stream);
    let mut entries = Vec::new();
    while let Record::Entry(entry) = reader.record().unwrap() {
        let mut content = Vec::new();
        if matches!(entry.kind, EntryKind::File { .. }) {
            while let Some(piece) = reader.piece().unwrap() {
                content.extend_from_slice(piece);
            }
        }
        entries.push((entry, content));
    }
    entries
}

fn names(stream: &[u8]) -> Vec<String> {
    entries(stream).iter().map(|(entry, _)| String::from_utf8_lossy(&entry.path).into_owned()).collect()
}

fn refusal(path: &Path) -> Error {
    let (result, stream) = packed(path, MIB);
    let Err(PackError::Source(error)) = result else { panic!("{result:?}") };
    let mut reader = TreeReader::new(&stream[..]);
    while let Ok(record) = reader.record() {
        assert!(record != Record::End, "the guest would take it for whole");
        if matches!(record, Record::Entry(Entry { kind: EntryKind::File { .. }, .. })) {
            while let Ok(Some(_)) = reader.piece() {}
        }
    }
    error
}

struct Scratch(tempfile::TempDir);

impl Scratch {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }
}

/// A member as it stands in an archive, whatever its name is.
fn raw(name: &[u8], kind: EntryType, link: &[u8], content: &[u8]) -> Vec<u8> {
    let mut header = Header::new_gnu();
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.as_old_mut().linkname[..link.len()].copy_from_slice(link);
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_mtime(5);
    header.set_size(content.len() as u64);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn archive(members: &[Vec<u8>]) -> Vec<u8> {
    [members.concat(), vec![0; 1024]].concat()
}

fn file(name: &str, content: &[u8]) -> Vec<u8> {
    raw(name.as_bytes(), EntryType::Regular, b"", content)
}

fn pax(records: &[(&str, &[u8])]) -> Vec<u8> {
    let mut content = Vec::new();
    for (key, value) in records {
        let rest = key.len() + value.len() + 3;
        let mut length = rest;
        while rest + length.to_string().len() != length {
            length = rest + length.to_string().len();
        }
        content.extend_from_slice(format!("{length} {key}=").as_bytes());
        content.extend_from_slice(value);
        content.push(b'\n');
    }
    raw(b"pax", EntryType::XHeader, b"", &content)
}

#[test]
fn hostile_archives_are_refused_by_name() {
    use EntryType as T;
    use ErrorKind::{InvalidArgument, UnsafePath};
    let x = || file("x", b"");
    let cases: Vec<(Vec<Vec<u8>>, ErrorKind, &str)> = vec![
        (vec![x(), file("/etc/passwd", b"")], UnsafePath, "`/etc/passwd`"),
        (vec![x(), file(".//etc", b"")], UnsafePath, "`/etc`"),
        (vec![x(), file("../up", b"")], UnsafePath, "`../up`"),
        (vec![x(), file("./../up", b"")], UnsafePath, "`../up`"),
        (vec![x(), file("a/../b", b"")], UnsafePath, "`a/../b`"),
        (vec![x(), file("a//b", b"")], InvalidArgument, "`a//b`"),
        (vec![raw(b"l", T::Symlink, b"/etc", b"")], UnsafePath, "`l`"),
        (vec![raw(b"d/l", T::Symlink, b"../../x", b"")], UnsafePath, "`d/l`"),
        (vec![raw(b"l", T::Symlink, b".", b""), file("l/x", b"")], UnsafePath, "`l/x`"),
        (vec![raw(b"h", T::Link, b"../x", b"")], UnsafePath, "`h`"),
        (vec![raw(b"h", T::Link, b"/etc/shadow", b"")], UnsafePath, "`h`"),
        (vec![raw(b"h", T::Link, b"x", b""), x()], InvalidArgument, "`h`"),
        (vec![raw(b"dev", T::Char, b"", b"")], InvalidArgument, "`dev`"),
        (vec![raw(b"disk", T::Block, b"", b"")], InvalidArgument, "`disk`"),
        (vec![raw(b"fifo", T::Fifo, b"", b"")], InvalidArgument, "`fifo`"),
        (vec![raw(b"label", T::new(b'V'), b"", b"")], InvalidArgument, "`label`"),
        (vec![x(), x()], InvalidArgument, "`x`"),
        (vec![x(), file("./x", b"")], InvalidArgument, "`x`"),
        (vec![x(), raw(b"x/", T::Directory, b"", b"")], InvalidArgument, "`x`"),
        (vec![x(), file("x/y", b"")], InvalidArgument, "`x/y`"),
        (vec![raw(b"d", T::Directory, b"", b"content")], InvalidArgument, "`d`"),
        (vec![raw(b"", T::Regular, b"", b"")], InvalidArgument, "``"),
        (vec![pax(&[("path", b"../p")]), x()], UnsafePath, "`../p`"),
        (vec![pax(&[("path", b"a\0b")]), x()], InvalidArgument, "`a\\u{0}b`"),
        (vec![raw(b"L", T::GNULongName, b"", b"/abs\0"), x()], UnsafePath, "`/abs`"),
        (
            vec![raw(b"K", T::GNULongLink, b"", b"../o\0"), raw(b"s", T::Symlink, b".", b"")],
            UnsafePath,
            "`s`",
        ),
    ];
    let scratch = Scratch::new();
    for (members, kind, name) in cases {
        let path = scratch.file("hostile.tar", &archive(&members));
        let error = refusal(&path);
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.message().contains(name) && error.message().contains("hostile.tar"), "{name}: {error}");
    }
}

#[test]
fn damaged_archives_are_refused() {
    let scratch = Scratch::new();
    let whole = archive(&[file("a", &[7; 1000]), file("b", b"x")]);
    let cut_header = pax(&[("path", b"a")]);
    let mut wrong_sum = whole.clone();
    wrong_sum[0] = b'z';
    let mut huge = file("a", b"");
    huge[124..136].copy_from_slice(&[0xff; 12]);
    let cases: Vec<Vec<u8>> = vec![
        vec![],
        b"no archive".to_vec(),
        vec![b'x'; 2000],
        wrong_sum,
        huge,
        archive(std::slice::from_ref(&cut_header)),
        archive(&[cut_header.clone(), cut_header, file("a", b"")]),
        archive(&[raw(b"p", EntryType::XHeader, b"", b"99 path=a\n"), file("a", b"")]),
        archive(&[pax(&[("GNU.sparse.major", b"1")]), file("a", b"")]),
        archive(&[raw(b"L", EntryType::GNULongName, b"", &vec![b'a'; 2 << 20]), file("a", b"")]),
        [whole.clone(), vec![b'g'; 512]].concat(),
        [whole.clone(), vec![0; 65 << 20]].concat(),
    ];
    for case in &cases {
        let path = scratch.file("bad.tar", case);
        let error = refusal(&path);
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{:?}", error.chain());
        assert!(error.message().contains("bad.tar"), "{error}");
    }
    let end = whole.len() - 1024;
    for cut in [1, 511, 512, 513, 1024, 1536, 2048, end - 1, end] {
        let path = scratch.file("cut.tar", &whole[..cut]);
        assert!(refusal(&path).message().contains("cut off"), "{cut}");
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

#[test]
fn compressed_archives_are_read_in_all_their_parts() {
    let scratch = Scratch::new();
    let whole = archive(&[file("a", &[7; 100_000]), file("b", b"x")]);
    let (left, right) = whole.split_at(700);
    let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"abc"].concat();
    for (name, bytes) in [
        ("x.tar", whole.clone()),
        ("x.TAR", gzip(&whole)),
        ("x.tgz", gzip(&whole)),
        ("x.tar.gz", [gzip(left), gzip(right)].concat()),
        ("x.tar.zst", [zstd(left), skippable.clone(), zstd(right)].concat()),
        ("y.tar", [skippable, zstd(&whole)].concat()),
        ("unnamed", whole.clone()),
    ] {
        let path = scratch.file(name, &bytes);
        let (result, stream) = packed(&path, MIB);
        assert_eq!(result.unwrap(), Packed { entry_count: 2, bytes_written: 100_001 }, "{name}");
        assert_eq!(entries(&stream)[0].1, vec![7; 100_000]);
    }
    for (name, bytes) in [("g.tgz", gzip(&whole)), ("z.tar.zst", zstd(&whole))] {
        for cut in [5, bytes.len() / 2, bytes.len() - 2] {
            let error = refusal(&scratch.file(name, &bytes[..cut]));
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{name} {cut}");
        }
        let mut flipped = bytes.clone();
        let last = flipped.len() - 3; // in the checksum
        flipped[last] ^= 1;
        assert_eq!(refusal(&scratch.file(name, &flipped)).kind(), ErrorKind::InvalidArgument, "{name}");
    }
}

#[test]
fn the_forms_of_tar_are_understood() {
    let long = ["long"; 60].join("/");
    let mut sparse = raw(b"sparse", EntryType::GNUSparse, b"", b"data");
    let mut header = Header::from_byte_slice(&sparse[..512]).clone();
    let gnu = header.as_gnu_mut().unwrap();
    gnu.sparse[0].set_offset(1000);
    gnu.sparse[0].set_length(4);
    gnu.set_real_size(2000);
    header.set_cksum();
    sparse[..512].copy_from_slice(header.as_bytes());
    let members = [
        raw(b"./", EntryType::Directory, b"", b""),
        raw(b"g", EntryType::XGlobalHeader, b"", b"12 path=zzz\n"),
        raw(b"./d/", EntryType::Directory, b"", b""),
        pax(&[("SCHILY.xattr.x", b"\n\n9 path=q\n"), ("path", "ü\nx".as_bytes()), ("mtime", b"-1.25")]),
        file("short", b"1"),
        raw(b"L", EntryType::GNULongName, b"", long.as_bytes()),
        file("short", b"22"),
        sparse,
        raw(b"./d/h", EntryType::Link, b"./sparse", b""),
        raw(b"old/", EntryType::Regular, b"", b""),
        raw(b"d/l", EntryType::Symlink, b"../sparse", b""),
        file("last", b"333"),
    ];
    let scratch = Scratch::new();
    let (result, stream) = packed(&scratch.file("x.tar", &archive(&members)), MIB);
    assert_eq!(result.unwrap().entry_count, 8);
    let long = format!("{long}|");
    assert_eq!(names(&stream).join("|") + "|", format!("d|ü\nx|{long}sparse|d/h|old|d/l|last|"));
    let entries = entries(&stream);
    assert_eq!((entries[1].0.mtime_seconds, entries[1].0.mtime_nanos), (-2, 750_000_000));
    assert_eq!(entries[3].1, [vec![0; 1000], b"data".to_vec(), vec![0; 996]].concat());
    assert_eq!(entries[4].0.kind, EntryKind::HardLink { target: b"sparse".to_vec() });
    assert_eq!(entries[5].0.kind, EntryKind::Directory);
}

#[test]
fn a_bomb_is_refused_with_the_size_of_the_disk() {
    let scratch = Scratch::new();
    let mut builder = Builder::new(GzEncoder::new(Vec::new(), Compression::best()));
    for name in ["a", "b", "c"] {
        let mut header = Header::new_gnu();
        header.set_size(MIB / 2);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, io::repeat(0).take(MIB / 2)).unwrap();
    }
    let bytes = builder.into_inner().unwrap().finish().unwrap();
    let error = refusal(&scratch.file("bomb.tgz", &bytes));
    assert_eq!(error.kind(), ErrorKind::DiskFull);
    assert!(error.message().contains("1 MiB") && error.hint().unwrap().contains("--disk-mib"), "{error}");
}

#[test]
fn what_is_no_source_is_refused() {
    let scratch = Scratch::new();
    let refused = |path: &Path| TreeSource::open(path).unwrap_err();
    assert_eq!(refused(&scratch.0.path().join("missing")).kind(), ErrorKind::NotFound);
    let text = scratch.file("notes.zip", b"PK");
    let gzipped_text = scratch.file("notes.gz", &gzip(b"hello"));
    let fifo = scratch.0.path().join("fifo.tar");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    for path in [&text, &gzipped_text, &fifo] {
        let error = refused(path);
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.hint().unwrap().contains(".tar.zst"));
    }
    assert_eq!(TreeSource::open(scratch.0.path()).unwrap().mode(), "directory");
    let tar = scratch.file("x.tar", &archive(&[]));
    assert_eq!(TreeSource::open(&tar).unwrap().mode(), "tar_archive");
    assert_eq!(packed(&tar, 0).0.unwrap(), Packed::default());
}

#[test]
fn a_directory_is_sent_in_order_with_all_that_it_has() {
    let scratch = Scratch::new();
    let root = scratch.0.path().join("root");
    fs::create_dir_all(root.join("b/empty")).unwrap();
    fs::create_dir(root.join(".git")).unwrap();
    fs::write(root.join(".git/HEAD"), "ref").unwrap();
    fs::write(root.join("b/run"), "#!").unwrap();
    fs::set_permissions(root.join("b/run"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::hard_link(root.join("b/run"), root.join("z")).unwrap();
    symlink("b/../b/run", root.join("a")).unwrap();
    let named = scratch.0.path().join("named");
    symlink(&root, &named).unwrap();
    let (result, stream) = packed(&named, MIB);
    assert_eq!(result.unwrap(), Packed { entry_count: 7, bytes_written: 5 });
    assert_eq!(names(&stream), [".git", "a", "b", "z", ".git/HEAD", "b/empty", "b/run"]);
    let entries = entries(&stream);
    assert_eq!(entries[6].0.kind, EntryKind::HardLink { target: b"z".to_vec() });
    assert_eq!(entries[3].0.mode, 0o755);
    assert_eq!(packed(&root, MIB).1, stream, "the same each time");
}

#[test]
fn what_a_directory_must_not_have_is_named() {
    let scratch = Scratch::new();
    let root = scratch.0.path().join("root");
    fs::create_dir_all(root.join("d")).unwrap();
    let check = |what: &str, kind: ErrorKind| {
        let error = refusal(&root);
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.message().contains(&format!("`d/{what}`")), "{error}");
        fs::remove_file(root.join("d").join(what)).unwrap();
    };
    symlink("/etc/passwd", root.join("d/link")).unwrap();
    check("link", ErrorKind::UnsafePath);
    rustix::fs::mknodat(rustix::fs::CWD, root.join("d/fifo"), rustix::fs::FileType::Fifo, 0o600.into(), 0)
        .unwrap();
    check("fifo", ErrorKind::InvalidArgument);
    let _listener = std::os::unix::net::UnixListener::bind(root.join("d/socket")).unwrap();
    check("socket", ErrorKind::InvalidArgument);
}

#[test]
fn all_that_is_unreadable_is_named_at_once() {
    let scratch = Scratch::new();
    let root = scratch.0.path().join("root");
    fs::create_dir_all(root.join("closed")).unwrap();
    for number in 0..24 {
        fs::write(root.join(format!("f{number:02}")), "x").unwrap();
        fs::set_permissions(root.join(format!("f{number:02}")), fs::Permissions::from_mode(0o000)).unwrap();
    }
    fs::write(root.join("g"), "x").unwrap();
    fs::set_permissions(root.join("closed"), fs::Permissions::from_mode(0o000)).unwrap();
    fs::set_permissions(scratch.0.path(), fs::Permissions::from_mode(0o755)).unwrap();
    // On a thread of its own that is nobody, for root may read everything.
    let closed = root.join("closed");
    let error = std::thread::spawn(move || {
        if rustix::process::geteuid().is_root() {
            rustix::thread::set_thread_uid(rustix::process::Uid::from_raw(65534)).unwrap();
        }
        refusal(&root)
    })
    .join()
    .unwrap();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    let message = error.message();
    assert!(
        message.contains("`f00`") && message.contains("`f19`") && message.contains("and 5 more"),
        "{message}"
    );
    assert!(!message.contains("`g`"), "{message}");
    fs::set_permissions(closed, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_guest_that_takes_no_more_is_told_from_a_bad_source() {
    struct Broken;
    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let scratch = Scratch::new();
    scratch.file("x", b"1");
    let source = TreeSource::open(scratch.0.path()).unwrap();
    let result = pack(source, "/workspace", MIB, Broken, &mut |_, _| {});
    assert!(matches!(result, Err(PackError::Sink(error)) if error.kind() == io::ErrorKind::BrokenPipe));
}
