use super::*;
use pyro_protocol::tree::TreeWriter;

type Side<'a> = Option<(NodeKind, u32, Option<&'a [u8]>)>;

fn file(mode: u32, content: &[u8]) -> Side<'_> {
    Some((NodeKind::File { size: content.len() as u64 }, mode, Some(content)))
}

fn binary<'a>() -> Side<'a> {
    Some((NodeKind::File { size: 9 }, 0o644, None))
}

fn directory<'a>(mode: u32) -> Side<'a> {
    Some((NodeKind::Directory, mode, None))
}

fn link<'a>(target: &str) -> Side<'a> {
    Some((NodeKind::Symlink { target: target.into() }, 0o777, None))
}

fn stream(changes: &[(&[u8], Side, Side)]) -> Vec<u8> {
    let mut writer = TreeWriter::new(Vec::new());
    for (path, before, after) in changes {
        let node = |side: &Side| {
            side.as_ref().map(|(kind, mode, content)| Node {
                kind: kind.clone(),
                mode: *mode,
                content: content.is_some(),
            })
        };
        let change = Change { path: path.to_vec(), before: node(before), after: node(after) };
        writer.record(&Record::Change(change)).unwrap();
        for side in [before, after].into_iter().flatten() {
            if let Some(content) = side.2 {
                writer.piece(content).unwrap();
                writer.end_of_content().unwrap();
            }
        }
    }
    writer.finish().unwrap()
}

fn diff(changes: &[(&[u8], Side, Side)]) -> WorkspaceDiff {
    read_diff(&stream(changes)[..], 1000).unwrap()
}

fn refused(bytes: &[u8]) -> Error {
    read_diff(bytes, 10).unwrap_err().into()
}

#[test]
fn an_unchanged_workspace_has_an_empty_diff() {
    let json = serde_json::to_value(diff(&[])).unwrap();
    let wanted = serde_json::json!({
        "changed": false, "entries": [], "patch": "",
        "summary": {"total": 0, "added": 0, "modified": 0, "deleted": 0, "type_changed": 0, "text_patched": 0,
                    "non_text": 0},
    });
    assert_eq!(json, wanted);
}

#[test]
fn every_kind_of_change_is_counted_as_what_it_is() {
    let other = Some((NodeKind::Other, 0o644, None));
    let diff = diff(&[
        (b"z", None, file(0o644, b"new\n")),
        (b"a", file(0o644, b"old\n"), None),
        (b"mode", file(0o644, b"x"), file(0o600, b"x")),
        (b"exec", file(0o644, b"x"), file(0o755, b"x")),
        (b"nul", None, file(0o644, b"x\0")),
        (b"big", binary(), binary()),
        (b"mixed", binary(), file(0o644, b"x")),
        (b"dir", None, directory(0o755)),
        (b"dirmode", directory(0o755), directory(0o700)),
        (b"link", link("a"), link("b")),
        (b"swap", link("a"), file(0o644, b"a")),
        (b"todir", file(0o644, b"a"), directory(0o755)),
        (b"socket", None, other),
        (b".git/HEAD", file(0o644, b"a"), file(0o644, b"b")),
    ]);
    let row = |entry: &DiffEntry| {
        let status = serde_json::to_string(&entry.status).unwrap();
        let kind = serde_json::to_string(&entry.artifact_type).unwrap();
        format!("{} {status} {kind} {}", entry.path, entry.text_patch.is_some()).replace('"', "")
    };
    let rows: Vec<String> = diff.entries.iter().map(row).collect();
    let wanted = [
        ".git/HEAD modified file false",
        "a deleted file true",
        "big modified file false",
        "dir added directory false",
        "dirmode modified directory false",
        "exec modified file true",
        "link modified symlink true",
        "mixed modified file false",
        "mode modified file false",
        "nul added file false",
        "socket added other false",
        "swap type_changed file true",
        "todir type_changed directory true",
        "z added file true",
    ];
    assert_eq!(rows, wanted);
    let summary = DiffSummary {
        total: 14,
        added: 4,
        modified: 7,
        deleted: 1,
        type_changed: 2,
        text_patched: 6,
        non_text: 5,
    };
    assert_eq!(diff.summary, summary);
    let patches: String = diff.entries.iter().filter_map(|entry| entry.text_patch.clone()).collect();
    assert_eq!(diff.patch, patches);
    assert_eq!(diff.patch_bytes(), patches.as_bytes());
}

#[test]
fn bytes_that_are_not_text_survive_in_the_patch() {
    let diff = diff(&[(b"\xff", None, file(0o644, b"\xe4\n"))]);
    assert_eq!(diff.entries[0].path, "\u{fffd}");
    assert!(diff.patch.contains("+\u{fffd}\n"));
    assert!(diff.patch_bytes().ends_with(b"+\xe4\n"));
}

#[test]
fn hostile_diffs_are_refused() {
    let small = file(0o644, b"x");
    let with_content = Some((NodeKind::Directory, 0o755, Some(&b"x"[..])));
    for changes in [
        vec![(&b"a"[..], None, None)],
        vec![(b"a", None, small.clone()), (b"b", None, small.clone()), (b"a", small.clone(), None)],
        vec![(b"a", None, file(0o644, b"longer than ten"))],
        vec![(b"a", None, with_content)],
        vec![(b"a", None, link(""))],
        vec![(b"a", None, link("a\0"))],
    ] {
        assert_eq!(refused(&stream(&changes)).kind(), ErrorKind::GuestUnreachable, "{changes:?}");
    }
    for path in [&b"../a"[..], b"/a", b"a/./b", b""] {
        assert_eq!(refused(&stream(&[(path, None, small.clone())])).kind(), ErrorKind::UnsafePath);
    }
    let whole = stream(&[(b"a", small.clone(), small)]);
    for cut in 0..whole.len() {
        assert!(matches!(read_diff(&whole[..cut], 10), Err(ReadError::Stream(_))), "{cut}");
    }
}

#[test]
fn what_a_diff_holds_is_counted_with_its_copies() {
    let found = |patch: &[u8]| Found {
        path: b"ab".to_vec(),
        status: DiffStatus::Added,
        artifact_type: ArtifactType::File,
        patch: Patch::text(patch.to_vec()),
    };
    let mut held = Held::default();
    held.add(&found(b"text"));
    assert_eq!(held.bytes(), 2 + 2 * 4);
    held.add(&found(b"\xff"));
    assert_eq!(held.bytes(), 2 * 2 + 2 * (4 + 3) + 4 + 1);
}

#[test]
fn more_than_can_be_held_is_refused() {
    let line = [b'a'; 999];
    let content = [&line[..], b"\n"].concat().repeat(2000);
    let names: Vec<String> = (0..20).map(|number| number.to_string()).collect();
    let changes = |count: usize| -> Vec<u8> {
        let changes: Vec<_> =
            names[..count].iter().map(|name| (name.as_bytes(), None, file(0o644, &content))).collect();
        stream(&changes)
    };
    assert!(read_diff(&changes(16)[..], 2_000_000).is_ok());
    let refused = Error::from(read_diff(&changes(17)[..], 2_000_000).unwrap_err());
    assert_eq!(refused.kind(), ErrorKind::WrongState);
}
