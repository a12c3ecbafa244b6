//! Contained commands, and commands that are asked to end.
//!
//! On a host there are no control groups for us: what is contained there is the session of a command.

use crate::guest::{Fifo, Guest, finish, shell, within};
use pyro_host::guest::{ExecEvent, Execution};
use pyro_protocol::exec::{Exec, Exited};
use std::time::Duration;

const SIGHUP: i32 = 1;
const SIGKILL: i32 = 9;
const SIGTERM: i32 = 15;

const LONG: Duration = Duration::from_secs(1000);
const SHORT: Duration = Duration::from_millis(200);

fn contained(script: &str) -> Exec {
    Exec { contained: true, ..shell(script) }
}

/// Waits for the word that a script prints once it is ready.
async fn ready(execution: &mut Execution) {
    loop {
        if let ExecEvent::Stdout(bytes) = within(execution.next()).await.unwrap() {
            assert_eq!(bytes, b"ready\n");
            return;
        }
    }
}

async fn end(execution: &mut Execution) -> Exited {
    within(finish(execution)).await.exited
}

#[tokio::test]
async fn one_that_leaves_nothing_behind_ends_as_any_other() {
    let guest = Guest::start();
    for code in [0, 7] {
        let output = guest.run(contained(&format!("echo one; echo two >&2; exit {code}"))).await;
        assert_eq!((output.text(), output.stderr.as_slice()), ("one\n", &b"two\n"[..]));
        let Exited { code: Some(exit), signal: None, killed: false, left_behind: 0, .. } = output.exited
        else {
            panic!("{output:?}")
        };
        assert_eq!(exit, code);
    }
    guest.stop();
}

#[tokio::test]
async fn what_it_leaves_behind_is_counted_and_gone_when_its_end_is_told() {
    let guest = Guest::start();
    let folder = tempfile::tempdir().unwrap();
    // One in its process group, one in a group of its own. Both say who they are and cannot be asked to end.
    let script = "trap '' TERM HUP INT; cd \"$0\"; \
        sh -c 'echo $$ >one.new; mv one.new one; exec sleep 1000' & \
        set -m; sh -c 'echo $$ >two.new; mv two.new two; exec sleep 1000' & \
        until test -e one && test -e two; do sleep 0.01; done; echo ready; exit 3";
    let path = folder.path().to_str().unwrap();
    let exec = Exec { argv: ["sh", "-c", script, path].map(str::to_owned).into(), ..contained("") };
    let output = guest.run(exec).await;
    assert_eq!((output.exited.code, output.exited.left_behind), (Some(3), 2));
    assert!(!output.exited.killed && !output.exited.timed_out);
    for name in ["one", "two"] {
        let pid = std::fs::read_to_string(folder.path().join(name)).unwrap();
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
        assert!(stat.as_ref().map_or(true, |stat| stat.contains(") Z ")), "{stat:?}");
    }
    guest.stop();
}

/// A port that somebody leaves behind is free again: what a restarted service relies on.
#[tokio::test]
async fn the_port_of_what_it_left_behind_is_free_at_its_end() {
    let guest = Guest::start();
    let server = "import socket,os,signal; s=socket.create_server(('127.0.0.1',0)); \
        print(s.getsockname()[1],flush=True); os.close(1); os.close(2); signal.pause()";
    for _ in 0..10 {
        let script =
            format!("mkfifo $0/f 2>/dev/null; python3 -c \"{server}\" >$0/f & read port <$0/f; echo $port");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap();
        let exec = Exec { argv: ["sh", "-c", &script, path].map(str::to_owned).into(), ..contained("") };
        let output = guest.run(exec).await;
        assert_eq!(output.exited.left_behind, 1, "{output:?}");
        let port: u16 = output.text().trim().parse().unwrap();
        std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    }
    guest.stop();
}

