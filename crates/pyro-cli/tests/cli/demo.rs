//! `pyro demo` and `pyro demo ollama` where no guest is needed: refusals, and servers that are none.

use crate::fails;
use crate::home::{Home, LIMIT, NO_QEMU};
use crate::model_server::{ModelServer, Reply, calls, says};
use serde_json::{Value, json as value};
use std::process::{Output, Stdio};
use std::time::Instant;

const OLLAMA: [&str; 2] = ["demo", "ollama"];

#[test]
fn wrong_usage_is_2() {
    assert!(fails(&["demo", "frobnicate"], 2).contains("unrecognized subcommand"));
    assert!(fails(&["demo", "ollama", "--network"], 2).contains("--network"));
    assert!(fails(&["demo", "ollama", "--timeout-seconds", "0"], 2).contains("timeout_seconds is 0"));
}

#[test]
fn a_host_without_qemu_hears_what_to_do() {
    let home = Home::new();
    let output = home.run(&["demo"]);
    let (stdout, stderr) = texts(&output);
    assert_eq!(output.status.code(), Some(125), "{stderr}");
    assert!(stdout.contains("1. Look what this host can do") && !stdout.contains("2. "), "{stdout}");
    assert!(stderr.contains("guests cannot run on this host") && stderr.contains(NO_QEMU), "{stderr}");
    assert!(stderr.contains("hint: pyro doctor"), "{stderr}");
}

#[test]
fn https_is_refused_and_what_to_do_is_said() {
    let stderr = fails(&["demo", "ollama", "--base-url", "https://api.example.com/v1"], 2);
    assert!(stderr.contains("wants https") && stderr.contains("hint: "), "{stderr}");
    assert!(fails(&["demo", "ollama", "--base-url", "localhost:11434"], 2).contains("http://"));
}

#[test]
fn a_missing_server_is_named() {
    // Nobody listens on a port that has just been given back.
    let url = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let failed = ollama(&url, &[]);
    assert_eq!(failed.kind, "io");
    assert!(
        failed.message.contains(&format!("could not reach a model server at {url}/v1")),
        "{}",
        failed.message
    );
    assert!(failed.hint.contains("ollama serve") && failed.hint.contains("--base-url"), "{}", failed.hint);
}

#[test]
fn the_last_line_is_the_summary_also_of_a_failure() {
    let server = ModelServer::start([]);
    let output = run(&server.url(), &["--model", "a b"]);
    let (stdout, stderr) = texts(&output);
    assert_eq!(output.status.code(), Some(125), "{stderr}");
    let last = stdout.lines().last().unwrap();
    let summary = "[summary] exit_code=125 execution_mode=none model='a b' tool_calls=0 duration_ms=";
    assert!(last.starts_with(summary), "{stdout}");
    assert!(stderr.starts_with("error: ") && stderr.contains("hint: "), "{stderr}");
}

#[test]
fn refusals_of_the_server_are_told_with_what_to_do() {
    let body =
        |message: &str| serde_json::json!({"error": {"message": message, "type": "api_error"}}).to_string();
    for (status, said, kind, message, hint) in [
        (
            404,
            body("model \"m\" not found, try pulling it first"),
            "not_found",
            "has no model m",
            "ollama pull m",
        ),
        (
            400,
            body("library/m does not support tools"),
            "unsupported",
            "model m cannot call tools",
            "llama3.2",
        ),
        (404, "404 page not found".into(), "io", "404 page not found", "--base-url"),
        (401, body("no key"), "io", "HTTP 401: no key", "ollama serve"),
        (500, "oh".repeat(5_000_000), "limit_reached", "more than 4 MiB", "--base-url"),
        (503, String::new(), "io", "HTTP 503", "log of the server"),
        (302, String::new(), "io", "HTTP 302", "log of the server"),
    ] {
        let server = ModelServer::start([Reply::Status(status, said)]);
        let failed = ollama(&server.url(), &["--model", "m"]);
        assert_eq!(failed.kind, kind, "{status}: {}", failed.message);
        assert!(failed.message.contains(message), "{status}: {}", failed.message);
        assert!(failed.hint.contains(hint), "{status}: {}", failed.hint);
        assert!(failed.message.len() < 1000);
    }
}

