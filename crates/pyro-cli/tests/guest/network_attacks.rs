//! A guest that wants to where it must not: the host's loopback, the host's own addresses, private networks, and what hands
//! out credentials. Whatever it sends, nothing of it arrives there, and it is told so at once. Servers listen on all of
//! these addresses, and the host reaches them.
//!
//! The attempts are made with the policy open, and with rules that name everything: none of these opens what is not
//! public. At the end each is opened by the rule that names it, and nothing beside it.
#![allow(clippy::print_stdout, reason = "tests print what was tried, which `--nocapture` shows")]

use crate::home::Home;
use crate::inside::Tried;
use crate::outside::{CLOSED, OWN, Outside, UNHEARD_PORT, WEB, WEB_V6, is_v4};
use crate::workspace::Workspace;
use serde_json::{Value, json};
use std::fmt::Write;

/// The gateway, which stands for the host's loopback.
const GATEWAYS: [&str; 2] = ["100.96.0.1", "fd70:7972:6f00::1"];

/// Names of `outside.py` that are the host, or what is not public.
const NAMES: [&str; 10] = [
    "loop.example",
    "loop6.example",
    "mapped.example",
    "nat64.example",
    "zero.example",
    "chain.example",
    "private.example",
    "metadata.example",
    "own.example",
    "gateway.example",
];

#[test]
fn nothing_that_must_not_be_reached_hears_of_the_guest() {
    let Some(world) = Outside::new() else { return };
    check_that_all_is_there(&world);
    let home = Home::new().within(&world);
    let workspace = home.workspace_with_tools_and(&["--network"]);
    workspace.prepare(&world);
    world.watch();
    for policy in [
        &["--reset"][..],
        &["--reset", "--allow", "*"],
        &["--reset", "--allow", "0.0.0.0/0", "--allow", "::/0"],
    ] {
        println!("--- {policy:?}");
        workspace.network(policy);
        check_the_gateway(&workspace);
        check_addresses(&workspace);
        check_names(&workspace, policy.contains(&"0.0.0.0/0"));
        check_frames(&workspace);
        let intruders = world.intruders();
        assert!(intruders.is_empty(), "{policy:?}: these have arrived: {intruders:#?}");
        // And the gateway is as it was.
        workspace.expect(&[(tcp(WEB, 80), "200"), (tcp(WEB_V6, 80), "200")]);
    }
    check_opened(&workspace);
    assert!(!world.intruders().is_empty(), "what is let through is seen");
    drop(workspace);
    home.assert_nothing_left();
    world.assert_gone();
}

fn tcp(to: &str, port: u16) -> Value {
    json!({ "try": "tcp", "to": [to, port] })
}

fn udp(to: &str, port: u16) -> Value {
    json!({ "try": "udp", "to": [to, port] })
}

/// Otherwise it would be no wonder that nobody reaches it.
fn check_that_all_is_there(world: &Outside) {
    for address in CLOSED.iter().chain(&OWN).chain(&["127.0.0.1", "::1", "0.0.0.0", "::ffff:127.0.0.1"]) {
        let answer = world.host.get(address, 80, "/");
        assert_eq!(answer["status"], 200, "{address}: {answer}");
    }
}

/// Every kind of refusal that is told at once.
const REFUSED: &str = "ECONNREFUSED|EHOSTUNREACH|ENETUNREACH|EACCES|EPERM|EINVAL|EADDRNOTAVAIL|refused";

/// Asserts that each was refused, and quickly.
fn refused(workspace: &Workspace<'_>, attempts: Vec<Value>) -> Tried {
    let wanted: Vec<(Value, &str)> = attempts.into_iter().map(|attempt| (attempt, REFUSED)).collect();
    let tried = workspace.expect(&wanted);
    workspace.assert_quick(&tried);
    tried
}

/// On ports that the host listens on, and on others.
fn check_the_gateway(workspace: &Workspace<'_>) {
    let ports = [1, 7, 8, 22, 80, 443, 2375, 5432, 6379, 8080, 9000, 10_250, 65_535];
    let mut attempts = Vec::new();
    for gateway in GATEWAYS {
        attempts.extend(ports.map(|port| tcp(gateway, port)));
        attempts.extend([7, 80].map(|port| udp(gateway, port)));
    }
    let tried = refused(workspace, attempts);
    let denial = tried.denial(&json!({ "kind": "tcp", "address": GATEWAYS[0], "port": 80 }));
    assert_eq!(denial["rule"], "the host's loopback", "{denial:#}");
    assert!(denial["hint"].as_str().unwrap().contains("--allow host.pyro.internal:80"), "{denial:#}");
}

