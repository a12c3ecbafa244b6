//! Ports of a guest that the host reaches at its loopback, and nobody else does: as long as the workspace is there, or the
//! service, and whatever the guest itself may talk to.

use crate::home::{Home, wait_until};
use crate::outside::{OWN, Outside, WEB};
use crate::workspace::Workspace;
use serde_json::{Value, json};

/// A server in the guest.
const SERVER: &str = "exec python3 -m http.server --directory /root";

#[test]
fn published_ports_are_reached_from_this_host_alone() {
    let Some(world) = Outside::new() else { return };
    let home = Home::new().within(&world);
    let workspace = home.workspace_with_tools_and(&["--allow", "none"]);
    workspace.prepare(&world);
    workspace.sh("echo of the guest > /root/word; head -c 20000000 /dev/urandom > /root/large");
    workspace.serve("web", &["--ready-tcp", "127.0.0.1:8000"], &format!("{SERVER} 8000"));
    let port = check_published(&world, &workspace);
    check_in_use(&workspace, port);
    check_several_at_once(&world, &workspace, port);
    check_none_allowed(&workspace);
    check_of_service(&world, &workspace);
    check_stopped_and_started(&world, &workspace, port);
    check_taken_back(&world, &workspace, port);
    drop(workspace);
    home.assert_nothing_left();
    world.assert_gone();
}

/// What comes of asking for the word.
fn word(world: &Outside, port: u16) -> Value {
    world.host.get("127.0.0.1", port, "/word")
}

fn is_served(world: &Outside, port: u16) -> bool {
    word(world, port)["text"] == "of the guest\n"
}

fn is_refused(world: &Outside, port: u16) -> bool {
    word(world, port)["error"] == "ConnectionRefusedError"
}

fn port(published: &Value) -> u16 {
    published["host_port"].as_u64().unwrap().try_into().unwrap()
}

/// At any free port, which is told.
fn check_published(world: &Outside, workspace: &Workspace<'_>) -> u16 {
    let published = workspace.done(&["publish"], &["0:8000"]);
    let port = port(&published);
    assert_eq!(published, json!({ "workspace_id": workspace.id, "host_port": port, "guest_port": 8000 }));
    assert!(is_served(world, port), "{}", word(world, port));
    let told = json!([{ "host_port": port, "guest_port": 8000 }]);
    assert_eq!(workspace.status()["published"], told);
    assert_eq!(workspace.network(&[])["published"], told);
    let words = workspace.command(&["status"], &[]).output().unwrap();
    assert!(String::from_utf8(words.stdout).unwrap().contains(&format!("127.0.0.1:{port}->8000")));
    // Not at the host's other addresses, from wherever.
    for address in OWN.iter().chain(&["::1", "127.0.0.2"]) {
        assert_eq!(world.host.get(address, port, "/")["error"], "ConnectionRefusedError", "{address}");
    }
    for address in OWN {
        assert_eq!(world.outside.get(address, port, "/")["error"], "ConnectionRefusedError", "{address}");
    }
    port
}

fn check_in_use(workspace: &Workspace<'_>, port: u16) {
    // By another program, by this workspace.
    for taken in [80, port] {
        let error = workspace.refused(&["publish"], &[&format!("{taken}:8000")]);
        assert_eq!(error["kind"], "already_exists", "{error:#}");
        assert!(error["hint"].as_str().unwrap().contains("0:GUEST_PORT"), "{error:#}");
        assert!(error.to_string().contains(&taken.to_string()), "{error:#}");
    }
    assert_eq!(workspace.status()["published"].as_array().unwrap().len(), 1);
}

/// Two ports of the host may lead to one of the guest, and one where nobody listens is refused there.
fn check_several_at_once(world: &Outside, workspace: &Workspace<'_>, first: u16) {
    let second = port(&workspace.done(&["publish"], &["0:8000"]));
    let nobody = port(&workspace.done(&["publish"], &["0:8001"]));
    assert!(first != second && is_served(world, first) && is_served(world, second));
    let answer = word(world, nobody);
    assert!(answer["error"].is_string(), "{answer}");
    let md5 = workspace.sh("md5sum < /root/large");
    let large = world.host.get("127.0.0.1", second, "/large");
    assert_eq!(large["md5"].as_str(), md5.split(' ').next(), "{large}");
    for port in [second, nobody] {
        workspace.done(&["publish"], &["--remove", &port.to_string()]);
        assert!(is_refused(world, port));
    }
    assert!(is_served(world, first));
}