#[test]
fn answers_that_are_none_are_told() {
    for (reply, message) in [
        (Reply::Bytes(b"SSH-2.0-OpenSSH_9.2\r\n"), "has not answered to the end"),
        (Reply::Bytes(b""), "has not answered to the end"),
        (Reply::Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"ch"), "has not answered to the end"),
        (Reply::Status(200, "<html>".into()), "no chat completion: \"<html>\""),
        (Reply::Status(200, "{\"choices\": []}".into()), "no chat completion"),
        (
            Reply::Status(200, "{\"choices\": [{\"message\": {\"tool_calls\": 5}}]}".into()),
            "no chat completion",
        ),
        (Reply::Status(200, "\u{1b}[2J".into()), r#""\u{1b}[2J""#),
    ] {
        let server = ModelServer::start([reply]);
        let failed = ollama(&server.url(), &[]);
        assert_eq!(failed.kind, "io", "{}", failed.message);
        assert!(failed.message.contains(message), "{}", failed.message);
        assert!(!failed.hint.is_empty());
    }
}

#[test]
fn an_endless_answer_is_not_read_to_its_end() {
    let server = ModelServer::start([Reply::Endless]);
    let failed = ollama(&server.url(), &[]);
    assert_eq!(failed.kind, "limit_reached", "{}", failed.message);
}

#[test]
fn a_server_that_hangs_is_not_waited_for() {
    let server = ModelServer::start([Reply::Nothing]);
    let failed = ollama(&server.url(), &["--timeout-seconds", "1"]);
    assert_eq!(failed.kind, "timeout", "{}", failed.message);
    assert!(failed.hint.contains("--timeout-seconds"), "{}", failed.hint);
}

#[test]
fn ctrl_c_ends_the_waiting() {
    let home = Home::new();
    let server = ModelServer::start([Reply::Nothing]);
    let mut command = home.command(&[&OLLAMA[..], &["--base-url", &server.url()]].concat());
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    crate::home::eventually("no request comes", || !server.requests().is_empty());
    let begun = Instant::now();
    assert!(
        std::process::Command::new("kill")
            .args(["-INT", &child.id().to_string()])
            .status()
            .unwrap()
            .success()
    );
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert!(begun.elapsed() < LIMIT, "it waited for the answer");
    assert!(texts(&output).0.lines().last().unwrap().starts_with("[summary] exit_code=130 "));
}

#[test]
fn a_model_that_calls_nothing_has_failed() {
    for (text, answered) in [("It is 2.39.", true), ("", false)] {
        let server = ModelServer::start([says(text)]);
        let failed = ollama(&server.url(), &[]);
        assert_eq!(failed.kind, "unsupported");
        assert!(failed.message.contains("without calling vm_run"), "{answered}: {}", failed.message);
        assert!(failed.hint.contains("--model"), "{}", failed.hint);
    }
}