#[tokio::test]
async fn to_kill_it_kills_all_of_it() {
    let guest = Guest::start();
    let fifo = Fifo::new();
    let (opened, closed) = fifo.opened_and_closed();
    let script = format!("set -m; (trap '' TERM; exec cat /dev/zero >{}) & sleep 1000", fifo.path.display());
    let mut execution = guest.connection.exec(contained(&script)).unwrap();
    opened.await;
    execution.terminate(SIGKILL, Duration::ZERO).unwrap();
    let exited = end(&mut execution).await;
    assert_eq!((exited.signal, exited.killed, exited.left_behind), (Some(SIGKILL), true, 0));
    closed.await;
    guest.stop();
}

#[tokio::test]
async fn a_hang_up_or_a_drop_kills_all_of_it() {
    let mut guest = Guest::start();
    for hang_up in [false, true] {
        let fifo = Fifo::new();
        let (opened, closed) = fifo.opened_and_closed();
        let script =
            format!("set -m; (trap '' HUP; exec cat /dev/zero >{}) & sleep 1000", fifo.path.display());
        let execution = guest.connection.exec(contained(&script)).unwrap();
        opened.await;
        match hang_up {
            false => drop(execution),
            true => std::mem::replace(&mut guest, Guest::start()).stop(),
        }
        closed.await;
    }
    guest.stop();
}

#[tokio::test]
async fn a_time_out_reaches_all_of_it_and_counts_nothing() {
    let guest = Guest::start();
    let fifo = Fifo::new();
    let (opened, closed) = fifo.opened_and_closed();
    let script = format!("set -m; (trap '' TERM; exec cat /dev/zero >{}) & sleep 1000", fifo.path.display());
    let mut execution = guest.connection.exec(Exec { timeout_ms: Some(1000), ..contained(&script) }).unwrap();
    opened.await;
    let exited = end(&mut execution).await;
    assert_eq!((exited.signal, exited.timed_out, exited.killed), (Some(SIGTERM), true, false));
    assert_eq!(exited.left_behind, 0);
    closed.await;
    guest.stop();
}

#[tokio::test]
async fn one_that_does_what_it_is_asked_is_not_killed() {
    let guest = Guest::start();
    for is_contained in [false, true] {
        let script = "trap 'echo bye; exit 4' TERM; echo ready; while :; do sleep 0.01; done";
        let exec = Exec { contained: is_contained, timeout_ms: Some(1_000_000), ..shell(script) };
        let mut execution = guest.connection.exec(exec).unwrap();
        ready(&mut execution).await;
        execution.terminate(SIGTERM, LONG).unwrap();
        let output = within(finish(&mut execution)).await;
        assert_eq!((output.text(), output.exited.code), ("bye\n", Some(4)));
        assert!(!output.exited.killed && !output.exited.timed_out && output.exited.left_behind == 0);
    }
    guest.stop();
}

#[tokio::test]
async fn one_that_does_not_is_killed_after_the_grace() {
    let guest = Guest::start();
    for is_contained in [false, true] {
        let exec =
            Exec { contained: is_contained, ..shell("trap '' TERM; echo ready; while :; do sleep 1; done") };
        let mut execution = guest.connection.exec(exec).unwrap();
        ready(&mut execution).await;
        execution.terminate(SIGTERM, SHORT).unwrap();
        let exited = end(&mut execution).await;
        assert_eq!((exited.signal, exited.killed, exited.timed_out), (Some(SIGKILL), true, false));
        assert!(exited.elapsed_us >= 200_000 && exited.left_behind == 0, "{exited:?}");
    }
    guest.stop();
}

#[tokio::test]
async fn one_that_is_stopped_gets_to_know() {
    let guest = Guest::start();
    let script = "trap 'exit 6' HUP; echo ready; kill -STOP $$; while :; do sleep 0.01; done";
    let mut execution = guest.connection.exec(contained(script)).unwrap();
    ready(&mut execution).await;
    execution.terminate(SIGHUP, LONG).unwrap();
    assert_eq!(end(&mut execution).await.code, Some(6));
    guest.stop();
}

