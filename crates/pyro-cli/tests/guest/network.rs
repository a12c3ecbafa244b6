//! A guest with a network, and the servers of an outside of the test's own (`outside.rs`): what any program would do there
//! works as on any machine. Without a network there is not even a device.
#![allow(clippy::print_stdout, reason = "tests print figures, which `--nocapture` shows")]

use crate::home::{Home, report, wait_until};
use crate::outside::{NAMES, Outside, SILENT, UNREACHABLE, VANISHING, WEB, WEB_V6, assert_nobody_is_in};
use crate::workspace::Workspace;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const LARGE: u64 = 200_000_000;

/// The gateway, which is the guest's name server.
const GATEWAY: &str = "100.96.0.1";
const GATEWAY_V6: &str = "fd70:7972:6f00::1";

#[test]
fn a_guest_with_a_network_does_what_any_machine_does() {
    let Some(world) = Outside::new() else { return };
    let home = Home::new().within(&world);
    let workspace = home.workspace_with_tools_and(&["--network"]);
    workspace.prepare(&world);
    let mut orphans = begin_to_vanish(&world, &workspace);
    check_names(&workspace);
    check_upload_vanished(&mut orphans);
    check_connections(&world, &workspace);
    check_failures(&workspace);
    check_transfers(&world, &workspace);
    check_late_listener(&world, &workspace);
    check_crowd(&world, &workspace);
    check_what_is_told(&workspace);
    check_download_vanished(orphans);
    assert_eq!(workspace.network(&[])["denials"], json!([]));
    drop(workspace);
    home.assert_nothing_left();
    world.assert_gone();
}

/// An upload to a server that is gone, with its address, while it goes on, and a download.
struct Orphans {
    upload: Child,
    download: Child,
    gone: Instant,
}

fn begin_to_vanish(world: &Outside, workspace: &Workspace<'_>) -> Orphans {
    let attempt = json!([{ "try": "upload", "to": [VANISHING, 10], "count": 100_000_000 }]);
    workspace.put("/root/upload.json", &attempt.to_string());
    let upload = workspace.spawn("python3 /root/inside.py < /root/upload.json");
    let download =
        workspace.spawn(&format!("exec curl -sS --max-time 900 -o /dev/null http://{VANISHING}/endless"));
    let taken = || world.outside.ask(&json!(["taken", "slowly"])).as_u64().unwrap();
    wait_until("both go on", || world.sent("/endless") > 500_000 && taken() > 500_000);
    world.outside.ip(&format!("address del {VANISHING}/32 dev lo\n"));
    Orphans { upload, download, gone: Instant::now() }
}

/// Whoever sends hears soon that nobody acknowledges it. Whoever only listens is asked for: the gateway asks the server,
/// which does not answer.
fn check_upload_vanished(orphans: &mut Orphans) {
    let mut said = String::new();
    orphans.upload.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    let after = orphans.gone.elapsed();
    let results: Value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"));
    let outcome = results[0]["outcome"].as_str().unwrap();
    assert!(["ECONNRESET", "EPIPE", "ETIMEDOUT"].contains(&outcome), "{results}");
    println!("an upload to a vanished server ended by {after:?} with {outcome}");
    assert!(orphans.upload.wait().unwrap().success());
}

fn check_download_vanished(orphans: Orphans) {
    let output = orphans.download.wait_with_output().unwrap();
    let after = orphans.gone.elapsed();
    // curl(1): 18, it ended too early; 52, it was empty; 56, receiving failed.
    assert!([18, 52, 56].contains(&output.status.code().unwrap()), "{}", report(&output));
    assert!(after < Duration::from_secs(170), "a vanished server was noticed after {after:?}");
    println!("a download from a vanished server ended after {after:?}");
}

fn check_names(workspace: &Workspace<'_>) {
    let ask = |server: &str, name: &str, kind: &str, over: &str| json!({ "try": "dns", "server": server, "name": name, "kind": kind, "over": over });
    let tried = workspace.expect(&[
        (ask(NAMES, "web.example", "A", "udp"), "NOERROR"),
        (ask(NAMES, "web.example", "A", "tcp"), "NOERROR"),
        (ask(GATEWAY, "web.example", "A", "udp"), "NOERROR"),
        (ask(GATEWAY, "web.example", "A", "tcp"), "NOERROR"),
        (ask(GATEWAY_V6, "alias.example", "A", "udp"), "NOERROR"),
        (ask(GATEWAY, "web.example", "AAAA", "udp"), "NOERROR"),
        (ask(GATEWAY, "slow.example", "A", "udp"), "NOERROR"),
        (ask(GATEWAY, "text.example", "TXT", "udp"), "NOERROR"),
        (ask(GATEWAY, "long.example", "TXT", "udp"), "TRUNCATED"),
        (ask(GATEWAY, "long.example", "TXT", "tcp"), "NOERROR"),
        (ask(GATEWAY, "missing.example", "A", "udp"), "NXDOMAIN"),
        (ask(GATEWAY, "never.example", "A", "udp"), "SERVFAIL"),
        (json!({ "try": "look_up", "name": "alias.example" }), "found"),
    ]);
    let answers = |at: usize| &tried.results[at]["answers"];
    for at in 0..5 {
        assert_eq!(answers(at), &json!([WEB]), "{at}");
    }
    assert_eq!(answers(5), &json!([WEB_V6]));
    assert!(tried.results[9]["bytes"].as_u64().unwrap() > 10_000, "{}", tried.results[9]);
    assert!(answers(12).as_array().unwrap().contains(&json!(WEB)), "{}", tried.results[12]);
    let seconds = tried.results[11]["seconds"].as_f64().unwrap();
    assert!(seconds < 10.0, "a name server that says nothing was waited for {seconds} s");
}