#[test]
fn a_model_that_never_ends_is_ended() {
    let server = ModelServer::start(std::iter::repeat_with(|| calls("rm_rf", "{}")).take(20));
    let failed = ollama(&server.url(), &[]);
    assert_eq!(failed.kind, "limit_reached", "{}", failed.message);
    let requests = server.requests();
    assert_eq!(requests.len(), 8);
    assert!(requests[7].head.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"), "{}", requests[7].head);
    let told = requests[1].body["messages"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((&told["role"], &told["tool_call_id"]), (&"tool".into(), &"call_x".into()));
    let told = told["content"].as_str().unwrap();
    assert_eq!(told, "error (not_found): there is no tool \"rm_rf\"\nhint: call vm_run");
}

#[test]
fn a_model_cannot_leave_its_guest() {
    let home = Home::new();
    let marker = home.path("marker");
    let command = format!("touch {}", marker.display());
    let wanted = |name: &str, it: Value| {
        calls("vm_run", &value!({"environment": "debian:12", "command": command, name: it}).to_string())
    };
    let server = ModelServer::start([
        wanted("allow_host_compat", true.into()),
        wanted("network", true.into()),
        wanted("mem_mib", 1_000_000.into()),
        wanted("timeout_seconds", 61.into()),
        says("Done."),
    ]);
    let output = home.run(&[&OLLAMA[..], &["--base-url", &server.url()]].concat());
    assert_eq!(output.status.code(), Some(125), "{}", texts(&output).0);
    assert!(!marker.exists(), "the command ran on the host");
    let requests = server.requests();
    let hint = "\nhint: vm_run takes environment, command, timeout_seconds, for example {";
    for (request, name) in requests[1..].iter().zip(["allow_host_compat", "network", "mem_mib"]) {
        let refused =
            format!("error (invalid_argument): wrong arguments for vm_run: unknown field `{name}`{hint}");
        assert!(request.told().starts_with(&refused), "{}", request.told());
    }
    let refused = "error (invalid_argument): timeout_seconds is 61, which is not in 1 to 60\nhint: ";
    assert!(requests[4].told().starts_with(refused), "{}", requests[4].told());
}

#[test]
fn a_model_is_offered_what_it_may_say() {
    let server = ModelServer::start([says("")]);
    ollama(&server.url(), &[]);
    let parameters = &server.requests()[0].body["tools"][0]["function"]["parameters"];
    let offered: Vec<&String> = parameters["properties"].as_object().unwrap().keys().collect();
    assert_eq!(offered, ["command", "environment", "timeout_seconds"]);
    assert_eq!(parameters["properties"]["timeout_seconds"]["maximum"], 60);
}

#[test]
fn of_many_calls_few_are_kept() {
    let call = value!({"function": {"name": "x"}});
    let many = Reply::Says(value!({"tool_calls": vec![call; 150_000]}));
    let server = ModelServer::start([many, says("Done.")]);
    let failed = ollama(&server.url(), &[]);
    assert_eq!(failed.kind, "unsupported", "{}", failed.message);
    let requests = server.requests();
    let messages = requests[1].body["messages"].as_array().unwrap();
    let called: Vec<&Value> =
        messages[2]["tool_calls"].as_array().unwrap().iter().map(|it| &it["id"]).collect();
    let answered: Vec<&Value> = messages[3..].iter().map(|it| &it["tool_call_id"]).collect();
    assert_eq!((called.len(), &called), (5, &answered));
    assert_eq!(
        requests[1].told(),
        "error (limit_reached): only 4 calls are done at a time, 149996 more were dropped\n\
         hint: make again those that are still needed"
    );
    assert!(requests[1].body.to_string().len() < 10_000);
}

#[test]
fn what_a_server_makes_too_long_is_not_kept() {
    let long = "ä".repeat(200_000);
    let call = |name: &str, arguments: String| value!({"id": long, "function": {"name": name, "arguments": arguments}});
    let arguments = value!({"environment": "debian:12", "command": long}).to_string();
    let server = ModelServer::start([
        Reply::Says(
            value!({"content": long, "tool_calls": [call(&long, "{}".into()), call("vm_run", arguments)]}),
        ),
        says("Done."),
    ]);
    ollama(&server.url(), &[]);
    let requests = server.requests();
    let second = &requests[1].body["messages"][2];
    assert_eq!(second["content"].as_str().unwrap().len(), 8000);
    assert_eq!(
        (&second["tool_calls"][0]["id"], &second["tool_calls"][1]["id"]),
        (&"call_0".into(), &"call_1".into())
    );
    assert_eq!(second["tool_calls"][1]["function"]["arguments"], "{}");
    let refused =
        "error (invalid_argument): the arguments of vm_run are 400040 bytes, more than 8000\nhint: ";
    assert!(requests[1].told().starts_with(refused), "{}", requests[1].told());
    assert!(requests[1].body.to_string().len() < 20_000);
}

#[test]
fn with_verbose_requests_and_answers_are_shown() {
    let server = ModelServer::start([says(&format!("\u{1b}[31mred{}", "\nmore".repeat(1000)))]);
    let output = run(&server.url(), &["--verbose"]);
    let (stdout, _) = texts(&output);
    assert!(stdout.contains("[model] [... 961 more lines]\n") && stdout.lines().count() < 100, "{stdout}");
    assert!(stdout.contains("[request] ") && stdout.contains("\"model\":\"llama3.2:3b\""), "{stdout}");
    assert!(stdout.contains("[answer] ") && stdout.contains(r#"{"choices":["#), "{stdout}");
    assert!(stdout.contains(r"[model] \u{1b}[31mred") && !stdout.contains('\u{1b}'), "{stdout}");
}

struct Failed {
    kind: String,
    message: String,
    hint: String,
}

/// The failure of a conversation, as JSON, which is all that is on standard output.
fn ollama(url: &str, options: &[&str]) -> Failed {
    let output = run(url, &[options, &["--json"]].concat());
    assert_eq!(output.status.code(), Some(125), "{}", texts(&output).1);
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    let word = |name: &str| value["error"][name].as_str().unwrap_or_else(|| panic!("{value}")).to_owned();
    Failed { kind: word("kind"), message: word("message"), hint: word("hint") }
}

fn run(url: &str, options: &[&str]) -> Output {
    Home::new().run(&[&OLLAMA[..], &["--base-url", url], options].concat())
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}
