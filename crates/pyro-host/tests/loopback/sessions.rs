//! The connection itself: how it begins, what is pipelined, how it ends.

use crate::guest::{Fifo, Guest, LIMIT, serve, shell, within};
use pyro_host::error::ErrorKind;
use pyro_protocol::PROTOCOL_VERSION;
use pyro_protocol::exec::ExecFailure;
use pyro_protocol::frame::{self, Channel, Decoder, Kind};
use pyro_protocol::message::{self, Identity, ToGuest, ToHost};
use pyro_protocol::task::Task;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;

fn identity() -> Identity {
    Identity {
        unix_time_ns: 1_700_000_000_000_000_000,
        entropy: vec![0; 32],
        hostname: "loopback".into(),
        machine_id: "0123456789abcdef0123456789abcdef".into(),
    }
}

/// A host that speaks frames by hand.
struct Raw {
    stream: UnixStream,
    decoder: Decoder,
}

impl Raw {
    fn new(stream: UnixStream) -> Self {
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        Self { stream, decoder: Decoder::default() }
    }

    fn tell(&mut self, stream: u32, message: &ToGuest) {
        let mut bytes = Vec::new();
        let payload = message::encode(message).unwrap();
        frame::encode(Kind::Message, Channel::Stdin, stream, &payload, &mut bytes);
        self.stream.write_all(&bytes).unwrap();
    }

