//! What the conversation came to.

use crate::commands::shown;
use crate::exit::Failure;
use pyro_mcp::reply::Reply;
use serde::Serialize;
use serde_json::Value;

/// The conversation.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Where the server is.
    pub base_url: String,
    /// The model.
    pub model: String,
    /// What the model answered in the end.
    pub answer: Option<String>,
    /// How often the model was asked.
    pub rounds: usize,
    /// How often it called a tool.
    pub tool_calls: usize,
    /// The calls, in order.
    pub calls: Vec<CallReport>,
    /// Where the commands ran: the last that succeeded.
    pub execution_mode: Option<String>,
    /// How long all of it took.
    pub duration_ms: f64,
}

/// What came of one call.
#[derive(Debug, Serialize)]
pub struct CallReport {
    /// The name that the model called.
    pub tool: String,
    /// The arguments as the model wrote them.
    pub arguments: String,
    /// Whether it failed.
    pub is_error: bool,
    /// What the model was told.
    pub result: Value,
}

impl CallReport {
    pub fn new(tool: String, arguments: String, reply: &Reply) -> Self {
        Self { tool, arguments, is_error: reply.is_error, result: reply.structured.clone() }
    }

    /// Whether it ran a command that ended with 0.
    pub fn succeeded(&self) -> bool {
        !self.is_error && self.result["exit_code"] == 0
    }
}

impl Report {
    /// The last line.
    pub fn summary(&self, result: &Result<(), Failure>) -> String {
        let exit_code = match result {
            Ok(()) => 0,
            Err(Failure::Interrupted(signal)) => 128 + signal,
            Err(Failure::Error(_)) => 125,
        };
        format!(
            "[summary] exit_code={exit_code} execution_mode={} model={} tool_calls={} duration_ms={:.0}\n",
            self.execution_mode.as_deref().unwrap_or("none"),
            shown::word(&self.model),
            self.tool_calls,
            self.duration_ms,
        )
    }
}
