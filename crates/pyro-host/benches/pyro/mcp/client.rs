//! A client of `pyro mcp serve`, as thin as can be: what is timed is the server.

use super::PAUSE;
use crate::Result;
use crate::executable::Executable;
use crate::samples::milliseconds;
use serde_json::{Value, json};
use std::process::Stdio;
use std::time::Instant;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

pub struct Client {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    last_id: u64,
}

impl Client {
    /// Starts a server and introduces itself.
    pub async fn start(executable: &Executable) -> Result<Self> {
        let mut command = Command::from(executable.command(&["mcp", "serve"]));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let input = child.stdin.take().ok_or("the server has no input")?;
        let output = child.stdout.take().ok_or("the server has no output")?;
        let mut client = Self { child, input, output: BufReader::new(output).lines(), last_id: 0 };
        let info = json!({"name": "bench", "version": "1"});
        let params = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": info});
        client.request("initialize", params).await?;
        client.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await?;
        Ok(client)
    }

    /// Milliseconds from the start of a server to its first answer.
    pub async fn time_start(executable: &Executable) -> Result<f64> {
        let begun = Instant::now();
        let client = Self::start(executable).await?;
        let elapsed = milliseconds(begun.elapsed());
        client.end().await?;
        Ok(elapsed)
    }

    /// Milliseconds of one `true` in a workspace.
    pub async fn exec(&mut self, id: &str) -> Result<f64> {
        tokio::time::sleep(PAUSE).await;
        let arguments = json!({"workspace_id": id, "command": ["true"]});
        let begun = Instant::now();
        let result =
            self.request("tools/call", json!({"name": "workspace_exec", "arguments": arguments})).await?;
        let elapsed = milliseconds(begun.elapsed());
        if result["structuredContent"]["exit_code"] == 0 {
            Ok(elapsed)
        } else {
            Err(result.to_string().into())
        }
    }

    /// Milliseconds of a list of all tools.
    pub async fn list(&mut self) -> Result<f64> {
        let begun = Instant::now();
        self.request("tools/list", json!({})).await?;
        Ok(milliseconds(begun.elapsed()))
    }

    async fn send(&mut self, message: &Value) -> Result<()> {
        Ok(self.input.write_all(format!("{message}\n").as_bytes()).await?)
    }

    /// The result of a request.
    async fn request(&mut self, method: &str, params: Value) -> Result<Value> {
        self.last_id += 1;
        self.send(&json!({"jsonrpc": "2.0", "id": self.last_id, "method": method, "params": params})).await?;
        loop {
            let line = self.output.next_line().await?.ok_or("the server ended")?;
            let mut message: Value = serde_json::from_str(&line)?;
            if message["id"] == self.last_id {
                return match message["result"].take() {
                    Value::Null => Err(line.into()),
                    result => Ok(result),
                };
            }
        }
    }

    /// Closes the server's input and waits for its end.
    pub async fn end(self) -> Result<()> {
        let Self { mut child, input, .. } = self;
        drop(input);
        let status = child.wait().await?;
        if status.success() { Ok(()) } else { Err(format!("the server ended with {status}").into()) }
    }
}