fn check_addresses(workspace: &Workspace<'_>) {
    let mut attempts = Vec::new();
    for address in CLOSED.iter().chain(&OWN) {
        attempts.extend([tcp(address, 80), udp(address, 7), json!({ "try": "ping", "to": address })]);
    }
    // These are the guest's own, or nobody's: its kernel sends nothing.
    let own = ["127.0.0.1", "0.0.0.0", "::1", "::", "::ffff:127.0.0.1", "::ffff:0.0.0.0"];
    attempts.extend(own.map(|address| tcp(address, 80)));
    attempts.extend(["224.0.0.251", "255.255.255.255"].map(|address| tcp(address, 80)));
    let tried = refused(workspace, attempts);
    let denial = tried.denial(&json!({ "kind": "udp", "address": "169.254.169.254", "port": 7 }));
    assert_eq!(denial["rule"], "cloud metadata", "{denial:#}");
    // For everybody, or on a link where there is nobody else: nobody answers.
    let all =
        ["224.0.0.251", "239.255.255.250", "255.255.255.255", "100.96.0.3", "ff02::1%eth0", "ff02::fb%eth0"];
    let quiet = |address: &str| {
        (json!({ "try": "udp", "to": [address, 7], "patience": 1 }), "timeout|EACCES|EHOSTUNREACH")
    };
    workspace.expect(
        &[&all[..], &["fe80::1%eth0", "fe80::2%eth0"]].concat().into_iter().map(quiet).collect::<Vec<_>>(),
    );
}

/// Answers that point there are none.
fn check_names(workspace: &Workspace<'_>, only_addresses: bool) {
    let attempts = NAMES.iter().chain(&["host.pyro.internal"]).map(|&name| (tcp(name, 80), "no such name"));
    let tried = workspace.expect(&attempts.collect::<Vec<_>>());
    workspace.assert_quick(&tried);
    for name in NAMES {
        let denial = tried.denial(&json!({ "kind": "dns", "name": name }));
        let is_listed = denial["rule"] == "not in the allowlist";
        assert_eq!(is_listed, only_addresses, "{denial:#}");
    }
    if !only_addresses {
        let mixed = workspace.expect(&[(tcp("mixed.example", 80), "200")]);
        assert_eq!(mixed.results[0]["said"], format!("outside at {WEB}"), "one of its addresses is left");
    }
}

/// What no kernel would send.
fn check_frames(workspace: &Workspace<'_>) {
    let (packets, may_be_answered) = hostile_packets();
    let outcomes = workspace.send(&packets);
    let mut lines = String::new();
    let mut failures = 0;
    for (packet, outcome) in packets.iter().zip(&outcomes) {
        let is_refusal = outcome == "nothing" || outcome == "RST" || outcome.starts_with("ICMP");
        let good = is_refusal || may_be_answered(packet);
        failures += u32::from(!good);
        let _ = writeln!(lines, "{} {packet} -> {outcome}", if good { "  " } else { "->" });
    }
    println!("{lines}");
    assert_eq!(failures, 0, "\n{lines}");
    // The last is a proper one, which shows that frames are sent and answers seen.
    assert_eq!(outcomes.last().unwrap(), "SYN+ACK", "\n{lines}");
}

