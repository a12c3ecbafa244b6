//! A guest that does not keep to the protocol: always a clear error, bounded memory, and nobody hangs.

use crate::guest::{command, within};
use pyro_host::error::{Error, ErrorKind};
use pyro_host::guest::{Connection, ExecEvent, Execution};
use pyro_protocol::PROTOCOL_VERSION;
use pyro_protocol::exec::{Exec, Exited};
use pyro_protocol::frame::{self, Channel, Decoder, Kind};
use pyro_protocol::message::{self, ToGuest, ToHost};
use pyro_protocol::{WINDOW_TO_GUEST, WINDOW_TO_HOST};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// The guest's end, by hand: what it says is the test's business.
struct Liar {
    stream: UnixStream,
    session: u64,
}

/// A connection that has been welcomed, with one running command on stream 1.
async fn running() -> (Connection, Execution, Liar) {
    let (connection, mut liar) = greeted().await;
    let execution = connection.exec(Exec { stdin: true, ..command(&["victim"]) }).unwrap();
    liar.say(1, &ToHost::Started { pid: 7 });
    (connection, execution, liar)
}

async fn greeted() -> (Connection, Liar) {
    let (connection, mut liar) = connected();
    liar.welcome(PROTOCOL_VERSION);
    within(connection.welcome()).await.unwrap();
    (connection, liar)
}

fn connected() -> (Connection, Liar) {
    let (host, mut stream) = UnixStream::pair().unwrap();
    host.set_nonblocking(true).unwrap();
    let connection = Connection::over(tokio::net::UnixStream::from_std(host).unwrap());
    let (mut decoder, mut buffer) = (Decoder::default(), [0; 4096]);
    let n_bytes = stream.read(&mut buffer).unwrap(); // sent by the call above, before any task has run
    decoder.push(&buffer[..n_bytes]);
    let hello = decoder.next().unwrap().unwrap();
    let ToGuest::Hello { session, .. } = message::decode(hello.payload).unwrap() else { panic!("no hello") };
    (connection, Liar { stream, session })
}

impl Liar {
    fn welcome(&mut self, version: u32) {
        let (agent, kernel) = ("0\u{1b}[31m".into(), "k".repeat(5000));
        self.say(0, &ToHost::Welcome { version, session: self.session, agent, kernel });
    }

    fn say(&mut self, stream: u32, message: &ToHost) {
        self.frame(Kind::Message, Channel::Stdin, stream, &message::encode(message).unwrap());
    }

    fn frame(&mut self, kind: Kind, channel: Channel, stream: u32, payload: &[u8]) {
        let mut bytes = Vec::new();
        frame::encode(kind, channel, stream, payload, &mut bytes);
        self.stream.write_all(&bytes).unwrap();
    }
}

fn exited() -> ToHost {
    ToHost::Exited(Exited { code: Some(0), signal: None, elapsed_us: 1, ..Exited::default() })
}

/// Waits for the end of the connection and checks that it says why.
async fn caught(connection: &Connection, why: &str) {
    within(connection.closed()).await;
    check(&connection.failure().unwrap(), why);
}

fn check(error: &Error, why: &str) {
    assert_eq!(error.kind(), ErrorKind::GuestUnreachable);
    assert!(error.message().contains(why), "`{}` does not say `{why}`", error.message());
}

#[tokio::test]
async fn a_length_beyond_the_limit() {
    let (connection, mut execution, mut liar) = running().await;
    liar.stream.write_all(&[2, 1, 0, 0, 1, 0, 0, 0, 1, 0, 1, 0]).unwrap();
    caught(&connection, "claims 65537 bytes").await;
    assert_eq!(within(execution.next()).await.unwrap(), ExecEvent::Started { pid: 7 });
    check(&within(execution.next()).await.unwrap_err(), "claims 65537 bytes");
}

#[tokio::test]
async fn headers_of_no_kind() {
    for (header, why) in [
        ([7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], "unknown kind 7"),
        ([2, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], "unknown channel 9"),
        ([2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0], "reserved"),
        ([3, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0], "Credit frame claims 5"),
        ([4, 1, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0], "End frame claims 1"),
    ] {
        let (connection, mut liar) = greeted().await;
        liar.stream.write_all(&header).unwrap();
        caught(&connection, why).await;
    }
}

#[tokio::test]
async fn messages_that_are_none() {
    let nested = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000));
    for payload in ["", "x", "{}", r#"{"type":"from_the_future"}"#, r#"{"type":"started"}"#, nested.as_str()]
    {
        let (connection, _execution, mut liar) = running().await;
        liar.frame(Kind::Message, Channel::Stdin, 1, payload.as_bytes());
        caught(&connection, "not understood").await;
    }
}

