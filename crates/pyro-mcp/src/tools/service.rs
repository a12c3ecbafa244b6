//! Services: processes of a workspace that stay.

use super::workspace::{Workspace, workspace_path};
use crate::call::Call;
use crate::cut::{LIMIT, cut_all};
use crate::tool::{Effect, Told, Tool};
use pyro_host::command::Command;
use pyro_host::error::Result;
use pyro_host::service::{
    DEFAULT_READY_INTERVAL_MS, DEFAULT_READY_TIMEOUT_SECONDS, Readiness, ServiceName, ServiceSpec,
};
use pyro_host::workspace::{DEFAULT_TAIL_LINES, ServiceList, ServiceLogs, ServiceStatus};
use schemars::JsonSchema;
use serde::Deserialize;

pub(super) fn tools() -> Vec<Tool> {
    let mut tools = vec![Tool::new(START, service_start), Tool::new(LIST, service_list)];
    tools.extend([Tool::new(STATUS, service_status), Tool::new(LOGS, service_logs)]);
    tools.push(Tool::new(STOP, service_stop));
    tools
}

const START: Told = Told {
    name: "service_start",
    effect: Effect::Changes,
    description: "Start a process that stays, such as a web server, in a workspace, and wait until it is ready. The command \
                  must stay in the foreground. One that ends before it is ready is an error that shows the end of its \
                  log. A name that ended before may be started again.",
};

const LIST: Told = Told {
    name: "service_list",
    effect: Effect::Reads,
    description: "List the services of a workspace, also those that have ended.",
};

const STATUS: Told = Told {
    name: "service_status",
    effect: Effect::Reads,
    description: "Tell how a service is: starting, running, stopped, exited or failed, and why.",
};

const LOGS: Told = Told {
    name: "service_logs",
    effect: Effect::Reads,
    description: "Read the last lines that a service printed, also after its end.",
};

const STOP: Told = Told {
    name: "service_stop",
    effect: Effect::ChangesOnce,
    description: "Stop a service with everything that it has started: TERM, and KILL after 10 seconds.",
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Start {
    /// From workspace_create.
    workspace_id: String,
    /// A name for it, for example "web".
    service_name: String,
    /// A line for the workspace's shell, or a list of a program and its arguments.
    command: Command,
    /// The directory that it runs in.
    #[serde(default = "workspace_path")]
    cwd: String,
    /// How to tell that it is ready: a path that exists, HOST:PORT that accepts connections, an http URL that answers, or a
    /// command that succeeds, all in the workspace. Without it, it is ready as soon as it runs.
    readiness: Option<Readiness>,
    /// Seconds that it has to become ready.
    #[serde(default = "ready_timeout_seconds")]
    ready_timeout_seconds: u64,
    /// Milliseconds between two looks.
    #[serde(default = "ready_interval_ms")]
    ready_interval_ms: u64,
    /// Ports to be reachable at 127.0.0.1 of this computer: "0:8080", at a free port that `published` names.
    #[serde(default)]
    publish: Vec<String>,
}

fn ready_timeout_seconds() -> u64 {
    DEFAULT_READY_TIMEOUT_SECONDS
}

fn ready_interval_ms() -> u64 {
    DEFAULT_READY_INTERVAL_MS
}

async fn service_start(call: Call, start: Start) -> Result<ServiceStatus> {
    let spec = ServiceSpec {
        cwd: start.cwd,
        publish: call.publish(&start.publish)?,
        readiness: start.readiness,
        ready_timeout_seconds: start.ready_timeout_seconds,
        ready_interval_ms: start.ready_interval_ms,
        ..ServiceSpec::new(ServiceName::parse(&start.service_name)?, start.command)
    };
    call.pyro.start_service(&start.workspace_id, &spec).await
}

async fn service_list(call: Call, of: Workspace) -> Result<ServiceList> {
    call.pyro.list_services(&of.workspace_id)
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Service {
    /// From workspace_create.
    workspace_id: String,
    /// The name that service_start was given.
    service_name: String,
}

async fn service_status(call: Call, service: Service) -> Result<ServiceStatus> {
    call.pyro.status_service(&service.workspace_id, &service.service_name)
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LogsOf {
    /// From workspace_create.
    workspace_id: String,
    /// The name that service_start was given.
    service_name: String,
    /// How many lines of each output.
    #[serde(default = "tail_lines")]
    tail_lines: u64,
    /// Read all that is kept, whatever tail_lines says.
    #[serde(default)]
    all: bool,
}

fn tail_lines() -> u64 {
    DEFAULT_TAIL_LINES
}

async fn service_logs(call: Call, of: LogsOf) -> Result<ServiceLogs> {
    let lines = (!of.all).then_some(of.tail_lines);
    let mut logs = call.pyro.logs_service(&of.workspace_id, &of.service_name, lines)?;
    let rest = "a smaller tail_lines shows the end alone; a service that prints to a file below /workspace can be read in \
                parts with workspace_exec";
    let cut = cut_all(&mut [&mut logs.stdout, &mut logs.stderr], LIMIT, rest);
    logs.truncated |= cut.contains(&true);
    Ok(logs)
}

async fn service_stop(call: Call, service: Service) -> Result<ServiceStatus> {
    call.pyro.stop_service(&service.workspace_id, &service.service_name).await
}
