use super::attachment::Shown;
use super::read::read;
use super::*;
use crate::instance::{InstanceId, InstanceKind, OutputLog};
use crate::terminal;
use pyro_protocol::exec::WindowSize;
use std::path::Path;

const SIZE: WindowSize = WindowSize { cols: 20, rows: 4 };

fn instance(folder: &Path) -> Instance {
    let id = InstanceId::fresh(InstanceKind::Workspace).unwrap();
    Instance { kind: InstanceKind::Workspace, id, folder: folder.to_owned() }
}

fn record(started_at: f64) -> ShellRecord {
    ShellRecord {
        shell_id: ShellId::fresh().unwrap(),
        cwd: "/workspace".into(),
        cols: SIZE.cols,
        rows: SIZE.rows,
        state: ShellState::Running,
        started_at,
        ended_at: None,
        exit_code: None,
        failure: None,
    }
}

/// A shell that has shown this, at these positions.
fn shell(folder: &Path, shown: &[(u64, &str)]) -> (ShellRecord, OutputLog) {
    let (instance, record) = (instance(folder), record(1.0));
    instance.shells().write(&record).unwrap();
    for (position, text) in shown {
        let path = folder.join(format!("shells/{}/output.{position:020}", record.shell_id));
        std::fs::write(path, text).unwrap();
    }
    let log = instance.shells().log(&record.shell_id);
    (record, log)
}

fn spec(cursor: u64, max_chars: u64) -> ReadSpec {
    ReadSpec { cursor, max_chars, plain: false, wait_for_idle_ms: None }
}

#[test]
fn the_oldest_come_first_and_damaged_ones_do_not_hide_others() {
    let folder = tempfile::tempdir().unwrap();
    let instance = instance(folder.path());
    let records = [record(3.0), record(1.0), record(2.0)];
    for record in &records {
        instance.shells().write(record).unwrap();
    }
    std::fs::write(folder.path().join(format!("shells/{}/record.json", records[2].shell_id)), "?").unwrap();
    let shells = shells_of(&instance, true);
    let ids: Vec<_> = shells.iter().map(|shell| &shell.shell_id).collect();
    assert_eq!(ids, [&records[2].shell_id, &records[1].shell_id, &records[0].shell_id]);
    let states: Vec<_> = shells.iter().map(|shell| shell.state).collect();
    assert_eq!(states, [ShellState::Failed, ShellState::Running, ShellState::Running]);
    let damaged = shells[0].failure.clone().unwrap();
    assert!(damaged.contains(&format!("{}/record.json", records[2].shell_id)), "{damaged}");
    // Who asks for that one alone gets the same as an error.
    let error = instance.shells().find(records[2].shell_id.as_str(), true).unwrap_err();
    assert_eq!((error.kind(), error.chain().join(": ")), (ErrorKind::Io, damaged));
    assert!(shells_of(&instance, false).iter().all(|shell| shell.state == ShellState::Failed));
}

#[test]
fn a_read_goes_on_where_the_last_one_ended() {
    let folder = tempfile::tempdir().unwrap();
    let (record, log) = shell(folder.path(), &[(100, "größe "), (106, "日本 x"), (120, "end")]);
    let read = |cursor, max_chars| {
        let got = read("ws", record.clone(), &log, &spec(cursor, max_chars), None).unwrap();
        assert_eq!((got.cursor, got.truncated), (cursor, got.dropped_chars > 0));
        (got.output, got.next_cursor, got.dropped_chars)
    };
    assert_eq!(read(0, 4), ("größ".into(), 104, 100));
    assert_eq!(read(104, 4), ("e 日本".into(), 108, 0));
    assert_eq!(read(108, 100), (" x".into(), 110, 0));
    assert_eq!(read(110, 100), ("end".into(), 123, 10));
    assert_eq!(read(123, 100), (String::new(), 123, 0));
    assert_eq!(read(1000, 100), (String::new(), 1000, 0));
}

#[test]
fn plain_text_has_no_half_of_an_escape_sequence() {
    let folder = tempfile::tempdir().unwrap();
    let (record, log) = shell(folder.path(), &[(7, "\x1b[01;34mblue\x1b[0m\r\n")]);
    for (cursor, expected) in
        [(0, "blue\n"), (7, "blue\n"), (10, "blue\n"), (15, "blue\n"), (17, "ue\n"), (20, "\n")]
    {
        let spec = ReadSpec { plain: true, ..spec(cursor, 100) };
        let got = read("ws", record.clone(), &log, &spec, Some(true)).unwrap();
        assert_eq!((&got.output[..], got.next_cursor, got.idle), (expected, 25, Some(true)), "{cursor}");
    }
}

#[test]
fn what_is_out_of_range_is_refused() {
    for wrong in [
        spec(0, 0),
        spec(0, 4_194_305),
        ReadSpec { wait_for_idle_ms: Some(0), ..spec(0, 1) },
        ReadSpec { wait_for_idle_ms: Some(60_001), ..spec(0, 1) },
    ] {
        assert_eq!(wrong.validate().unwrap_err().kind(), ErrorKind::InvalidArgument, "{wrong:?}");
    }
    spec(u64::MAX, 4_194_304).validate().unwrap();
}

#[test]
fn who_comes_sees_the_screen_and_then_what_follows() {
    let folder = tempfile::tempdir().unwrap();
    let (_, log) = shell(folder.path(), &[(0, "one\r\ntwo\r\n$ l")]);
    let mut shown = Shown { log: log.clone(), cursor: 0 };
    assert_eq!(shown.screen(SIZE).unwrap(), terminal::screen("one\r\ntwo\r\n$ l", SIZE));
    assert_eq!(shown.next(SIZE).unwrap(), None);
    log.writer(1000).unwrap().append(b"s\r\n").unwrap();
    assert_eq!(shown.next(SIZE).unwrap().unwrap(), "s\r\n");
    assert_eq!(shown.next(SIZE).unwrap(), None);
}

#[test]
fn who_is_slow_sees_the_screen_again() {
    let folder = tempfile::tempdir().unwrap();
    let (_, log) = shell(folder.path(), &[(50, "one\r\n"), (60, "two\r\n")]);
    let mut shown = Shown { log, cursor: 10 };
    let again = shown.next(SIZE).unwrap().unwrap();
    assert_eq!(again, format!("{}{}", terminal::CLEAR, terminal::screen("one\r\ntwo\r\n", SIZE)));
    assert_eq!((shown.cursor, shown.next(SIZE).unwrap()), (65, None));
}
