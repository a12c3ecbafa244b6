//! `pyro workspace service start`.

use super::summary::{closing_line, probe_name};
use crate::commands::block_on;
use crate::exit::Failure;
use crate::output;
use clap::Args;
use pyro_host::command::{Command, WORKSPACE_PATH};
use pyro_host::error::Error;
use pyro_host::publish::PublishSpec;
use pyro_host::pyro::Pyro;
use pyro_host::service::{
    DEFAULT_READY_INTERVAL_MS, DEFAULT_READY_TIMEOUT_SECONDS, Readiness, ServiceName, ServiceSpec,
};

/// Start a service in a started workspace, and wait until it is ready.
///
/// It has to stay in the foreground. Without a probe it is ready as soon as it runs. One that ends before it is ready, or
/// is not ready in time, has failed: the end of its log is in the error. A name whose service has ended may be started
/// again, also with another command. Ctrl-C ends the waiting and leaves the service starting: `service status` tells
/// what becomes of it.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes:\n  0 ready; 125 pyro failed, or it is not ready; 126, 127 command not executable, not \
found; 2 wrong usage\n\nExamples:\n\
\x20 id=$(pyro workspace create debian:12 --allow none --id-only)\n\
\x20 pyro workspace service start $id clock -- sh -c 'while date; do sleep 1; done'\n\
\x20 pyro workspace service start $id job --ready-file ready -- sh -c 'touch ready; sleep 1000'\n\
\x20 pyro workspace service start $id web --ready-http http://localhost -- python3 -m http.server 80\n\
\x20 pyro workspace service start $id seen --publish 0:8000 -- python3 -m http.server 8000\n\
\x20 pyro workspace service start $id probed --ready-command 'test -d /workspace' --json -- sleep 1000\n\
\x20 pyro workspace delete $id"
)]
pub struct Start {
    /// The workspace.
    #[arg(value_name = "WORKSPACE_ID")]
    id: String,

    /// The name of the service: 1 to 63 of a-z, 0-9, `.`, `_`, `-`, the first a letter or a digit.
    #[arg(value_name = "SERVICE_NAME")]
    name: String,

    /// Where it runs: absolute in the guest, or relative to /workspace.
    #[arg(long, value_name = "DIRECTORY", default_value = WORKSPACE_PATH)]
    cwd: String,

    #[command(flatten)]
    readiness: ReadinessArgs,

    /// Seconds that it has to become ready: 1 to 604800.
    #[arg(long, value_name = "SECONDS", default_value_t = DEFAULT_READY_TIMEOUT_SECONDS)]
    ready_timeout_seconds: u64,

    /// Milliseconds from one answer of the probe to the next question: 10 to 60000. The first follow sooner, except commands.
    #[arg(long, value_name = "MS", default_value_t = DEFAULT_READY_INTERVAL_MS)]
    ready_interval_ms: u64,

    /// Make a port of the guest reachable at 127.0.0.1 of this host while the service runs; may be repeated. The port of the
    /// host is the same, or the one before the colon: 0 for any free one.
    #[arg(long, value_name = "[HOST_PORT:]GUEST_PORT")]
    publish: Vec<PublishSpec>,

    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,

    /// The command and its arguments.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// When the service is ready. All probes are asked in the guest.
#[derive(Debug, Args)]
#[group(multiple = false)]
struct ReadinessArgs {
    /// Ready when there is something at this path: absolute, or relative to --cwd.
    #[arg(long, value_name = "PATH")]
    ready_file: Option<String>,

    /// Ready when somebody accepts connections there, as the guest reaches it.
    #[arg(long, value_name = "HOST:PORT")]
    ready_tcp: Option<String>,

    /// Ready when a GET of this http URL is answered with a status from 200 to 399.
    #[arg(long, value_name = "URL")]
    ready_http: Option<String>,

    /// Ready when this line for /bin/sh, run in --cwd, exits with 0.
    #[arg(long, value_name = "COMMAND")]
    ready_command: Option<String>,
}

impl Start {
    pub fn execute(self) -> Result<u8, Failure> {
        let (id, json) = (self.id.clone(), self.json);
        let spec = self.into_spec()?;
        let pyro = Pyro::from_environment()?;
        if let Some(readiness) = &spec.readiness {
            let (probe, seconds) = (probe_name(readiness), spec.ready_timeout_seconds);
            let service = &spec.name;
            output::note(&format!(
                "[workspace-service-start] phase=start service={service} readiness={probe} timeout_seconds={seconds}"
            ));
        }
        let started = block_on(pyro.start_service(&id, &spec))?;
        if json {
            output::json(&started)?;
        } else {
            output::note(&closing_line("workspace-service-start", &started));
        }
        Ok(0)
    }

    fn into_spec(self) -> Result<ServiceSpec, Error> {
        let spec = ServiceSpec {
            cwd: self.cwd,
            readiness: self.readiness.wanted(),
            ready_timeout_seconds: self.ready_timeout_seconds,
            ready_interval_ms: self.ready_interval_ms,
            publish: self.publish,
            ..ServiceSpec::new(ServiceName::parse(&self.name)?, Command::Argv(self.command))
        };
        // Here already, so that nothing is told of a start that cannot be.
        spec.checked()
    }
}

impl ReadinessArgs {
    fn wanted(self) -> Option<Readiness> {
        let file = self.ready_file.map(|path| Readiness::File { path });
        let tcp = self.ready_tcp.map(|address| Readiness::Tcp { address });
        let http = self.ready_http.map(|url| Readiness::Http { url });
        let command = self.ready_command.map(|command| Readiness::Command { command });
        file.or(tcp).or(http).or(command)
    }
}