/// With those that go to who may be reached, and may be answered.
fn hostile_packets() -> (Vec<Value>, impl Fn(&Value) -> bool) {
    let mut packets = Vec::new();
    let unroutable = [
        "127.0.0.1",
        "127.1.2.3",
        "0.0.0.0",
        "0.1.2.3",
        "255.255.255.255",
        "224.0.0.1",
        "::1",
        "::",
        "::ffff:127.0.0.1",
    ];
    let odd = ["::127.0.0.1", "::ffff:0:127.0.0.1", "fe80::1", "ff02::1", "ff05::1"];
    for to in unroutable.iter().chain(&odd).chain(&CLOSED).chain(&OWN).chain(&GATEWAYS) {
        packets.extend(
            ["tcp", "udp"]
                .map(|over| json!({ "to": to, "over": over, "port": if over == "tcp" { 80 } else { 7 } })),
        );
        // The gateway answers pings itself.
        let ping = json!({ "to": to, "over": if is_v4(to) { "icmp" } else { "icmp6" } });
        packets.extend((!GATEWAYS.contains(to)).then_some(ping));
    }
    // Whoever says to be somebody else is not heard, whoever it is for.
    for source in ["127.0.0.1", "100.96.0.1", "0.0.0.0", "10.9.8.7", "198.51.100.2", WEB, "255.255.255.255"] {
        packets
            .extend([WEB, "127.0.0.1"].map(|to| json!({ "to": to, "source": source, "port": UNHEARD_PORT })));
        packets.push(json!({ "to": WEB, "source": source, "over": "udp", "port": UNHEARD_PORT }));
    }
    for source in ["::1", "fd70:7972:6f00::1", "2001:db8:1::2", "::", "fe80::1", "ff02::1"] {
        packets.push(json!({ "to": WEB_V6, "source": source, "port": UNHEARD_PORT }));
    }
    // Other machines' frames, frames for others, in a VLAN.
    packets.push(json!({ "to": WEB, "port": UNHEARD_PORT, "mac": "52540070797f" }));
    packets.push(json!({ "to": WEB, "port": UNHEARD_PORT, "mac": "525400707901" }));
    packets.push(json!({ "to": "10.9.8.7", "to_mac": "ffffffffffff" }));
    packets.push(json!({ "to": "10.9.8.7", "to_mac": "333300000001" }));
    packets.push(json!({ "to": "10.9.8.7", "vlan": true }));
    // By way of others: loose and strict source routes (RFC 791), routing headers (RFC 2460, RFC 8754), in other packets.
    for (kind, via) in [("83", "7f000001"), ("89", "7f000001"), ("83", "0a090807"), ("83", "a9fea9fe")] {
        packets.push(json!({ "to": WEB, "port": 81, "options": format!("{kind}0704{via}00") }));
        packets.push(json!({ "to": "10.9.8.7", "port": 80, "options": format!("{kind}0704{via}00") }));
    }
    for (kind, inner) in
        [("00", "00000000000000000000000000000001"), ("04", "fd00000000000000000000000000ec22")]
    {
        packets
            .push(json!({ "to": WEB_V6, "port": 81, "headers": format!("2bff02{kind}0100000000{inner}") }));
    }
    packets.push(json!({ "to": "::1", "headers": "00ff00010400000000" }));
    for over in [4, 41, 47, 132, 0, 255] {
        packets.push(json!({ "to": WEB, "over": over, "inside": { "to": "127.0.0.1" } }));
        packets.push(json!({ "to": "127.0.0.1", "over": over, "inside": { "to": "127.0.0.1" } }));
    }
    for to in ["127.0.0.1", "10.9.8.7", "100.96.0.1"] {
        packets.extend(["tcp", "udp"].map(|over| json!({ "to": to, "over": over, "fragments": true })));
    }
    packets.push(json!({ "to": WEB, "port": 80 }));
    (packets, |packet: &Value| packet == &json!({ "to": WEB, "port": 80 }))
}

/// A rule that names one thing opens that, and nothing beside it.
fn check_opened(workspace: &Workspace<'_>) {
    let opened = |rules: &[&str]| {
        let rules = rules.iter().flat_map(|&rule| ["--allow", rule]).collect::<Vec<_>>();
        workspace.network(&[&["--reset"], &rules[..]].concat());
    };
    let ping = |to: &str| json!({ "try": "ping", "to": to });
    opened(&["10.9.8.7:80", "fd12:3456::7", "10.200.0.0/16", "169.254.0.0/16", "*"]);
    let tried = workspace.expect(&[
        (tcp("10.9.8.7", 80), "200"),
        (tcp("10.9.8.7", 443), REFUSED),
        (tcp("192.168.77.7", 80), REFUSED),
        (ping("10.9.8.7"), "refused"),
        (tcp("fd12:3456::7", 80), "200"),
        (ping("fd12:3456::7"), "answered"),
        (tcp("fd00:ec2::254", 80), REFUSED),
        // A network does not name the host, which has an address in it, nor what is narrower and worse.
        (tcp("10.200.0.1", 80), REFUSED),
        (tcp("169.254.7.7", 80), "200"),
        (tcp("169.254.169.254", 80), REFUSED),
        (tcp(GATEWAYS[0], 80), REFUSED),
        (tcp(WEB, 80), "200"),
    ]);
    assert_eq!(tried.results[0]["said"], "outside at 10.9.8.7");
    opened(&["host.pyro.internal:80", "10.200.0.1:80", "169.254.169.254:80"]);
    let tried = workspace.expect(&[
        (tcp("host.pyro.internal", 80), "200"),
        (tcp("host.pyro.internal", 443), REFUSED),
        (udp("host.pyro.internal", 7), REFUSED),
        (tcp("10.200.0.1", 80), "200"),
        (tcp("10.200.0.1", 443), REFUSED),
        (tcp("198.51.100.2", 80), REFUSED),
        (tcp("169.254.169.254", 80), "200"),
        (tcp(WEB, 80), REFUSED),
    ]);
    assert_eq!(tried.results[0]["said"], "host at 127.0.0.1");
    assert_eq!(tried.results[3]["said"], "host at 10.200.0.1");
}