fn check_connections(world: &Outside, workspace: &Workspace<'_>) {
    let tried = workspace.expect(&[
        (json!({ "try": "tcp", "to": ["web.example", 80] }), "200"),
        (json!({ "try": "tcp", "to": [WEB_V6, 80] }), "200"),
        (json!({ "try": "tcp", "to": ["v6.example", 80] }), "200"),
        (json!({ "try": "tls", "to": ["web.example", 443], "sni": "web.example", "verify": true }), "200"),
        (json!({ "try": "udp", "to": [WEB, 7] }), "answered"),
        (json!({ "try": "udp", "to": [WEB_V6, 7] }), "answered"),
        (json!({ "try": "ping", "to": WEB }), "answered"),
        (json!({ "try": "ping", "to": WEB_V6 }), "answered"),
        (json!({ "try": "ping", "to": WEB, "size": 30_000 }), "answered"),
        (json!({ "try": "ping", "to": GATEWAY }), "answered"),
        (json!({ "try": "ping", "to": GATEWAY_V6 }), "answered"),
        (json!({ "try": "end_first", "to": [WEB, 7] }), "whole"),
        (json!({ "try": "end_first", "to": [WEB_V6, 7] }), "whole"),
        (json!({ "try": "speak_last", "to": [WEB, 8] }), "greeting"),
        (json!({ "try": "say", "to": [WEB, 9], "words": "x" }), "ECONNRESET"),
        (json!({ "try": "upload", "to": [WEB, 10], "count": 8_000_000 }), "whole"),
    ]);
    assert_eq!(tried.results[0]["said"], format!("outside at {WEB}"));
    assert_eq!(tried.results[1]["said"], format!("outside at {WEB_V6}"));
    wait_until("the other half is heard", || world.events("end of half").len() == 1);
    assert_eq!(world.events("end of half")[0]["bytes"], 300_000);
    assert_eq!(workspace.sh("curl -sS http://web.example/slow/50000 | wc -c"), "50000\n");
}

/// What does not work fails at once where that is known, and in its time where nobody says so.
fn check_failures(workspace: &Workspace<'_>) {
    let known = workspace.expect(&[
        (json!({ "try": "tcp", "to": [WEB, 81] }), "ECONNREFUSED"),
        (json!({ "try": "tcp", "to": [WEB_V6, 81] }), "ECONNREFUSED"),
        (json!({ "try": "tcp", "to": [UNREACHABLE, 80] }), "EHOSTUNREACH"),
        (json!({ "try": "udp", "to": [WEB, 81] }), "ECONNREFUSED"),
        (json!({ "try": "look_up", "name": "missing.example" }), "no such name"),
    ]);
    workspace.assert_quick(&known);
    let silent = workspace.attempt(vec![json!({ "try": "tcp", "to": [SILENT, 80] })]);
    let outcomes = ["ECONNREFUSED", "ETIMEDOUT", "EHOSTUNREACH"];
    silent.assert_each(|_, result| {
        outcomes.contains(&result["outcome"].as_str().unwrap()) && result["seconds"].as_f64().unwrap() < 20.0
    });
}

fn check_transfers(world: &Outside, workspace: &Workspace<'_>) {
    let md5 = world.host.get(WEB, 80, &format!("/md5/{LARGE}"))["text"].as_str().unwrap().to_owned();
    for from in ["http://web.example", "--cacert /root/outside.pem https://web.example"] {
        let begun = Instant::now();
        let heard = workspace.sh(&format!("curl -sS {from}/bytes/{LARGE} | md5sum"));
        println!("{LARGE} bytes from {from}: {:?}", begun.elapsed());
        assert_eq!(heard, format!("{md5}  -\n"), "{from}");
    }
    let script = "head -c 50000000 /dev/urandom > /tmp/up; md5sum < /tmp/up; \
                  curl -sS -T /tmp/up http://web.example/upload; rm /tmp/up";
    let told = workspace.sh(script);
    let (md5, answer) = told.split_once("  -\n").unwrap();
    let answer: Value = serde_json::from_str(answer).unwrap();
    assert_eq!(answer, json!({ "bytes": 50_000_000, "md5": md5 }));
}

