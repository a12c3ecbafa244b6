//! What the conversation came to.

use crate::commands::shown;
use crate::exit::Failure;
use pyro_host::execution_mode::ExecutionMode;
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
    /// Where the last command ran, if one did.
    pub execution_mode: Option<String>,
    /// How long all of it took.
    pub duration_ms: f64,
}

/// What came of one call.
#[derive(Debug, Serialize)]
pub struct CallReport {
    /// The name that the model called.
    pub tool: String,
    /// The arguments as the model wrote them; `{}` if they were too long.
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

    /// Whether it ran a command in a guest, which ended with 0.
    pub fn succeeded(&self) -> bool {
        let result = &self.result;
        !self.is_error && result["exit_code"] == 0 && result["execution_mode"] == ExecutionMode::Guest.name()
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_a_command_that_ended_well_in_a_guest_has_succeeded() {
        for (exit_code, execution_mode, succeeded) in
            [(0, "guest", true), (1, "guest", false), (0, "host_compat", false)]
        {
            let result = json!({"exit_code": exit_code, "execution_mode": execution_mode});
            let call = CallReport::new("vm_run".into(), "{}".into(), &Reply::of(Ok(result)));
            assert_eq!(call.succeeded(), succeeded, "{:?}", call.result);
        }
    }
}