#[tokio::test]
async fn the_rest_ends_with_the_main_process_and_is_not_counted() {
    let guest = Guest::start();
    // What is contained has its time, whatever the main process does.
    for (is_contained, grace) in [(false, LONG), (true, SHORT)] {
        let fifo = Fifo::new();
        let (opened, closed) = fifo.opened_and_closed();
        let path = fifo.path.display();
        let script = format!(
            "(trap '' TERM; exec cat /dev/zero >{path}) & trap 'exit 0' TERM; while :; do sleep 0.01; done"
        );
        let exec = Exec { contained: is_contained, ..shell(&script) };
        let mut execution = guest.connection.exec(exec).unwrap();
        opened.await;
        execution.terminate(SIGTERM, grace).unwrap();
        let exited = end(&mut execution).await;
        assert_eq!((exited.code, exited.killed, exited.left_behind), (Some(0), is_contained, 0));
        closed.await;
    }
    guest.stop();
}

#[tokio::test]
async fn who_is_asked_to_end_has_its_time_though_its_wrapper_ends_at_once() {
    let guest = Guest::start();
    let program =
        "sh -c \"trap 'sleep 0.5; echo tidied up; exit' TERM; echo ready; while :; do sleep 0.01; done\"";
    for script in [format!("{program}; true"), format!("{program} | cat"), format!("{program} & wait")] {
        let mut execution = guest.connection.exec(contained(&script)).unwrap();
        ready(&mut execution).await;
        execution.terminate(SIGTERM, LONG).unwrap();
        let output = within(crate::guest::finish(&mut execution)).await;
        let (exited, is_piped) = (&output.exited, script.ends_with("cat"));
        // `cat` ends at once, and with it whoever would read the last words.
        assert!(is_piped || output.text().ends_with("tidied up\n"), "{script}: {output:?}");
        assert!(
            exited.elapsed_us < 60_000_000 && !exited.killed && exited.left_behind == 0,
            "{script}: {output:?}"
        );
    }
    guest.stop();
}

#[tokio::test]
async fn what_ends_soon_after_the_main_process_was_not_left_behind() {
    let guest = Guest::start();
    let mut execution = guest.connection.exec(contained("(sleep 0.05; echo last words) & exit 3")).unwrap();
    let output = within(crate::guest::finish(&mut execution)).await;
    assert_eq!((output.text(), output.exited.code), ("last words\n", Some(3)), "{output:?}");
    assert_eq!(output.exited.left_behind, 0);
    guest.stop();
}

#[tokio::test]
async fn a_second_request_brings_the_end_nearer_and_never_puts_it_off() {
    let guest = Guest::start();
    for graces in [[LONG, SHORT], [SHORT, LONG], [Duration::MAX, Duration::ZERO]] {
        let mut execution =
            guest.connection.exec(contained("trap '' TERM; echo ready; while :; do sleep 1; done")).unwrap();
        ready(&mut execution).await;
        for grace in graces {
            execution.terminate(SIGTERM, grace).unwrap();
        }
        let exited = end(&mut execution).await;
        assert_eq!((exited.signal, exited.killed), (Some(SIGKILL), true));
    }
    guest.stop();
}

#[tokio::test]
async fn a_request_for_one_that_has_ended_is_no_mistake() {
    let guest = Guest::start();
    let mut execution = guest.connection.exec(contained("exit 0")).unwrap();
    assert_eq!(end(&mut execution).await.code, Some(0));
    execution.terminate(SIGTERM, SHORT).unwrap();
    assert_eq!(guest.shell("echo on").await.text(), "on\n");
    guest.stop();
}

#[tokio::test]
async fn a_storm_of_forks_is_ended() {
    let guest = Guest::start();
    let script = "storm() { sh -c 'sleep 0.005' & storm2; }; storm2() { sleep 0.002; storm; }; \
        for n in 1 2 3; do storm & done; echo ready; exit 0";
    let mut execution = guest.connection.exec(contained(script)).unwrap();
    ready(&mut execution).await;
    let exited = end(&mut execution).await;
    assert!(exited.left_behind >= 3, "{exited:?}");
    guest.stop();
}