/// That others reach the guest does not mean that it reaches anybody.
fn check_none_allowed(workspace: &Workspace<'_>) {
    let refused = "ECONNREFUSED|EHOSTUNREACH|refused|no such name|NXDOMAIN";
    let attempts = [
        json!({ "try": "tcp", "to": [WEB, 80] }),
        json!({ "try": "udp", "to": [WEB, 7] }),
        json!({ "try": "ping", "to": WEB }),
        json!({ "try": "look_up", "name": "web.example" }),
        json!({ "try": "dns", "server": "100.96.0.1", "name": "web.example" }),
        json!({ "try": "tcp", "to": ["100.96.0.1", 80] }),
    ];
    let tried = workspace.expect(&attempts.map(|attempt| (attempt, refused)));
    workspace.assert_quick(&tried);
    assert!(tried.denials.len() >= 5, "{:#}", json!(tried.denials));
}

/// The port of a service ends with it, and may be had again at once.
fn check_of_service(world: &Outside, workspace: &Workspace<'_>) {
    let options = ["--publish", "0:8100", "--ready-tcp", "127.0.0.1:8100"];
    let started = workspace.serve("own", &options, &format!("{SERVER} 8100"));
    let port = port(&started["published"][0]);
    assert!(is_served(world, port), "{}", word(world, port));
    assert_eq!(workspace.service("own")["published"], json!([{ "host_port": port, "guest_port": 8100 }]));
    let fixed = format!("{port}:8100");
    let options = ["--publish", &fixed, "--ready-tcp", "127.0.0.1:8100"];
    for _ in 0..3 {
        workspace.stop_service("own");
        assert!(is_refused(world, port));
        let again = workspace.serve("own", &options, &format!("{SERVER} 8100"));
        assert_eq!(again["published"], json!([{ "host_port": port, "guest_port": 8100 }]), "{again:#}");
        assert!(is_served(world, port), "{}", word(world, port));
    }
    let error = workspace.serve_refused("other", &options, &format!("{SERVER} 8100"));
    assert_eq!(error["kind"], "already_exists", "{error:#}");
    // It is not the workspace's, to be taken back there; and when the service ends by itself, it is over too.
    assert_eq!(workspace.refused(&["publish"], &["--remove", &port.to_string()])["kind"], "not_found");
    workspace.sh("pkill -f '[h]ttp.server.*8100'");
    workspace.service_in("own", "exited");
    wait_until("the port is closed", || is_refused(world, port));
}

fn check_stopped_and_started(world: &Outside, workspace: &Workspace<'_>, port: u16) {
    let told = workspace.status()["published"].clone();
    workspace.stop();
    assert!(is_refused(world, port));
    assert_eq!(workspace.status()["published"], told, "it will be there again");
    workspace.start();
    assert_eq!(workspace.status()["published"], told);
    workspace.serve("web", &["--ready-tcp", "127.0.0.1:8000"], &format!("{SERVER} 8000"));
    assert!(is_served(world, port), "{}", word(world, port));
}

fn check_taken_back(world: &Outside, workspace: &Workspace<'_>, port: u16) {
    let error = workspace.refused(&["publish"], &["--remove", "1"]);
    assert_eq!(error["kind"], "not_found", "{error:#}");
    workspace.done(&["publish"], &["--remove", &port.to_string()]);
    assert!(is_refused(world, port));
    assert_eq!(workspace.status()["published"], json!([]));
    // With the workspace ends what it has.
    let last = self::port(&workspace.done(&["publish"], &["0:8000"]));
    assert!(is_served(world, last), "{}", word(world, last));
    workspace.delete();
    wait_until("the port is closed", || is_refused(world, last));
}
