use super::super::tests::{instance, record};
use super::*;
use std::path::Path;

/// A service whose log has lost its beginning, and something in the middle.
fn service(folder: &Path, state: ServiceState) -> (Instance, ServiceName) {
    let instance = instance(folder);
    instance.services().write(&record("web", state)).unwrap();
    let segment = |name: &str, text: &[u8]| {
        std::fs::write(folder.join("services/web").join(name), text).unwrap();
    };
    segment("stdout.00000000000000000010", b"one\ntwo\n");
    segment("stdout.00000000000000000018", b"three\n");
    segment("stdout.00000000000000000030", b"four\nfive");
    segment("stderr.00000000000000000000", b"\xff\n");
    (instance, ServiceName::parse("web").unwrap())
}

fn end(text: &str, truncated: bool, dropped_bytes: u64) -> End {
    End { text: text.into(), truncated, dropped_bytes }
}

#[test]
fn the_end_of_a_log_says_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let (instance, name) = service(folder.path(), ServiceState::Running);
    let log = |channel| instance.services().log(&name, channel);
    let stdout = |lines| End::of(&log(OutputChannel::Stdout), lines).unwrap();
    assert_eq!(stdout(None), end("one\ntwo\nthree\nfour\nfive", true, 16));
    assert_eq!(stdout(Some(3)), end("three\nfour\nfive", true, 16));
    assert_eq!(stdout(Some(1)), end("five", true, 16));
    assert_eq!(stdout(Some(0)), end("", true, 16));
    let stderr = |lines| End::of(&log(OutputChannel::Stderr), lines).unwrap();
    assert_eq!(stderr(None), end("\u{fffd}\n", false, 0));
    assert_eq!(stderr(Some(1)), end("\u{fffd}\n", false, 0));
    assert_eq!(stderr(Some(0)), end("", true, 0));
    let none = instance.services().log(&ServiceName::parse("other").unwrap(), OutputChannel::Stdout);
    assert_eq!(End::of(&none, None).unwrap(), end("", false, 0));
}

#[test]
fn a_log_is_given_up_to_a_limit() {
    let folder = tempfile::tempdir().unwrap();
    let (instance, name) = (instance(folder.path()), ServiceName::parse("web").unwrap());
    let log = instance.services().log(&name, OutputChannel::Stdout);
    let mut writer = log.writer(crate::instance::SERVICE_LOG_BYTES).unwrap();
    let line = [[b'x'; 1023].as_slice(), b"\n"].concat();
    for _ in 0..9 * 1024 {
        writer.append(&line).unwrap();
    }
    let all = End::of(&log, None).unwrap();
    assert_eq!((all.text.len(), all.truncated, all.dropped_bytes), (CAPTURE_BYTES, true, 0));
    let some = End::of(&log, Some(3)).unwrap();
    assert_eq!((some.text.len(), some.truncated), (3 * 1024, true));
}

async fn told(teller: &mut Teller, and_end: bool) -> Vec<String> {
    let (events, mut received) = mpsc::channel(100);
    if and_end {
        teller.tell_all(&events).await.unwrap();
    } else {
        teller.tell(&events).await.unwrap();
    }
    drop(events);
    let mut told = Vec::new();
    while let Some(event) = received.recv().await {
        told.push(match event {
            ServiceLogEvent::Dropped { channel, n_bytes } => format!("{channel:?} dropped {n_bytes}"),
            ServiceLogEvent::Output { channel, bytes } => {
                format!("{channel:?} {}", String::from_utf8_lossy(&bytes))
            }
            ServiceLogEvent::Ended(status) => status.state.name().to_owned(),
        });
    }
    told
}

#[tokio::test]
async fn each_thing_is_told_once_and_gaps_where_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let (instance, name) = service(folder.path(), ServiceState::Running);
    let log = instance.services().log(&name, OutputChannel::Stdout);
    let mut teller = Teller::new(&instance, true, name, None).unwrap();
    let all = [
        "Stdout dropped 10",
        "Stdout one\ntwo\nthree\n",
        "Stdout dropped 6",
        "Stdout four\nfive",
        "Stderr \u{fffd}\n",
    ];
    assert_eq!(told(&mut teller, false).await, all);
    assert!(told(&mut teller, false).await.is_empty());
    log.writer(1000).unwrap().append(b" and more").unwrap();
    assert_eq!(told(&mut teller, true).await, ["Stdout  and more", "running"]);
    teller.is_owned = false;
    assert_eq!(told(&mut teller, true).await, ["failed"]);
}

#[tokio::test]
async fn the_last_lines_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let (instance, name) = service(folder.path(), ServiceState::Exited);
    let mut teller = Teller::new(&instance, false, name, Some(3)).unwrap();
    let all = ["Stdout three\n", "Stdout dropped 6", "Stdout four\nfive", "Stderr \u{fffd}\n", "exited"];
    assert_eq!(told(&mut teller, true).await, all);
}
