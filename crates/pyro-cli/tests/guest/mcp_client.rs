//! The client of the official Rust SDK in front of `pyro mcp serve`.
#![allow(clippy::needless_pass_by_value, reason = "calls are easier to read with values")]

use crate::home::Home;
use rmcp::ClientHandler;
use rmcp::model::{CallToolRequestParams, CallToolResult, ProgressNotificationParam, ProtocolVersion};
use rmcp::service::{ClientLifecycleMode, ClientServiceExt, NotificationContext, RoleClient, RunningService};
use serde_json::Value;
use std::collections::HashMap;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use tokio::process::{Child, Command};

/// Keeps what the server tells of its progress.
#[derive(Debug, Clone, Default)]
struct Watcher {
    told: Arc<Mutex<Vec<String>>>,
}

impl ClientHandler for Watcher {
    async fn on_progress(&self, progress: ProgressNotificationParam, _: NotificationContext<RoleClient>) {
        self.told.lock().unwrap().extend(progress.message);
    }
}

pub struct Client {
    child: Child,
    service: RunningService<RoleClient, Watcher>,
    told: Arc<Mutex<Vec<String>>>,
    results: HashMap<String, jsonschema::Validator>,
}

impl Client {
    /// A client of the revisions of 2025.
    pub async fn legacy(home: &Home) -> Self {
        Self::start(home, ClientLifecycleMode::Initialize).await
    }

    /// A client of the revision of 2026.
    pub async fn modern(home: &Home) -> Self {
        let preferred_versions = vec![ProtocolVersion::V_2026_07_28];
        Self::start(home, ClientLifecycleMode::Discover { preferred_versions }).await
    }

    async fn start(home: &Home, mode: ClientLifecycleMode) -> Self {
        let mut command = Command::from(home.pyro(&["mcp", "serve"]));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let streams = (child.stdout.take().unwrap(), child.stdin.take().unwrap());
        let watcher = Watcher::default();
        let told = watcher.told.clone();
        let service = watcher.serve_with_lifecycle(streams, mode).await.unwrap();
        let tools = service.list_all_tools().await.unwrap();
        assert_eq!(tools.len(), 28);
        let validator = |tool: &rmcp::model::Tool| {
            let schema = Value::Object(tool.output_schema.as_deref().unwrap().clone());
            (tool.name.to_string(), jsonschema::validator_for(&schema).unwrap())
        };
        let results = tools.iter().map(validator).collect();
        Self { child, service, told, results }
    }

    /// What a call gives, which is checked against the schema of the tool.
    async fn call(&self, tool: &str, arguments: &Value) -> CallToolResult {
        let arguments = arguments.as_object().unwrap().clone();
        let params = CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments);
        let result = self.service.call_tool(params).await.unwrap();
        let structured = result.structured_content.as_ref().unwrap();
        let wrong: Vec<String> =
            self.results[tool].iter_errors(structured).map(|error| error.to_string()).collect();
        assert!(wrong.is_empty(), "{tool}: {wrong:?}: {structured:#}");
        result
    }

    /// The structured content of a call that must succeed.
    pub async fn done(&self, tool: &str, arguments: Value) -> Value {
        let result = self.call(tool, &arguments).await;
        assert_eq!(result.is_error, Some(false), "{tool} {arguments}: {result:?}");
        result.structured_content.unwrap()
    }

    /// The error of a call that must fail.
    pub async fn refused(&self, tool: &str, arguments: Value) -> Value {
        let result = self.call(tool, &arguments).await;
        assert_eq!(result.is_error, Some(true), "{tool} {arguments}: {result:?}");
        result.structured_content.unwrap()["error"].clone()
    }

    /// What was told of progress so far.
    pub fn told(&self) -> String {
        self.told.lock().unwrap().join("\n")
    }

    /// Closes the server's input, and waits for its end.
    pub async fn end(mut self) {
        self.service.cancel().await.unwrap();
        assert!(self.child.wait().await.unwrap().success());
    }
}
