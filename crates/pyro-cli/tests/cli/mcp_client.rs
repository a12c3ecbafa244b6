//! A client that speaks to `pyro mcp serve` line by line, so that tests see what goes over the pipe.
#![allow(clippy::needless_pass_by_value, reason = "calls are easier to read with values")]

use crate::home::{Home, LIMIT};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

/// What every request of the revision of 2026 carries.
pub fn modern_meta() -> Value {
    json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    })
}

pub struct Client {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<Value>,
    last_id: u64,
    /// Notifications that came.
    pub told: Vec<Value>,
}

impl Client {
    /// A server with these options that nobody has spoken to.
    pub fn silent(home: &Home, options: &[&str]) -> Self {
        Self::of(home.command(&[&["mcp", "serve"], options].concat()))
    }

    fn of(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
                let _ = sender.send(value); // the test may be over
            }
        });
        let input = child.stdin.take();
        Self { child, input, lines, last_id: 0, told: Vec::new() }
    }

    /// A server with these options that knows its client, as in the revisions of 2025.
    pub fn start(home: &Home, options: &[&str]) -> Self {
        Self::silent(home, options).introduced()
    }

    /// The same with a setting in its environment.
    pub fn start_with(home: &Home, variable: &str, value: &str) -> Self {
        let mut command = home.command(&["mcp", "serve"]);
        command.env(variable, value);
        Self::of(command).introduced()
    }

    fn introduced(mut self) -> Self {
        let info = json!({"name": "test", "version": "1"});
        let params = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": info});
        let answer = self.request("initialize", params);
        assert_eq!(answer["result"]["protocolVersion"], "2025-11-25", "{answer}");
        self.notify("notifications/initialized", json!({}));
        self
    }

    /// Tells something that is not answered.
    pub fn notify(&mut self, method: &str, params: Value) {
        self.send(&json!({"jsonrpc": "2.0", "method": method, "params": params}));
    }

    fn send(&mut self, message: &Value) {
        writeln!(self.input.as_mut().unwrap(), "{message}").unwrap();
    }

    /// Sends a request and does not wait.
    pub fn ask(&mut self, method: &str, params: Value) -> u64 {
        self.last_id += 1;
        self.send(&json!({"jsonrpc": "2.0", "id": self.last_id, "method": method, "params": params}));
        self.last_id
    }

    /// The answer to the latest request.
    pub fn request(&mut self, method: &str, params: Value) -> Value {
        let id = self.ask(method, params);
        loop {
            let message = self.lines.recv_timeout(LIMIT).unwrap_or_else(|error| panic!("{method}: {error}"));
            if message["id"] == id {
                return message;
            }
            assert!(message.get("id").is_none(), "{message}");
            self.told.push(message);
        }
    }

    /// The answer to a line that may be anything.
    pub fn line(&mut self, line: &str) -> Value {
        writeln!(self.input.as_mut().unwrap(), "{line}").unwrap();
        self.lines.recv_timeout(LIMIT).unwrap_or_else(|error| panic!("{error}"))
    }

    pub fn tools(&mut self) -> Vec<Value> {
        self.request("tools/list", json!({}))["result"]["tools"].as_array().unwrap().clone()
    }

    /// What a call gives, whose text and structured content must say the same.
    fn call(&mut self, tool: &str, arguments: Value) -> Value {
        let params = json!({"name": tool, "arguments": arguments, "_meta": {"progressToken": "p"}});
        let answer = self.request("tools/call", params);
        let result = answer.get("result").unwrap_or_else(|| panic!("{answer}")).clone();
        assert_eq!(result["content"].as_array().unwrap().len(), 1);
        result
    }

    /// The structured content of a call that must succeed.
    pub fn done(&mut self, tool: &str, arguments: Value) -> Value {
        let result = self.call(tool, arguments);
        assert_eq!(result["isError"], false, "{result}");
        let text: Value = serde_json::from_str(result["content"][0]["text"].as_str().unwrap()).unwrap();
        assert_eq!(text, result["structuredContent"]);
        text
    }

    /// The kind and the hint of a call that must fail.
    pub fn refused(&mut self, tool: &str, arguments: Value) -> (String, String) {
        let result = self.call(tool, arguments);
        assert_eq!(result["isError"], true, "{result}");
        let error = &result["structuredContent"]["error"];
        let word = |name: &str| error[name].as_str().unwrap_or_else(|| panic!("{result}")).to_owned();
        let (kind, message, hint) = (word("kind"), word("message"), word("hint"));
        let text = format!("error ({kind}): {message}\nhint: {hint}");
        assert_eq!(result["content"][0]["text"], text);
        (kind, hint)
    }

    /// Closes the server's input and waits for its end.
    pub fn end(mut self) -> ExitStatus {
        self.input = None;
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(begun.elapsed() < LIMIT, "the server does not end");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended
        let _ = self.child.wait();
    }
}
