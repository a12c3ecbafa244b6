//! The tool that the model is offered: the same as that of the MCP server.

use super::answer::ToolCall;
use super::log::Log;
use pyro_host::error::{Error, ErrorKind, Result};
use pyro_host::pyro::Pyro;
use pyro_mcp::Profile;
use pyro_mcp::call::Call;
use pyro_mcp::progress::Progress;
use pyro_mcp::reply::Reply;
use pyro_mcp::tool::Tool;
use serde_json::{Map, Value, json};
use std::pin::pin;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// How often is told how far a call is.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// The tools, which are one.
#[derive(Debug, Clone)]
pub struct Tools {
    pyro: Pyro,
    tools: Vec<Tool>,
}

impl Tools {
    /// They run on this façade.
    pub fn new(pyro: Pyro) -> Self {
        Self { pyro, tools: pyro_mcp::tools::of(Profile::VmRun) }
    }

    /// The tools as a request tells the model of them.
    pub fn described(&self) -> Value {
        self.tools.iter().map(described).collect()
    }

    /// Does what the model calls. Its mistakes are answers, with what to do next.
    pub async fn call(&self, call: &ToolCall, log: &Log) -> Reply {
        match self.found(call).and_then(|tool| Ok((tool, arguments(call)?))) {
            Ok((tool, arguments)) => self.run(tool, arguments, log).await,
            Err(error) => Reply::failed(&error),
        }
    }

    fn found(&self, call: &ToolCall) -> Result<&Tool> {
        let name = &call.function.name;
        self.tools.iter().find(|tool| tool.name == name).ok_or_else(|| {
            let names: Vec<&str> = self.tools.iter().map(|tool| tool.name).collect();
            Error::new(ErrorKind::NotFound, format!("there is no tool {name:?}"))
                .with_hint(format!("call {}", names.join(" or ")))
        })
    }

    async fn run(&self, tool: &Tool, arguments: Map<String, Value>, log: &Log) -> Reply {
        let (told, mut heard) = mpsc::channel(1);
        let call = Call { pyro: self.pyro.clone(), progress: Progress::to(told) };
        let mut doing = pin!(tool.call(call, arguments));
        let mut last = Instant::now();
        loop {
            tokio::select! {
                biased;
                reply = &mut doing => return reply,
                Some(message) = heard.recv() => if last.elapsed() >= TELL_EVERY {
                    last = Instant::now();
                    log.note(format!("[{}] {message}", tool.name)).await;
                },
            }
        }
    }
}

fn described(tool: &Tool) -> Value {
    let function =
        json!({"name": tool.name, "description": tool.description, "parameters": *tool.input_schema});
    json!({"type": "function", "function": function})
}

fn arguments(call: &ToolCall) -> Result<Map<String, Value>> {
    let wrong = |error: Error| {
        error.with_hint(
            r#"write one JSON object, for example {"environment": "debian:12", "command": "uname -r"}"#,
        )
    };
    let message = || format!("the arguments of {} are no JSON object", call.function.name);
    let value = match &call.function.arguments {
        Value::String(text) if text.trim().is_empty() => json!({}),
        Value::String(text) => {
            serde_json::from_str(text).map_err(|error| wrong(Error::invalid(message()).with_source(error)))?
        }
        Value::Null => json!({}),
        other => other.clone(),
    };
    match value {
        Value::Object(arguments) => Ok(arguments),
        other => Err(wrong(Error::invalid(format!("{}: {other}", message())))),
    }
}
