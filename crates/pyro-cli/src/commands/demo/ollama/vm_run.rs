//! The tool that the model is offered: that of the MCP server, as far as it is for a model that nobody watches.

use super::answer::{MOST_BYTES, ToolCall};
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
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// How often is told how far a call is.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// What a call may say. Whether a command may run on this computer is not for a model to say, nor for the server between.
const OFFERED: [&str; 3] = ["environment", "command", "timeout_seconds"];

/// How long a command may take, in seconds.
const MOST_SECONDS: u64 = 60;

const EXAMPLE: &str = r#"for example {"environment": "debian:12", "command": "uname -r"}"#;

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
        let call =
            Call { pyro: self.pyro.clone(), progress: Progress::to(told), permissions: Arc::default() };
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
    let mut parameters = (*tool.input_schema).clone();
    if let Some(properties) = parameters.get_mut("properties").and_then(Value::as_object_mut) {
        properties.retain(|name, _| OFFERED.contains(&name.as_str()));
        properties["timeout_seconds"]["maximum"] = MOST_SECONDS.into();
    }
    let function = json!({"name": tool.name, "description": tool.description, "parameters": parameters});
    json!({"type": "function", "function": function})
}

fn arguments(call: &ToolCall) -> Result<Map<String, Value>> {
    let name = &call.function.name;
    let arguments = object(name, &call.written())?;
    if let Some(other) = arguments.keys().find(|key| !OFFERED.contains(&key.as_str())) {
        return Err(Error::invalid(format!("wrong arguments for {name}: unknown field `{other}`"))
            .with_hint(format!("{name} takes {}, {EXAMPLE}", OFFERED.join(", "))));
    }
    match arguments.get("timeout_seconds").and_then(Value::as_u64) {
        Some(seconds) if seconds > MOST_SECONDS => {
            Err(Error::invalid(format!("timeout_seconds is {seconds}, which is not in 1 to {MOST_SECONDS}"))
                .with_hint("take a shorter time, or a shorter command"))
        }
        _ => Ok(arguments),
    }
}

/// What the model wrote, as the object that it should be.
fn object(name: &str, written: &str) -> Result<Map<String, Value>> {
    if written.len() > MOST_BYTES {
        let message = format!("the arguments of {name} are {} bytes, more than {MOST_BYTES}", written.len());
        return Err(Error::invalid(message).with_hint(format!("write less, {EXAMPLE}")));
    }
    let wrong = || Error::invalid(format!("the arguments of {name} are no JSON object"));
    let hint = || format!("write one JSON object, {EXAMPLE}");
    let value = match written.trim() {
        "" => Value::Null,
        text => serde_json::from_str(text).map_err(|error| wrong().with_source(error).with_hint(hint()))?,
    };
    match value {
        Value::Object(arguments) => Ok(arguments),
        Value::Null => Ok(Map::new()),
        other => Err(wrong().with_source(other.to_string()).with_hint(hint())),
    }
}