/// Whoever does not listen makes the server wait: nobody between them takes more than a little.
fn check_late_listener(world: &Outside, workspace: &Workspace<'_>) {
    const PATH: &str = "/bytes/100000000";
    let attempt = json!([{ "try": "listen_late", "to": [WEB, 80], "path": PATH, "until": "/tmp/listen" }]);
    workspace.put("/root/late.json", &attempt.to_string());
    let late = workspace.spawn("python3 /root/inside.py < /root/late.json");
    let mut before = 0;
    // Once it stays as it is for a second, everybody's buffers are full.
    let mut since = Instant::now();
    wait_until("the server is made to wait", || {
        let now = world.sent(PATH);
        if now != before || now == 0 {
            (before, since) = (now, Instant::now());
        }
        since.elapsed() > Duration::from_secs(1)
    });
    println!("{before} bytes wait for the guest");
    assert!(before < 30_000_000, "{before} bytes were taken that nobody has listened to");
    workspace.sh("touch /tmp/listen");
    let output = late.wait_with_output().unwrap();
    let results: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", report(&output)));
    let md5 = &world.host.get(WEB, 80, "/md5/100000000")["text"];
    assert_eq!(&results[0]["outcome"], md5);
}

fn check_crowd(world: &Outside, workspace: &Workspace<'_>) {
    let tried = workspace.expect(&[(json!({ "try": "many", "to": [WEB, 7], "count": 500 }), "all")]);
    println!("500 connections: {} s", tried.results[0]["seconds"]);
    let echoes = world.outside.ask(&json!(["echoes"]));
    assert_eq!(echoes["most"], 500, "{echoes}");
    wait_until("all of them end", || world.outside.ask(&json!(["echoes"]))["now"] == 0);
}

/// `workspace network`, as JSON and in words.
fn check_what_is_told(workspace: &Workspace<'_>) {
    let network = workspace.network(&[]);
    assert_eq!((&network["network_enabled"], &network["policy"]["mode"]), (&json!(true), &json!("open")));
    let status = &network["status"];
    assert!(status["counters"]["bytes_out"].as_u64().unwrap() > 2 * LARGE, "{network:#}");
    // The one whose server has vanished is still there.
    let connections = status["connections"].as_array().unwrap();
    assert!(connections.iter().any(|it| it["address"] == VANISHING && it["port"] == 80), "{network:#}");
    let words = workspace.command(&["network"], &[]).output().unwrap();
    let words = String::from_utf8(words.stdout).unwrap();
    assert!(
        words.contains("everything public") && words.contains(GATEWAY) && words.contains(VANISHING),
        "{words}"
    );
    assert_eq!(workspace.status()["network_enabled"], true);
    assert_eq!(workspace.sh("ls /sys/class/net"), "eth0\nlo\n");
}

#[test]
fn without_a_network_there_is_no_device() {
    let home = Home::new();
    assert_eq!(home.stdout(&["sh", "-c", "ls /sys/class/net; cat /proc/net/route | wc -l"]), "lo\n1\n");
    let workspace = home.workspace();
    assert_eq!(workspace.sh("ls /sys/class/net"), "lo\n");
    assert_eq!(workspace.status()["network_enabled"], false);
    assert_eq!(workspace.network(&[])["network_enabled"], false);
    for (words, more) in [(&["network"][..], &["--allow", "none"][..]), (&["publish"], &["0:80"])] {
        let error = workspace.refused(words, more);
        assert_eq!(error["kind"], "wrong_state", "{error:#}");
        assert!(error["hint"].as_str().unwrap().contains("--network"), "{error:#}");
    }
    drop(workspace);
    home.assert_nothing_left();
}

/// What the tests of networks make is gone when the process that made it is, however it ends.
#[test]
fn the_outside_ends_with_its_test() {
    const HOLD: &str = "PYRO_TEST_HOLD";
    if std::env::var_os(HOLD).is_some() {
        let world = Outside::new().unwrap();
        println!("\nnetworks {} {}", world.host.network, world.outside.network);
        let _ = std::io::stdin().read(&mut [0]); // until it is killed
        return;
    }
    let Some(world) = Outside::new() else { return };
    world.assert_gone();
    // Its files are another thing: nobody deletes them for it.
    let folder = tempfile::tempdir().unwrap();
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "network::the_outside_ends_with_its_test", "--nocapture"])
        .env(HOLD, "1")
        .env("TMPDIR", folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(holder.stdout.take().unwrap()).lines();
    let networks: Vec<u64> = lines
        .map_while(Result::ok)
        .find_map(|line| {
            let numbers = line.strip_prefix("networks ")?.split(' ');
            Some(numbers.map(|number| number.parse().unwrap()).collect())
        })
        .unwrap();
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert_nobody_is_in(&networks);
}
