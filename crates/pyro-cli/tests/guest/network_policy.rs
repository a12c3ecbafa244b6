//! An allowlist, held to where packets flow: what it names works, and everything else is refused at once and told, by name
//! and by address, whatever the guest says to whom. What `network explain` says is what happens.

use crate::home::{Home, report, wait_until};
use crate::inside::Tried;
use crate::outside::{NAMES, Outside, SHOP, WEB, is_v4};
use crate::workspace::Workspace;
use serde_json::{Value, json};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const NOT_LISTED: &str = "not in the allowlist";

/// The names of `outside.py` that point to what is public once, and then to what is not.
const REBINDING: [(&str, &str); 6] = [
    ("rebind-loop.example", "loopback"),
    ("rebind-private.example", "private"),
    ("rebind-metadata.example", "cloud metadata"),
    ("rebind-own.example", "the host's own address"),
    ("rebind-loop6.example", "loopback"),
    ("rebind-mapped.example", "IPv4-mapped"),
];

/// Those of the first test. The network is that of the name server, and the last name has no address that is public.
const RULES: [&str; 6] = [
    "web.example:80",
    "web.example:443",
    "*.shop.example",
    "203.0.113.48/29",
    "[2001:db8:2::6]:80",
    "private.example:80",
];

fn tcp(to: &str, port: u16) -> Value {
    json!({ "try": "tcp", "to": [to, port] })
}

fn tls(to: &str, name: Option<&str>) -> Value {
    json!({ "try": "tls", "to": [to, 443], "sni": name, "host": "web.example" })
}

fn http(to: &str, hosts: &[&str]) -> Value {
    json!({ "try": "http", "to": [to, 80], "hosts": hosts })
}

fn look_up(name: &str) -> Value {
    json!({ "try": "look_up", "name": name })
}

/// Options that allow the rules, and the names that are bound anew.
fn allow_all() -> Vec<String> {
    let rebinding = REBINDING.iter().map(|(name, _)| format!("{name}:80"));
    let rules = RULES.iter().map(|&rule| rule.to_owned()).chain(rebinding);
    rules.flat_map(|rule| ["--allow".to_owned(), rule]).collect()
}

#[test]
fn what_the_allowlist_names_works_and_nothing_else() {
    let Some(world) = Outside::new() else { return };
    let home = Home::new().within(&world);
    let rules = allow_all();
    let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
    let workspace = home.workspace_with_tools_and(&rules);
    workspace.prepare(&world);
    check_before_names(&workspace);
    check_hits(&workspace);
    check_misses(&workspace);
    check_names_that_disagree(&world, &workspace);
    check_rebinding(&workspace);
    check_explained(&home, &workspace, &rules);
    check_told_in_words(&home, &workspace);
    drop(workspace);
    home.assert_nothing_left();
    world.assert_gone();
}

/// An address of an allowed name is nothing but an address until the gateway has resolved the name to it.
fn check_before_names(workspace: &Workspace<'_>) {
    let tried =
        workspace.expect(&[(tcp(WEB, 80), "ECONNREFUSED"), (tls(WEB, Some("web.example")), "ECONNREFUSED")]);
    workspace.assert_quick(&tried);
    tried.denial(&json!({ "kind": "tcp", "address": WEB, "port": 80, "rule": NOT_LISTED, "name": null }));
}

fn check_hits(workspace: &Workspace<'_>) {
    let tried = workspace.expect(&[
        (tcp("web.example", 80), "200"),
        (json!({ "try": "tls", "to": ["web.example", 443], "sni": "web.example", "verify": true }), "200"),
        (tcp("api.shop.example", 80), "200"),
        (json!({ "try": "tls", "to": ["api.shop.example", 443], "sni": "api.shop.example" }), "200"),
        (tcp(NAMES, 80), "200"),
        (tcp("2001:db8:2::6", 80), "200"),
        (json!({ "try": "dns", "server": NAMES, "name": "other.example" }), "NOERROR"),
        (json!({ "try": "udp", "to": [NAMES, 7] }), "answered"),
        (json!({ "try": "ping", "to": NAMES }), "answered"),
        (http("web.example", &["web.example", "web.example:80", "WEB.example."]), "200 200 200"),
    ]);
    assert!(tried.denials.is_empty(), "{:#}", json!(tried.denials));
    assert_eq!(tried.results[2]["said"], format!("outside at {SHOP}"));
}

