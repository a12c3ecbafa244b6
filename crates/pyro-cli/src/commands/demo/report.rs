//! What the story came to, for `--json`.

use pyro_host::execution_mode::ExecutionMode;
use pyro_host::vm::accelerator::Accelerator;
use serde::Serialize;

/// The story.
#[derive(Debug, Serialize)]
pub struct Report {
    /// What the machines were made of.
    pub environment: &'static str,
    /// What ran the guests.
    pub accelerator: Option<Accelerator>,
    /// Where the commands ran.
    pub execution_mode: Option<ExecutionMode>,
    /// The workspace, which is deleted.
    pub workspace_id: Option<String>,
    /// How long all of it took.
    pub duration_ms: f64,
    /// What was done, in order.
    pub steps: Vec<StepReport>,
}

/// What came of one step.
#[derive(Debug, Clone, Serialize)]
pub struct StepReport {
    /// A word for it.
    pub name: &'static str,
    /// What does the same when it is typed.
    pub command: String,
    /// The exit code of that.
    pub exit_code: i32,
    /// What it printed.
    pub output: String,
    /// How long it took.
    pub duration_ms: f64,
}
