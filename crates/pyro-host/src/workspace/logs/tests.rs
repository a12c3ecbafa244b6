use super::*;
use crate::instance::{Instance, InstanceId, InstanceKind};
use std::fs;
use std::path::Path;

fn entries(folder: &Path) -> Entries {
    let id = InstanceId::fresh(InstanceKind::Workspace).unwrap();
    let instance = Instance { kind: InstanceKind::Workspace, id, folder: folder.to_owned() };
    Entries { history: instance.history(), is_owned: false, execution_mode: ExecutionMode::Guest }
}

fn run(entries: &Entries, sequence: u64, output: &[u8]) {
    let entry = HistoryEntry {
        command: Command::Argv(vec!["true".into()]),
        error: None,
        ..entries.damaged(sequence, &Error::new(ErrorKind::Io, "none"))
    };
    let mut recording = entries.history.begin(entry).unwrap();
    recording.output(OutputChannel::Stdout, output).unwrap();
    recording.entry.exit_code = Some(0);
    recording.end().unwrap();
}

/// Three commands: the second without its entry, the third without its output.
fn damaged(folder: &Path) -> Entries {
    let entries = entries(folder);
    for sequence in 1..=3 {
        run(&entries, sequence, b"out");
    }
    fs::write(folder.join("history/000002.json"), "{\"sequence\":").unwrap();
    fs::remove_file(folder.join("history/000003.stdout")).unwrap();
    entries
}

#[test]
fn one_damaged_command_does_not_hide_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let all = damaged(folder.path()).all(ALL_BYTES).unwrap();
    assert_eq!(all.iter().map(|entry| entry.sequence).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!((&all[0].stdout[..], all[0].exit_code, &all[0].error), ("out", Some(0), &None));
    assert_eq!((&all[1].command, &all[1].stdout[..]), (&Command::Argv(Vec::new()), "out"));
    assert!(all[1].error.as_ref().unwrap().contains("000002.json"), "{:?}", all[1].error);
    assert_eq!((all[2].exit_code, all[2].truncated), (Some(0), true));
    assert!(all[2].error.as_ref().unwrap().contains("000003.stdout"), "{:?}", all[2].error);
}

#[test]
fn the_newest_commands_keep_their_output() {
    let folder = tempfile::tempdir().unwrap();
    let entries = entries(folder.path());
    for sequence in 1..=4 {
        run(&entries, sequence, b"12345");
    }
    let all = entries.all(12).unwrap();
    let shown: Vec<_> = all.iter().map(|entry| (&entry.stdout[..], entry.truncated)).collect();
    assert_eq!(shown, [("", true), ("12", true), ("12345", false), ("12345", false)]);
}

#[tokio::test]
async fn a_damaged_command_is_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut teller = Teller { entries: damaged(folder.path()), told: BTreeMap::new(), only: None };
    let (events, mut received) = mpsc::channel(100);
    teller.tell(&events).await.unwrap();
    teller.tell(&events).await.unwrap();
    drop(events);
    let mut ended = Vec::new();
    while let Some(event) = received.recv().await {
        if let LogEvent::Ended(entry) = event {
            ended.push((entry.sequence, entry.error.is_some()));
        }
    }
    assert_eq!(ended, [(1, false), (2, true), (3, true)]);
}