fn check_misses(workspace: &Workspace<'_>) {
    let begun = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    let tried = workspace.expect(&[
        (look_up("other.example"), "no such name"),
        // A suffix is not itself, and a name is not what is below it.
        (look_up("shop.example"), "no such name"),
        (look_up("www.web.example"), "no such name"),
        (look_up("notshop.example"), "no such name"),
        // Port, protocol, address, network.
        (json!({ "try": "connect", "to": ["web.example", 7] }), "ECONNREFUSED"),
        (json!({ "try": "udp", "to": [WEB, 7] }), "EHOSTUNREACH"),
        (json!({ "try": "ping", "to": WEB }), "refused"),
        (json!({ "try": "connect", "to": ["2001:db8:2::6", 443] }), "ECONNREFUSED"),
        (json!({ "try": "connect", "to": ["203.0.113.66", 80] }), "ECONNREFUSED"),
        (json!({ "try": "dns", "server": WEB, "name": "web.example" }), "EHOSTUNREACH"),
        (json!({ "try": "dns", "server": "100.96.0.1", "name": "other.example" }), "NXDOMAIN"),
    ]);
    workspace.assert_quick(&tried);
    check_denials(&tried, begun);
    let told = workspace.network(&[]);
    for denial in &tried.denials {
        assert!(told["denials"].as_array().unwrap().contains(denial), "{denial} is not in {told:#}");
    }
    assert_eq!(told["policy"]["mode"], "allowlist", "{told:#}");
}

/// Each says when, what, by which rule, and what to type to have it allowed.
fn check_denials(tried: &Tried, begun: f64) {
    let wanted = [
        (json!({ "kind": "dns", "name": "other.example", "address": null, "port": null }), "other.example"),
        (json!({ "kind": "dns", "name": "shop.example" }), "shop.example"),
        (json!({ "kind": "tcp", "name": "web.example", "address": WEB, "port": 7 }), "web.example:7"),
        (json!({ "kind": "udp", "address": WEB, "port": 7 }), "web.example:7"),
        (json!({ "kind": "icmp", "address": WEB, "port": null }), "web.example"),
        (
            json!({ "kind": "tcp", "name": null, "address": "2001:db8:2::6", "port": 443 }),
            "[2001:db8:2::6]:443",
        ),
        (json!({ "kind": "tcp", "name": null, "address": "203.0.113.66", "port": 80 }), "203.0.113.66:80"),
        (json!({ "kind": "udp", "address": WEB, "port": 53 }), "web.example:53"),
    ];
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    for (fields, to_type) in wanted {
        let denial = tried.denial(&fields);
        assert_eq!(denial["rule"], NOT_LISTED, "{denial:#}");
        assert!(denial["hint"].as_str().unwrap().contains(&format!("--allow {to_type}`")), "{denial:#}");
        assert!((begun..=now).contains(&denial["time"].as_f64().unwrap()), "{denial:#}");
    }
}

/// Several names share an address, and one that is allowed does not open the others. Nor does it open another address.
fn check_names_that_disagree(world: &Outside, workspace: &Workspace<'_>) {
    let refused = "tls TLSV1_ALERT_ACCESS_DENIED|tls TLSV1_UNRECOGNIZED_NAME|tls SSLV3_ALERT_HANDSHAKE_FAILURE|ECONNRESET";
    let tried = workspace.expect(&[
        (tls(WEB, Some("other.example")), refused),
        (tls(WEB, None), refused),
        (tls(WEB, Some("api.shop.example")), refused),
        (http(WEB, &["other.example"]), "403"),
        (http(WEB, &[WEB]), "403"),
        (http("web.example", &["web.example", "other.example"]), "200 403"),
        // The name is allowed, and not resolved to this address.
        (json!({ "try": "tls", "to": [SHOP, 443], "sni": "web.example" }), refused),
        (http(SHOP, &["web.example"]), "403"),
        // What is neither is as allowed as its address.
        (json!({ "try": "say", "to": [SHOP, 7], "words": "SSH-2.0-nothing\r\n" }), "answered"),
    ]);
    workspace.assert_quick(&tried);
    tried.denial(&json!({ "kind": "tls", "name": "other.example", "address": WEB, "port": 443 }));
    tried.denial(&json!({ "kind": "tls", "name": "web.example", "address": SHOP, "port": 443 }));
    tried.denial(&json!({ "kind": "http", "name": "other.example", "address": WEB, "port": 80 }));
    let said = [world.events("http"), world.events("tls")].concat();
    let of_others = |event: &&Value| event["host"] == "other.example" || event["sni"] == "other.example";
    assert_eq!(said.iter().filter(of_others).count(), 0, "the server has heard it: {said:#?}");
}

