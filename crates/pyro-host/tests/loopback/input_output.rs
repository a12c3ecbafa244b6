//! Bytes in and out: much, binary, both ways at once, and readers that do not read.

use crate::guest::{Guest, command, finish, shell, within};
use pyro_host::error::ErrorKind;
use pyro_host::guest::{ExecEvent, Execution, StdinSender};
use pyro_protocol::exec::Exec;

const MUCH: usize = 100_000_000;

/// The bytes that are sent again and again. Its length is a prime, so that a piece that is lost, doubled or out of
/// its place does not go unnoticed.
fn pattern() -> Vec<u8> {
    (0..1_000_003_usize).map(|n| (n.wrapping_mul(0x9e37_79b9) >> 13) as u8).collect()
}

async fn send_all(mut stdin: StdinSender, length: usize) {
    let pattern = pattern();
    for sent in (0..length).step_by(pattern.len()) {
        let bytes = &pattern[..pattern.len().min(length - sent)];
        within(stdin.send(bytes)).await.unwrap();
    }
}

/// Reads to the end, checks that each output is the pattern, and gives how long each is.
async fn receive_all(execution: &mut Execution) -> [usize; 2] {
    let (pattern, mut lengths) = (pattern(), [0, 0]);
    loop {
        let (index, bytes) = match within(execution.next()).await.unwrap() {
            ExecEvent::Started { .. } => continue,
            ExecEvent::Stdout(bytes) => (0, bytes),
            ExecEvent::Stderr(bytes) => (1, bytes),
            ExecEvent::Exited(exited) => {
                assert_eq!(exited.code, Some(0));
                return lengths;
            }
        };
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let expected = &pattern[lengths[index] % pattern.len()..];
            let (now, later) = rest.split_at(expected.len().min(rest.len()));
            assert!(now == &expected[..now.len()], "output {index} is wrong after {} bytes", lengths[index]);
            lengths[index] += now.len();
            rest = later;
        }
    }
}

#[tokio::test]
async fn much_input_comes_back_as_output() {
    let guest = Guest::start();
    let mut execution = guest.connection.exec(Exec { stdin: true, ..command(&["cat"]) }).unwrap();
    let stdin = execution.stdin().unwrap();
    let ((), lengths) = tokio::join!(send_all(stdin, MUCH), receive_all(&mut execution));
    assert_eq!(lengths, [MUCH, 0]);
    guest.stop();
}

#[tokio::test]
async fn both_outputs_and_the_input_flow_at_once() {
    let guest = Guest::start();
    let exec = Exec { stdin: true, ..shell("tee /dev/stderr") };
    let mut execution = guest.connection.exec(exec).unwrap();
    let stdin = execution.stdin().unwrap();
    let length = MUCH / 5;
    let ((), lengths) = tokio::join!(send_all(stdin, length), receive_all(&mut execution));
    assert_eq!(lengths, [length, length]);
    guest.stop();
}

#[tokio::test]
async fn every_byte_value_survives() {
    let guest = Guest::start();
    let mut execution = guest.connection.exec(Exec { stdin: true, ..command(&["cat"]) }).unwrap();
    let mut stdin = execution.stdin().unwrap();
    let bytes: Vec<u8> = (0..=255).collect();
    within(stdin.send(&bytes)).await.unwrap();
    stdin.finish();
    assert_eq!(within(finish(&mut execution)).await.stdout, bytes);
    guest.stop();
}

#[tokio::test]
async fn input_that_ends_at_once_is_an_empty_one() {
    let guest = Guest::start();
    let mut execution = guest.connection.exec(Exec { stdin: true, ..command(&["wc", "-c"]) }).unwrap();
    drop(execution.stdin());
    assert!(execution.stdin().is_none());
    assert_eq!(within(finish(&mut execution)).await.text(), "0\n");
    guest.stop();
}

#[tokio::test]
async fn a_command_that_does_not_want_its_input_stalls_nobody() {
    let guest = Guest::start();
    let mut execution =
        guest.connection.exec(Exec { stdin: true, ..shell("exec <&-; echo closed; sleep 0.1") }).unwrap();
    let mut stdin = execution.stdin().unwrap();
    let bytes = vec![7; 1 << 20];
    let send = async {
        for _ in 0..8 {
            if let Err(error) = within(stdin.send(&bytes)).await {
                assert_eq!(error.kind(), ErrorKind::WrongState); // it has ended
                return;
            }
        }
    };
    let (output, ()) = tokio::join!(finish(&mut execution), send);
    assert_eq!((output.text(), output.exited.code), ("closed\n", Some(0)));
    assert_eq!(within(stdin.send(b"late")).await.unwrap_err().kind(), ErrorKind::WrongState);
    guest.stop();
}

#[tokio::test]
async fn a_reader_that_stalls_does_not_block_others() {
    let guest = Guest::start();
    let mut stalled =
        guest.connection.exec(shell("head -c 50000000 /dev/zero; head -c 50000000 /dev/zero >&2")).unwrap();
    assert!(matches!(within(stalled.next()).await.unwrap(), ExecEvent::Started { .. }));
    let mut blocked = guest.connection.exec(Exec { stdin: true, ..command(&["sleep", "1000"]) }).unwrap();
    let mut blocked_stdin = blocked.stdin().unwrap();
    let too_much = vec![0; 1 << 20];
    let never = tokio::time::timeout(std::time::Duration::from_millis(200), blocked_stdin.send(&too_much));
    never.await.expect_err("a command that does not read takes no more than its windows");
    for _ in 0..20 {
        within(guest.connection.ping()).await.unwrap();
        assert_eq!(guest.run(shell("head -c 1000000 /dev/zero")).await.stdout.len(), 1_000_000);
    }
    blocked.signal(9).unwrap();
    let output = within(finish(&mut stalled)).await;
    assert_eq!((output.stdout.len(), output.stderr.len()), (50_000_000, 50_000_000));
    guest.stop();
}

#[tokio::test]
async fn the_end_comes_after_all_output_even_if_nobody_read_it_before() {
    let guest = Guest::start();
    let mut execution = guest.connection.exec(shell("head -c 200000 /dev/zero; echo end >&2")).unwrap();
    while within(guest.connection.ping()).await.is_err() {}
    let output = within(finish(&mut execution)).await;
    assert_eq!((output.stdout.len(), output.stderr.as_slice()), (200_000, &b"end\n"[..]));
    guest.stop();
}
