//! SIGKILL of the client, of the supervisor and of QEMU while services start and shells are written to and read: what
//! was printed stays, everybody is told what happened, and after a start all goes on.
//!
//! `PYRO_TEST_SEED` repeats the delays of a run; it is printed.

use crate::home::{Home, signal, wait_until};
use crate::workspace::{Workspace, qemu_of};
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, SystemTime};

/// Turns for each victim.
const N_TURNS: u32 = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Supervisor,
    Qemu,
}

#[test]
#[allow(clippy::print_stdout, reason = "shown when the test fails")]
fn kills_lose_nothing_of_services_and_shells() {
    let seed = seed();
    println!("PYRO_TEST_SEED={seed}");
    let mut random = seed.wrapping_mul(2).wrapping_add(0x9e37_79b9_7f4a_7c15);
    let home = Home::new();
    let workspace = home.workspace();
    for turn in 0..N_TURNS {
        client_turn(&workspace, turn, Duration::from_millis(below(&mut random, 300)));
        for victim in [Victim::Supervisor, Victim::Qemu] {
            let delay = Duration::from_millis(below(&mut random, 1000));
            println!("turn {turn}, {victim:?} after {delay:?}");
            machine_turn(&workspace, victim, delay);
        }
    }
    drop(workspace);
    home.assert_nothing_left();
}

fn seed() -> u64 {
    let fresh = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().subsec_nanos().into();
    std::env::var("PYRO_TEST_SEED").map_or_else(|_| fresh(), |text| text.parse().unwrap())
}

/// A number below this one.
fn below(random: &mut u64, limit: u64) -> u64 {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    *random % limit
}

/// A client that starts a service dies; the service does not. Neither does a shell whose writer and reader die.
fn client_turn(workspace: &Workspace<'_>, turn: u32, delay: Duration) {
    workspace.sh("rm -f /tmp/go /tmp/ready; mkfifo /tmp/go");
    let name = format!("orphan-{turn}");
    let script = "echo waiting; cat /tmp/go; touch /tmp/ready; echo ready; exec sleep 1000";
    let options =
        ["--ready-file", "/tmp/ready", "--ready-timeout-seconds", "600", "--ready-interval-ms", "50"];
    let mut client = workspace.serve_command(&name, &options, script).spawn().unwrap();
    workspace.service_in(&name, "starting");
    let shell = workspace.shell();
    shell.line("for i in $(seq 100); do echo number $i; sleep 0.01; done; echo coun''ted");
    let mut others: Vec<Child> = [&["read", "--wait-for-idle-ms", "60000"][..], &["attach", "--read-only"]]
        .map(|words| {
            let mut command =
                workspace.command(&["shell", words[0]], &[&[shell.id.as_str()], &words[1..]].concat());
            command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
        })
        .into();
    std::thread::sleep(delay);
    for child in others.iter_mut().chain([&mut client]) {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let status = workspace.service(&name);
    assert_eq!((&status["state"], &status["ready_at"]), (&json!("starting"), &Value::Null), "{status:#}");
    workspace.sh("echo now > /tmp/go");
    let status = workspace.service_in(&name, "running");
    assert!(status["ready_at"].is_f64(), "{status:#}");
    assert_eq!(workspace.service_log(&name), "waiting\nnow\nready\n");
    let shown = shell.expect("counted\r\n");
    let numbers: String = (1..=100).map(|number| format!("number {number}\r\n")).collect();
    assert!(shown.contains(&numbers), "{shown}");
    assert_eq!(workspace.stop_service(&name)["stop_reason"], "sigterm");
    assert_eq!(shell.done("close", &[])["state"], "closed");
}

/// A service runs, one starts, a shell counts, others type and read: then the machine ends.
fn machine_turn(workspace: &Workspace<'_>, victim: Victim, delay: Duration) {
    let shell = workspace.shell();
    shell.sh("echo re''membered");
    workspace.serve("steady", &[], "echo begun; while :; do echo tick; sleep 0.1; done");
    wait_until("it has printed", || workspace.service_log("steady").contains("tick"));
    let (supervisor, qemu) = (workspace.supervisor(), workspace.qemu());
    shell.line("while :; do echo tock; done");
    let options = ["--ready-file", "/no/such/file", "--ready-timeout-seconds", "600"];
    let mut clients = vec![workspace.serve_command("opening", &options, "exec sleep 1000").spawn().unwrap()];
    let words = [
        ("write", &["--input", "x"][..]),
        ("read", &["--wait-for-idle-ms", "60000"]),
        ("attach", &["--read-only"]),
    ];
    for (verb, more) in words {
        let mut command = workspace.command(&["shell", verb], &[&[shell.id.as_str()], more].concat());
        clients.push(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    }
    std::thread::sleep(delay);
    signal(if victim == Victim::Supervisor { supervisor } else { qemu }, "KILL");
    // Nobody waits in vain.
    for client in clients {
        let output = client.wait_with_output().unwrap();
        assert!(output.status.code().is_some(), "{output:?}");
    }
    wait_until("it has failed", || workspace.state() == "failed");
    for pid in [supervisor, qemu] {
        wait_until("its processes are gone", || !Path::new("/proc").join(pid.to_string()).exists());
    }
    check_ended(workspace, victim);
    let ended = shell.status();
    assert_eq!((&ended["state"], &ended["exit_code"]), (&json!("failed"), &Value::Null), "{ended:#}");
    assert!(ended["failure"].as_str().is_some_and(|words| !words.is_empty()), "{ended:#}");
    let shown = shell.read(0, &[]);
    assert!(shown["output"].as_str().unwrap().contains("remembered\r\n"), "{shown:#}");
    assert_eq!(shell.refused("write", &["--input", "x"])["kind"], "wrong_state");
    assert!(workspace.serve_refused("steady", &[], "true")["hint"].is_string());

    workspace.start();
    assert!(qemu_of(workspace.supervisor()).is_some());
    assert_eq!(workspace.service_counts().1, 0);
    check_ended(workspace, victim);
    assert_eq!(shell.status()["state"], "failed");
    let again = workspace.serve("steady", &[], "echo again; exec sleep 1000");
    assert_eq!((&again["state"], &again["failure"]), (&json!("running"), &Value::Null), "{again:#}");
    wait_until("it has printed", || workspace.service_log("steady").ends_with("tick\nagain\n"));
    assert_eq!(workspace.shell().sh("echo on"), "on\n");
    assert_eq!(workspace.stop_service("steady")["state"], "stopped");
}

/// Services whose machine ended under them.
fn check_ended(workspace: &Workspace<'_>, victim: Victim) {
    let reason = match victim {
        Victim::Supervisor => "supervisor_ended",
        Victim::Qemu => "machine_ended",
    };
    assert_eq!(workspace.service_counts().1, 0);
    let list = workspace.done(&["service", "list"], &[]);
    for service in list["services"].as_array().unwrap() {
        let name = service["service_name"].as_str().unwrap();
        if name.starts_with("orphan") {
            assert_eq!(service["state"], "stopped", "{service:#}");
            continue;
        }
        // The start of the other one may not have come that far.
        assert_eq!(
            (&service["state"], &service["stop_reason"]),
            (&json!("failed"), &json!(reason)),
            "{service:#}"
        );
        assert!(service["failure"].as_str().is_some_and(|words| !words.is_empty()), "{service:#}");
        assert_eq!((&service["pid"], &service["exit_code"]), (&Value::Null, &Value::Null), "{service:#}");
    }
    let log = workspace.done(&["service", "logs"], &["steady", "--all"]);
    assert!(log["stdout"].as_str().unwrap().contains("begun\ntick\n"), "{log:#}");
}
