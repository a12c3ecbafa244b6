//! `pyro demo ollama`: a scripted model, and real guests that do what it calls.

use crate::home::{BASE, Home, report};
use crate::model_server::{ModelServer, Reply, calls, says};
use serde_json::{Value, json};
use std::process::Output;

const UNAME: &str = r#"{"environment": "debian:12-base", "command": ["uname", "-sn"]}"#;

fn ollama(home: &Home, server: &ModelServer, options: &[&str]) -> Output {
    home.pyro(&[&["demo", "ollama", "--base-url", &server.url()], options].concat()).output().unwrap()
}

/// What the model was told of its latest call, before its request of this number.
fn told(server: &ModelServer, request: usize) -> String {
    let requests = server.requests();
    let message = requests[request].body["messages"].as_array().unwrap().last().unwrap();
    assert_eq!(message["role"], "tool", "{message}");
    message["content"].as_str().unwrap().to_owned()
}

#[test]
fn a_model_calls_the_tool_and_answers() {
    let home = Home::new().warmed();
    let server = ModelServer::start([calls("vm_run", UNAME), says("It is Linux.")]);
    let output = ollama(&home, &server, &["--model", "tiny:1b"]);
    assert!(output.status.success(), "{}", report(&output));
    let stdout = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = stdout.lines().collect();
    let starts =
        ["[demo] asking tiny:1b at http://127.0.0.1:", "[model] calls vm_run with {", "[tool] vm_run: {"];
    for (line, start) in lines.iter().zip(starts) {
        assert!(line.starts_with(start), "{stdout}");
    }
    assert!(lines[2].contains(r#""stdout":"Linux pyro-"#), "{stdout}");
    assert_eq!((lines[3], lines.len()), ("[model] It is Linux.", 5), "{stdout}");
    let summary = "[summary] exit_code=0 execution_mode=guest model=tiny:1b tool_calls=1 duration_ms=";
    assert!(lines[4].starts_with(summary), "{stdout}");
    check_requests(&server);
    home.assert_nothing_left();
}

/// The protocol as servers want it, and the guest's own output in what the model is told.
fn check_requests(server: &ModelServer) {
    let requests = server.requests();
    assert_eq!(requests.len(), 2);
    for request in &requests {
        assert!(request.head.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"), "{}", request.head);
        assert!(
            request.head.to_lowercase().contains("content-type: application/json\r\n"),
            "{}",
            request.head
        );
        let body = &request.body;
        assert_eq!((&body["model"], &body["stream"]), (&"tiny:1b".into(), &false.into()));
        let tools = body["tools"].as_array().unwrap();
        assert_eq!((tools.len(), &tools[0]["type"]), (1, &"function".into()));
        let function = &tools[0]["function"];
        assert_eq!(function["name"], "vm_run");
        assert!(function["description"].as_str().unwrap().contains("microVM"));
        let schema = &function["parameters"];
        assert_eq!(
            (&schema["type"], &schema["required"]),
            (&"object".into(), &json!(["environment", "command"]))
        );
        assert_eq!(schema["properties"]["timeout_seconds"]["type"], "integer");
    }
    let first = requests[0].body["messages"].as_array().unwrap();
    assert_eq!((first.len(), &first[0]["role"], &first[1]["role"]), (2, &"system".into(), &"user".into()));
    let second = requests[1].body["messages"].as_array().unwrap();
    assert_eq!(second[..2], first[..]);
    assert_eq!(second.len(), 4);
    let function = json!({"name": "vm_run", "arguments": UNAME});
    let call = json!({"id": "call_x", "type": "function", "function": function});
    assert_eq!(second[2], json!({"role": "assistant", "content": "", "tool_calls": [call]}));
    assert_eq!((&second[3]["role"], &second[3]["tool_call_id"]), (&"tool".into(), &"call_x".into()));
    let result: Value = serde_json::from_str(second[3]["content"].as_str().unwrap()).unwrap();
    assert_eq!((&result["exit_code"], &result["execution_mode"]), (&0.into(), &"guest".into()), "{result}");
    assert!(result["stdout"].as_str().unwrap().starts_with("Linux pyro-"), "{result}");
}

#[test]
fn a_model_is_told_its_mistakes_and_recovers() {
    let home = Home::new().warmed();
    let server = ModelServer::start([
        calls("vm_run", "{\"environment\": "),
        calls("run_command", "{}"),
        calls("vm_run", r#"{"environment": "ubuntu", "command": "true"}"#),
        calls("vm_run", r#"{"environment": "debian:12-base", "command": "true", "shell": "bash"}"#),
        calls("vm_run", r#"{"environment": "debian:12-base", "command": "echo no >&2; exit 3"}"#),
        Reply::Says(json!({"tool_calls": [
            // As some servers have it: no id, and the arguments as they are.
            {"function": {"name": "vm_run", "arguments": {"environment": BASE, "command": "echo $((6 * 7))"}}},
        ]})),
        says("42"),
    ]);
    let output = ollama(&home, &server, &["--json"]);
    assert!(output.status.success(), "{}", report(&output));
    let wrong = told(&server, 1);
    assert!(
        wrong.starts_with("error (invalid_argument): the arguments of vm_run are no JSON object: EOF"),
        "{wrong}"
    );
    assert!(wrong.contains("\nhint: write one JSON object, for example {"), "{wrong}");
    assert_eq!(told(&server, 2), "error (not_found): there is no tool \"run_command\"\nhint: call vm_run");
    let unknown = told(&server, 3);
    assert!(unknown.starts_with("error (not_found): ") && unknown.contains("debian:12-base"), "{unknown}");
    let superfluous = told(&server, 4);
    assert!(
        superfluous.contains("unknown field `shell`") && superfluous.contains("vm_run takes "),
        "{superfluous}"
    );
    let ended: Value = serde_json::from_str(&told(&server, 5)).unwrap();
    assert_eq!((&ended["exit_code"], &ended["stderr"]), (&3.into(), &"no\n".into()));
    let done: Value = serde_json::from_str(&told(&server, 6)).unwrap();
    assert_eq!((&done["exit_code"], &done["stdout"]), (&0.into(), &"42\n".into()));
    check_report(&serde_json::from_slice(&output.stdout).unwrap());
    home.assert_nothing_left();
}

fn check_report(report: &Value) {
    let calls = report["calls"].as_array().unwrap();
    let failed: Vec<bool> = calls.iter().map(|call| call["is_error"].as_bool().unwrap()).collect();
    assert_eq!(failed, [true, true, true, true, false, false]);
    assert_eq!((&report["tool_calls"], &report["rounds"]), (&6.into(), &7.into()));
    assert_eq!(report["answer"], "42");
    assert_eq!(report["execution_mode"], "guest");
    assert_eq!(calls[0]["arguments"], "{\"environment\": ");
}

#[test]
fn only_a_command_that_succeeded_counts() {
    let home = Home::new().warmed();
    let fails = r#"{"environment": "debian:12-base", "command": "exit 3"}"#;
    let server = ModelServer::start([calls("vm_run", fails), says("It worked!")]);
    let output = ollama(&home, &server, &[]);
    assert_eq!(output.status.code(), Some(125), "{}", report(&output));
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(stdout.lines().last().unwrap().starts_with("[summary] exit_code=125 "), "{stdout}");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("error: no call of vm_run") && stderr.contains("hint: "), "{stderr}");
    home.assert_nothing_left();
}

#[test]
fn a_model_that_says_nothing_in_the_end_has_failed() {
    let home = Home::new().warmed();
    let server = ModelServer::start([calls("vm_run", UNAME), says("")]);
    let output = ollama(&home, &server, &[]);
    assert_eq!(output.status.code(), Some(125), "{}", report(&output));
    assert!(String::from_utf8_lossy(&output.stderr).contains("then said nothing"), "{}", report(&output));
    home.assert_nothing_left();
}