#[tokio::test]
async fn messages_out_of_order() {
    let welcome = ToHost::Welcome {
        version: PROTOCOL_VERSION,
        session: 0,
        agent: String::new(),
        kernel: String::new(),
    };
    for (stream, message, why) in [
        (0, ToHost::Pong, "without a ping"),
        (0, ToHost::Identified, "without being asked"),
        (0, welcome, "does not belong there"),
        (0, exited(), "does not belong there"),
        (1, ToHost::Started { pid: 8 }, "out of order"),
        (1, ToHost::Pong, "out of order"),
        (2, ToHost::Started { pid: 8 }, "not open"),
        (u32::MAX, exited(), "not open"),
    ] {
        let (connection, _execution, mut liar) = running().await;
        liar.say(stream, &message);
        caught(&connection, why).await;
    }
}

#[tokio::test]
async fn an_end_before_the_start_or_twice_or_impossible() {
    let (connection, mut liar) = greeted().await;
    let _execution = connection.exec(command(&["victim"])).unwrap();
    liar.say(1, &exited());
    caught(&connection, "out of order").await;

    let (connection, mut execution, mut liar) = running().await;
    liar.say(1, &exited());
    liar.say(1, &exited());
    caught(&connection, "out of order").await;
    assert_eq!(within(execution.next()).await.unwrap(), ExecEvent::Started { pid: 7 });
    assert!(
        matches!(within(execution.next()).await.unwrap(), ExecEvent::Exited(_)),
        "what was right before counts"
    );

    for (code, signal) in
        [(None, None), (Some(1), Some(1)), (Some(256), None), (Some(-1), None), (None, Some(65))]
    {
        let (connection, _execution, mut liar) = running().await;
        liar.say(1, &ToHost::Exited(Exited { code, signal, ..Exited::default() }));
        caught(&connection, "no possible way").await;
    }
}

#[tokio::test]
async fn bytes_where_none_belong() {
    for (kind, channel, stream, why) in [
        (Kind::Data, Channel::Stdin, 1, "standard input"),
        (Kind::End, Channel::Stdin, 1, "standard input"),
        (Kind::Data, Channel::Stdout, 0, "not open"),
        (Kind::Data, Channel::Stdout, 2, "not open"),
        (Kind::End, Channel::Stderr, 2, "not open"),
    ] {
        let (connection, _execution, mut liar) = running().await;
        liar.frame(kind, channel, stream, b"");
        caught(&connection, why).await;
    }
    let (connection, _execution, mut liar) = running().await;
    liar.frame(Kind::End, Channel::Stdout, 1, b"");
    liar.frame(Kind::Data, Channel::Stdout, 1, b"x");
    caught(&connection, "more output").await;
    let (connection, _execution, mut liar) = running().await;
    liar.say(1, &exited());
    liar.frame(Kind::Data, Channel::Stdout, 1, b"x");
    caught(&connection, "without a running command").await;
}

#[tokio::test]
async fn credit_that_nobody_owes() {
    for (channel, amount, why) in [
        (Channel::Stdin, 1, "never sent"),
        (Channel::Stdin, u32::MAX, "never sent"),
        (Channel::Stdout, 1, "output channel"),
    ] {
        let (connection, _execution, mut liar) = running().await;
        liar.frame(Kind::Credit, channel, 1, &u32::to_le_bytes(amount));
        caught(&connection, why).await;
    }
    let (connection, mut execution, mut liar) = running().await;
    let mut stdin = execution.stdin().unwrap();
    within(stdin.send(&[0; 100])).await.unwrap();
    liar.frame(Kind::Credit, Channel::Stdin, 1, &100_u32.to_le_bytes());
    liar.frame(Kind::Credit, Channel::Stdin, 1, &1_u32.to_le_bytes());
    caught(&connection, "never sent").await;
    check(&within(stdin.send(b"x")).await.unwrap_err(), "never sent");
}

#[tokio::test]
async fn output_beyond_the_window() {
    let (connection, mut execution, mut liar) = running().await;
    let piece = vec![1; frame::MAX_PAYLOAD];
    for _ in 0..WINDOW_TO_HOST as usize / piece.len() {
        liar.frame(Kind::Data, Channel::Stdout, 1, &piece);
        liar.frame(Kind::Data, Channel::Stderr, 1, &piece);
        within(connection_turn()).await;
    }
    liar.frame(Kind::Data, Channel::Stdout, 1, b"x");
    caught(&connection, "credit").await;
    let mut total = 0;
    while let Ok(event) = within(execution.next()).await {
        if let ExecEvent::Stdout(bytes) | ExecEvent::Stderr(bytes) = event {
            total += bytes.len();
        }
    }
    assert_eq!(total, 2 * WINDOW_TO_HOST as usize, "what was allowed is there");
}