fn check_rebinding(workspace: &Workspace<'_>) {
    let kind_of = |name: &str| if name.contains('6') || name.contains("mapped") { "AAAA" } else { "A" };
    let ask = |(name, _): (&str, &str)| json!({ "try": "dns", "server": "100.96.0.1", "name": name, "kind": kind_of(name) });
    let first = workspace.expect(&REBINDING.map(|name| (ask(name), "NOERROR")));
    assert!(first.denials.is_empty(), "{:#}", json!(first.denials));
    first.assert_each(|_, result| result["answers"].as_array().unwrap().len() == 1);
    let again = workspace.expect(&REBINDING.map(|name| (ask(name), "NXDOMAIN")));
    workspace.assert_quick(&again);
    for (name, rule) in REBINDING {
        again.denial(&json!({ "kind": "dns", "name": name, "rule": rule }));
    }
    // What was true before still is.
    workspace.expect(&[(http(WEB, &["rebind-loop.example"]), "200")]);
}

/// What is said beforehand is what happens then.
fn check_explained(home: &Home, workspace: &Workspace<'_>, rules: &[&str]) {
    let targets = [
        ("web.example", 80),
        ("web.example", 443),
        ("web.example", 7),
        ("other.example", 80),
        ("shop.example", 80),
        ("api.shop.example", 80),
        ("api.shop.example", 7),
        ("missing.example", 80),
        ("203.0.113.53", 80),
        ("203.0.113.53", 7),
        ("203.0.113.66", 80),
        ("2001:db8:2::6", 80),
        ("2001:db8:2::6", 7),
        ("10.9.8.7", 80),
        ("169.254.169.254", 80),
        ("100.96.0.1", 80),
        ("host.pyro.internal", 80),
        ("198.51.100.2", 80),
        ("private.example", 80),
    ];
    let tried =
        workspace.attempt(targets.map(|(host, port)| json!({ "try": "connect", "to": [host, port] })).into());
    let explained = |rules: &[&str]| targets.map(|(host, port)| explain(home, host, port, rules));
    let by_rules = explained(rules);
    tried.assert_each(|at, result| by_rules[at] == (result["outcome"] == "connected"));
    assert_eq!(by_rules, explained(&["--workspace", &workspace.id]));
    assert!(by_rules[0] && !by_rules[2], "{by_rules:?}");
    // Each list is there, and one that is not is not.
    for preset in ["@pypi", "@npm", "@crates", "@debian", "@github"] {
        assert!(!explain(home, WEB, 443, &["--allow", preset]));
    }
    let words = ["network", "explain", "web.example:443", "--allow", "@cargo", "--json"];
    let wrong: Value = serde_json::from_slice(&home.pyro(&words).output().unwrap().stdout).unwrap();
    assert_eq!(wrong["error"]["kind"], "invalid_argument", "{wrong:#}");
    assert!(wrong["error"]["hint"].as_str().unwrap().contains("@crates"), "{wrong:#}");
}