    /// The next message, data left out.
    fn hear(&mut self) -> (u32, ToHost) {
        let mut buffer = [0; 4096];
        loop {
            while let Some(frame) = self.decoder.next().unwrap() {
                if frame.kind == Kind::Message {
                    return (frame.stream, message::decode(frame.payload).unwrap());
                }
            }
            match self.stream.read(&mut buffer) {
                Ok(0) => panic!("the agent hung up"),
                Ok(n_bytes) => self.decoder.push(&buffer[..n_bytes]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {} // a child of an agent here has ended
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn hello(&mut self, session: u64) {
        self.tell(0, &ToGuest::Hello { version: PROTOCOL_VERSION, session });
        assert!(matches!(self.hear(), (0, ToHost::Welcome { session: answer, .. }) if answer == session));
    }
}

#[tokio::test]
async fn the_agent_says_who_it_is() {
    let guest = Guest::start();
    let welcome = within(guest.connection.welcome()).await.unwrap();
    assert_eq!(welcome.agent, env!("CARGO_PKG_VERSION"));
    assert!(!welcome.kernel.is_empty());
    assert_eq!(within(guest.connection.welcome()).await.unwrap(), welcome);
    guest.stop();
}

#[tokio::test]
async fn nothing_waits_for_the_welcome() {
    let guest = Guest::start();
    let identified = guest.connection.identify(identity());
    let mut execution = guest.connection.exec(shell("echo first")).unwrap();
    assert_eq!(within(crate::guest::finish(&mut execution)).await.text(), "first\n");
    within(identified).await.unwrap();
    within(guest.connection.welcome()).await.unwrap();
    guest.stop();
}

#[tokio::test]
async fn an_odd_identity_is_refused() {
    let guest = Guest::start();
    let odd = Identity { hostname: "a b".into(), ..identity() };
    assert_eq!(within(guest.connection.identify(odd)).await.unwrap_err().kind(), ErrorKind::InvalidArgument);
    within(guest.connection.identify(identity())).await.unwrap();
    guest.stop();
}

#[tokio::test]
async fn pings_may_be_dropped_and_many_at_a_time() {
    let guest = Guest::start();
    for _ in 0..100 {
        let dropped = tokio::time::timeout(std::time::Duration::ZERO, guest.connection.ping()).await;
        drop(dropped);
    }
    let pings = [(); 3].map(|()| guest.connection.ping());
    for ping in pings {
        within(ping).await.unwrap();
    }
    guest.stop();
}

#[tokio::test]
async fn a_hello_ends_the_commands_of_the_session_before() {
    let (stream, agent) = serve();
    let mut host = Raw::new(stream);
    host.hello(1);
    let fifo = Fifo::new();
    let (opened, closed) = fifo.opened_and_closed();
    host.tell(
        5,
        &ToGuest::Exec(shell(&format!("exec 3>{}; trap '' TERM HUP; cat /dev/zero", fifo.path.display()))),
    );
    assert!(matches!(host.hear(), (5, ToHost::Started { .. })));
    opened.await;
    host.hello(2);
    closed.await;
    host.tell(5, &ToGuest::Exec(shell("exit 9")));
    assert!(matches!(host.hear(), (5, ToHost::Started { .. })), "stream 5 is free again");
    assert!(matches!(host.hear(), (5, ToHost::Exited(exited)) if exited.code == Some(9)));
    drop(host);
    agent.join().unwrap();
}

/// The files of this host are none of the agent's business.
#[tokio::test]
async fn without_a_machine_there_is_no_workspace() {
    let (stream, agent) = serve();
    let mut host = Raw::new(stream);
    host.hello(1);
    for (stream, message) in [(3, ToGuest::OpenWorkspace), (4, ToGuest::Task(Task::Flush))] {
        host.tell(stream, &message);
        let answer = host.hear();
        assert_eq!(answer.0, stream);
        assert!(matches!(answer.1, ToHost::Failed { failure: ExecFailure::BadRequest, .. }), "{answer:?}");
    }
    drop(host);
    agent.join().unwrap();
}

#[tokio::test]
async fn a_host_that_hangs_up_takes_its_commands_along() {
    let guest = Guest::start();
    let fifo = Fifo::new();
    let (opened, closed) = fifo.opened_and_closed();
    let mut execution =
        guest.connection.exec(shell(&format!("exec 3>{}; cat /dev/zero", fifo.path.display()))).unwrap();
    within(execution.next()).await.unwrap();
    opened.await;
    drop(execution);
    guest.stop();
    closed.await;
}

#[tokio::test]
async fn an_agent_that_is_gone_is_told_to_everybody() {
    let (host, other) = UnixStream::pair().unwrap();
    host.set_nonblocking(true).unwrap();
    let connection = pyro_host::guest::Connection::over(tokio::net::UnixStream::from_std(host).unwrap());
    let identified = connection.identify(identity());
    let mut execution = connection.exec(shell("true")).unwrap();
    drop(other);
    within(connection.closed()).await;
    for error in [
        within(identified).await.unwrap_err(),
        within(execution.next()).await.unwrap_err(),
        within(connection.welcome()).await.unwrap_err(),
        within(connection.ping()).await.unwrap_err(),
        within(connection.identify(identity())).await.unwrap_err(),
        connection.exec(shell("true")).unwrap_err(),
        execution.signal(9).unwrap_err(),
        connection.failure().unwrap(),
    ] {
        assert_eq!(error.kind(), ErrorKind::GuestUnreachable);
    }
    within(connection.power_off()).await.unwrap();
}

#[tokio::test]
async fn a_host_that_talks_nonsense_can_start_again() {
    let (stream, agent) = serve();
    let mut host = Raw::new(stream);
    host.tell(0, &ToGuest::Ping);
    host.hello(1);
    host.stream.write_all(&[9; 100]).unwrap();
    assert!(matches!(host.hear(), (0, ToHost::Failed { .. })));
    host.hello(2);
    let mut bytes = Vec::new();
    frame::encode(Kind::Message, Channel::Stdin, 3, br#"{"type":"from_the_future"}"#, &mut bytes);
    frame::encode(Kind::Message, Channel::Stdin, 4, b"no message", &mut bytes);
    host.stream.write_all(&bytes).unwrap();
    assert!(matches!(host.hear(), (3, ToHost::Failed { .. })));
    assert!(matches!(host.hear(), (4, ToHost::Failed { .. })));
    host.tell(0, &ToGuest::Ping);
    assert_eq!(host.hear(), (0, ToHost::Pong));
    drop(host);
    agent.join().unwrap();
}

#[tokio::test]
async fn input_beyond_the_window_closes_its_stream_only() {
    let (stream, agent) = serve();
    let mut host = Raw::new(stream);
    host.hello(1);
    host.tell(1, &ToGuest::Exec(pyro_protocol::exec::Exec { stdin: true, ..shell("sleep 1000") }));
    assert!(matches!(host.hear(), (1, ToHost::Started { .. })));
    let mut bytes = Vec::new();
    for _ in 0..5 {
        frame::encode(Kind::Data, Channel::Stdin, 1, &vec![0; frame::MAX_PAYLOAD], &mut bytes);
    }
    host.stream.write_all(&bytes).unwrap();
    assert!(matches!(host.hear(), (1, ToHost::Failed { .. })));
    host.tell(0, &ToGuest::Ping);
    assert_eq!(host.hear(), (0, ToHost::Pong));
    drop(host);
    agent.join().unwrap();
}

#[tokio::test]
async fn a_flood_of_pings_from_a_host_that_does_not_read_is_survived() {
    let (stream, agent) = serve();
    let mut host = Raw::new(stream);
    host.hello(1);
    let mut writer = host.stream.try_clone().unwrap();
    let ping = message::encode(&ToGuest::Ping).unwrap();
    let flood = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        for _ in 0..1000 {
            frame::encode(Kind::Message, Channel::Stdin, 0, &ping, &mut bytes);
        }
        for _ in 0..100 {
            writer.write_all(&bytes).unwrap();
        }
    });
    for _ in 0..100_000 {
        assert_eq!(host.hear(), (0, ToHost::Pong));
    }
    flood.join().unwrap();
    drop(host);
    agent.join().unwrap();
}

#[test]
fn handles_can_be_used_from_any_thread() {
    fn check<T: Send + Sync + 'static>() {}
    check::<pyro_host::guest::Connection>();
    check::<pyro_host::guest::Execution>();
    check::<pyro_host::guest::StdinSender>();
}