/// Lets the pump run, since these tests write from the same thread.
async fn connection_turn() {
    tokio::time::sleep(Duration::ZERO).await;
    tokio::task::yield_now().await;
}

#[tokio::test]
async fn endless_output_ends_when_nobody_reads() {
    let (connection, _execution, liar) = running().await;
    let flood = std::thread::spawn(move || {
        let mut liar = liar;
        let mut bytes = Vec::new();
        frame::encode(Kind::Data, Channel::Stdout, 1, &[0; 10_000], &mut bytes);
        while liar.stream.write_all(&bytes).is_ok() {}
    });
    caught(&connection, "credit").await;
    flood.join().unwrap();
}

#[tokio::test]
async fn endless_nothing_keeps_nobody_from_their_time_limit() {
    for payload in [&b""[..], &0_u32.to_le_bytes()[..]] {
        let (_connection, mut execution, liar) = running().await;
        let mut stream = liar.stream.try_clone().unwrap();
        let (kind, channel) =
            if payload.is_empty() { (Kind::Data, Channel::Stdout) } else { (Kind::Credit, Channel::Stdin) };
        let mut bytes = Vec::new();
        for _ in 0..1000 {
            frame::encode(kind, channel, 1, payload, &mut bytes);
        }
        let flood = std::thread::spawn(move || while stream.write_all(&bytes).is_ok() {});
        assert!(matches!(within(execution.next()).await.unwrap(), ExecEvent::Started { .. }));
        let silence = tokio::time::timeout(Duration::from_millis(100), execution.next()).await;
        assert!(silence.is_err(), "{silence:?}");
        liar.stream.shutdown(std::net::Shutdown::Both).unwrap();
        flood.join().unwrap();
    }
}

#[tokio::test]
async fn a_guest_that_never_reads_is_given_up_not_fed_for_ever() {
    let (connection, mut execution, liar) = running().await;
    let mut stdin = execution.stdin().unwrap();
    let much = vec![0; 4 * WINDOW_TO_GUEST as usize];
    tokio::time::timeout(Duration::from_millis(100), stdin.send(&much))
        .await
        .expect_err("input waits for credit");
    let mut others = Vec::new();
    while connection.failure().is_none() {
        let exec = Exec { argv: vec!["x".repeat(60_000)], ..command(&[]) };
        match connection.exec(exec) {
            Ok(execution) => others.push(execution),
            Err(error) if error.kind() == ErrorKind::WrongState => drop(others.pop()),
            Err(_) => break,
        }
    }
    caught(&connection, "does not take").await;
    drop(liar);
}

#[tokio::test]
async fn silence_is_waited_for_as_long_as_the_caller_likes() {
    let (connection, _liar) = connected();
    tokio::time::timeout(Duration::from_millis(50), connection.welcome()).await.unwrap_err();
    tokio::time::timeout(Duration::from_millis(50), connection.ping()).await.unwrap_err();
    tokio::time::timeout(Duration::from_millis(50), connection.power_off()).await.unwrap_err();
    let mut execution = connection.exec(command(&["true"])).unwrap();
    tokio::time::timeout(Duration::from_millis(50), execution.next()).await.unwrap_err();
}

#[tokio::test]
async fn what_belongs_to_an_earlier_session_is_passed_over() {
    let (connection, mut liar) = connected();
    let old = ToHost::Welcome {
        version: 9,
        session: liar.session ^ 1,
        agent: String::new(),
        kernel: String::new(),
    };
    liar.say(0, &old);
    liar.say(9, &exited());
    liar.frame(Kind::Data, Channel::Stdout, 9, b"old");
    liar.frame(Kind::Message, Channel::Stdin, 0, b"no message");
    liar.welcome(PROTOCOL_VERSION);
    let welcome = within(connection.welcome()).await.unwrap();
    assert_eq!(welcome.agent, "0\u{fffd}[31m", "no terminal is driven by a guest");
    assert_eq!(welcome.kernel.len(), 1000);
}

#[tokio::test]
async fn another_version_is_told_as_that() {
    let (connection, mut liar) = connected();
    liar.welcome(PROTOCOL_VERSION + 1);
    assert_eq!(within(connection.welcome()).await.unwrap_err().kind(), ErrorKind::VersionMismatch);
}

#[tokio::test]
async fn a_refusal_on_the_session_itself_is_the_end() {
    let (connection, mut liar) = greeted().await;
    let failed = ToHost::Failed {
        failure: pyro_protocol::exec::ExecFailure::BadRequest,
        message: "what\u{7}?".into(),
    };
    liar.say(0, &failed);
    caught(&connection, "what\u{fffd}?").await;
}