/// Whether `network explain` says that it would be allowed, by its result and by its exit code.
fn explain(home: &Home, host: &str, port: u16, options: &[&str]) -> bool {
    let is_address = host.parse::<std::net::IpAddr>().is_ok();
    let target =
        if is_address && !is_v4(host) { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let output = home.pyro(&[&["network", "explain", &target, "--json"], options].concat()).output().unwrap();
    let explanation: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", report(&output)));
    let allowed = explanation["allowed"].as_bool().unwrap_or_else(|| panic!("{explanation:#}"));
    assert_eq!(output.status.code(), Some(i32::from(!allowed)), "{}", report(&output));
    let last = explanation["steps"].as_array().unwrap().last().unwrap();
    assert!(last["rule"].as_str().is_some_and(|rule| !rule.is_empty()), "{explanation:#}");
    allowed
}

/// People read it behind what a command printed.
fn check_told_in_words(home: &Home, workspace: &Workspace<'_>) {
    let told = |output: std::process::Output| {
        let words = String::from_utf8(output.stderr).unwrap();
        assert!(
            words.contains("[network] denied kind=tcp 203.0.113.66:80: not in the allowlist\n"),
            "{words}"
        );
        assert!(words.contains("--allow 203.0.113.66:80"), "{words}");
        assert_eq!(output.status.code(), Some(7), "{words}");
    };
    let curl = ["curl", "--silent", "http://203.0.113.66/"];
    told(workspace.exec(&curl));
    let run = |options: &[&str]| {
        home.pyro(&[&["run", "debian:12", "--allow", "web.example"], options, &["--"], &curl].concat())
            .output()
            .unwrap()
    };
    told(run(&[]));
    let json: Value = serde_json::from_slice(&run(&["--json"]).stdout).unwrap();
    let denials = json["network_denials"].as_array().unwrap();
    assert_eq!(denials.len(), 1, "{json:#}");
    assert_eq!(
        (&denials[0]["address"], &denials[0]["port"]),
        (&json!("203.0.113.66"), &json!(80)),
        "{json:#}"
    );
    assert_eq!(workspace.sh_json(&[], "true")["network_denials"], json!([]), "of others before");
    let words = workspace.command(&["network"], &[]).output().unwrap();
    let words = String::from_utf8(words.stdout).unwrap();
    assert!(
        words.contains("*.shop.example") && words.contains("203.0.113.66:80: not in the allowlist"),
        "{words}"
    );
}

#[test]
fn a_change_of_the_rules_holds_at_once() {
    let Some(world) = Outside::new() else { return };
    let home = Home::new().within(&world);
    let workspace = home.workspace_with_tools_and(&["--network"]);
    workspace.prepare(&world);
    check_cut_off(&world, &workspace);
    check_added_and_removed(&workspace);
    check_wrong_changes(&workspace);
    check_changed_while_stopped(&world, &workspace);
    drop(workspace);
    home.assert_nothing_left();
    world.assert_gone();
}

/// A download that goes on is reset, on both sides.
fn check_cut_off(world: &Outside, workspace: &Workspace<'_>) {
    let download = workspace.spawn("curl -sS -o /dev/null http://web.example/endless");
    wait_until("the download goes on", || world.sent("/endless") > 500_000);
    let begun = Instant::now();
    let network = workspace.network(&["--reset", "--allow", "none"]);
    assert_eq!(network["policy"], json!({ "mode": "allowlist", "allow": ["none"] }));
    let output = download.wait_with_output().unwrap();
    let after = begun.elapsed();
    // curl(1): 56, receiving failed, as with a reset.
    assert_eq!(output.status.code(), Some(56), "{}", report(&output));
    assert!(after < Duration::from_secs(5), "{after:?}");
    wait_until("the server sees a reset", || world.events("end of endless").len() == 1);
    assert_eq!(world.events("end of endless")[0]["error"], "ConnectionResetError");
    let tried = workspace.expect(&[(look_up("web.example"), "no such name"), (tcp(WEB, 80), "ECONNREFUSED")]);
    workspace.assert_quick(&tried);
}

fn check_added_and_removed(workspace: &Workspace<'_>) {
    let rules = |network: &Value| network["policy"]["allow"].clone();
    // A rule takes the place of `none`.
    assert_eq!(rules(&workspace.network(&["--allow", "web.example:80"])), json!(["web.example:80"]));
    workspace.expect(&[(tcp("web.example", 80), "200"), (tcp("shop.example", 80), "no such name")]);
    let both = workspace.network(&["--allow", "shop.example"]);
    assert_eq!(rules(&both), json!(["web.example:80", "shop.example"]));
    workspace.expect(&[(tcp("web.example", 80), "200"), (tcp("shop.example", 80), "200")]);
    assert_eq!(rules(&workspace.network(&["--remove", "web.example:80"])), json!(["shop.example"]));
    let tried = workspace.expect(&[(tcp(WEB, 80), "ECONNREFUSED"), (tcp("shop.example", 80), "200")]);
    workspace.assert_quick(&tried);
    // Whoever takes the last one away opens nothing.
    assert_eq!(rules(&workspace.network(&["--remove", "SHOP.example"])), json!(["none"]));
    workspace.expect(&[(tcp(WEB, 80), "ECONNREFUSED"), (tcp(SHOP, 80), "ECONNREFUSED")]);
    assert_eq!(workspace.network(&["--reset"])["policy"], json!({ "mode": "open", "allow": [] }));
    workspace.expect(&[(tcp(WEB, 80), "200"), (tcp("10.9.8.7", 80), "ECONNREFUSED")]);
}

/// What cannot be changes nothing.
fn check_wrong_changes(workspace: &Workspace<'_>) {
    let before = workspace.network(&[])["policy"].clone();
    for (change, kind) in [
        (&["--allow", "http://web.example/"][..], "invalid_argument"),
        (&["--allow", "web.example", "--allow", "*shop.example"], "invalid_argument"),
        (&["--allow", "127.0.0.1:80"], "invalid_argument"),
        (&["--remove", "web.example"], "not_found"),
    ] {
        let error = workspace.refused(&["network"], change);
        assert!(error["kind"] == kind && error["hint"].is_string(), "{change:?}: {error:#}");
    }
    assert_eq!(workspace.network(&[])["policy"], before);
}

fn check_changed_while_stopped(world: &Outside, workspace: &Workspace<'_>) {
    workspace.stop();
    let network = workspace.network(&["--allow", "shop.example:80"]);
    assert_eq!(network["policy"]["allow"], json!(["shop.example:80"]), "{network:#}");
    assert_eq!(network["status"], Value::Null, "{network:#}");
    workspace.start();
    workspace.prepare(world);
    workspace.expect(&[
        (tcp("shop.example", 80), "200"),
        (tcp(SHOP, 443), "ECONNREFUSED"),
        (look_up("web.example"), "no such name"),
    ]);
    assert_eq!(workspace.status()["network_allow"], json!(["shop.example:80"]));
}
