//! Machines: for one command, or made, started, looked at, used once and deleted step by step.

use crate::call::{Call, listening};
use crate::failure::for_model;
use crate::printed::{Printed, Shown};
use crate::tool::{Effect, Told, Tool};
use pyro_host::command::Command;
use pyro_host::error::Result;
use pyro_host::limits::{DEFAULT_TIMEOUT_SECONDS, DEFAULT_TTL_SECONDS};
use pyro_host::network::Denial;
use pyro_host::pyro::Reaped;
use pyro_host::run::{RunEvent, RunResult, RunSpec};
use pyro_host::settings::Settings;
use pyro_host::start::StartEvent;
use pyro_host::supervisor::PersistentSpec;
use pyro_host::vm::VmSpec;
use pyro_host::vms::{DeletedVm, VmExecResult, VmNetwork, VmStatus};
use pyro_host::workspace::{ExecSpec, WorkspaceSpec};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::mpsc;

/// How to get what is left out, where the machine is gone.
const REST: &str = "run it again and print less, for example with | tail -n 100, grep or sed -n 100,200p";

pub(super) fn tools() -> Vec<Tool> {
    let mut tools = vec![Tool::new(RUN, vm_run), Tool::new(CREATE, vm_create), Tool::new(START, vm_start)];
    tools.extend([Tool::new(EXEC, vm_exec), Tool::new(STOP, vm_stop), Tool::new(DELETE, vm_delete)]);
    tools.extend([Tool::new(STATUS, vm_status), Tool::new(NETWORK, vm_network_info)]);
    tools.push(Tool::new(REAP, vm_reap_expired));
    tools
}

const RUN: Told = Told {
    name: "vm_run",
    effect: Effect::Adds,
    description: "Run one command in a fresh Linux microVM and throw the machine away. Returns stdout, stderr and \
                  exit_code; an exit code other than 0 is a normal result. Nothing is kept from one call to the next, \
                  and the machine sees no files of this computer. Use it for anything that one command, or one shell \
                  script, can do.",
};

const CREATE: Told = Told {
    name: "vm_create",
    effect: Effect::Adds,
    description: "Make a machine that is not started. Next: vm_start, then vm_exec. Only for looking at a machine \
                  before its one command: else use vm_run, or workspace_create for several commands.",
};

const START: Told = Told {
    name: "vm_start",
    effect: Effect::ChangesOnce,
    description: "Start a machine of vm_create. One that is started stays as it is. Next: vm_exec.",
};

const EXEC: Told = Told {
    name: "vm_exec",
    effect: Effect::Changes,
    description: "Run one command in a started machine, then delete the machine: afterwards its id does not exist. \
                  For several commands on the same files use workspace_create and workspace_exec.",
};

const STOP: Told = Told {
    name: "vm_stop",
    effect: Effect::ChangesOnce,
    description: "Turn a machine off and keep its disk. vm_start brings it back.",
};

const DELETE: Told = Told {
    name: "vm_delete",
    effect: Effect::Changes,
    description: "Delete a machine of vm_create, whatever state it is in.",
};

const STATUS: Told = Told {
    name: "vm_status",
    effect: Effect::Reads,
    description: "Tell how a machine of vm_create is: created, started, stopped or failed.",
};

const NETWORK: Told = Told {
    name: "vm_network_info",
    effect: Effect::Reads,
    description: "Tell of the network of a machine of vm_create: addresses, rules, published ports, what was refused.",
};

const REAP: Told = Told {
    name: "vm_reap_expired",
    effect: Effect::ChangesOnce,
    description: "Remove machines and workspaces whose time to live (ttl_seconds) is over. They end by themselves too.",
};

/// What was refused, with hints that speak of tools.
pub(super) fn denials_for_model(denials: Vec<Denial>) -> Vec<Denial> {
    denials.into_iter().map(|denial| Denial { hint: for_model(&denial.hint), ..denial }).collect()
}

/// The machine that is wanted, as every tool that makes one has it.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct Machine {
    /// What is in the machine, for example "debian:12" (git and everyday tools); vm_list_environments lists all.
    pub environment: String,
    /// Virtual CPUs.
    #[serde(default = "vcpu_count")]
    pub vcpu_count: u32,
    /// Memory in MiB.
    #[serde(default = "mem_mib")]
    pub mem_mib: u32,
    /// Seconds after which the machine is deleted.
    #[serde(default = "ttl_seconds")]
    pub ttl_seconds: u64,
    /// Whether it has a network: everything public, nothing of this computer and of private networks.
    #[serde(default)]
    pub network: bool,
    /// What it may talk to, and nothing else: "pypi.org:443", "*.example.org", "203.0.113.0/24", "@pypi", "@npm", "@crates",
    /// "@debian", "@github", "none".
    #[serde(default)]
    pub allow: Vec<String>,
    /// Run on this computer WITHOUT ISOLATION where no machine can be started. Only where the user has allowed it.
    #[serde(default)]
    pub allow_host_compat: bool,
}

fn vcpu_count() -> u32 {
    VmSpec::default().vcpu_count
}

fn mem_mib() -> u32 {
    VmSpec::default().mem_mib
}

fn ttl_seconds() -> u64 {
    DEFAULT_TTL_SECONDS
}

pub(super) fn timeout_seconds() -> u64 {
    DEFAULT_TIMEOUT_SECONDS
}

impl Machine {
    /// The same as one that stays.
    pub fn into_persistent(self, call: &Call) -> Result<PersistentSpec> {
        call.check_host_compat(self.allow_host_compat)?;
        let Settings { accelerator, mirror } = Settings::from_environment()?;
        let mut spec = WorkspaceSpec::new(self.environment).machine;
        (spec.vm.vcpu_count, spec.vm.mem_mib) = (self.vcpu_count, self.mem_mib);
        (spec.ttl_seconds, spec.network) = (self.ttl_seconds, call.network(self.network, &self.allow)?);
        spec.allow_host_compat = self.allow_host_compat;
        (spec.accelerator, spec.mirror) = (accelerator, mirror);
        Ok(spec)
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Run {
    #[serde(flatten)]
    machine: Machine,
    /// A line for the machine's shell, or a list of a program and its arguments.
    command: Command,
    /// Seconds after which the command is ended.
    #[serde(default = "timeout_seconds")]
    timeout_seconds: u64,
}

async fn vm_run(call: Call, run: Run) -> Result<RunResult> {
    let machine = run.machine;
    call.check_host_compat(machine.allow_host_compat)?;
    let mut spec = RunSpec::new(machine.environment, run.command);
    (spec.vm.vcpu_count, spec.vm.mem_mib) = (machine.vcpu_count, machine.mem_mib);
    (spec.timeout_seconds, spec.ttl_seconds) = (run.timeout_seconds, machine.ttl_seconds);
    spec.network = call.network(machine.network, &machine.allow)?;
    spec.allow_host_compat = machine.allow_host_compat;
    spec.capture_bytes = 0;
    Settings { accelerator: spec.accelerator, mirror: spec.mirror } = Settings::from_environment()?;
    let mut printed = Printed::default();
    let (events, told) = mpsc::channel(8);
    let running = call.pyro.run(&spec, None, Some(events));
    let take = |event| match event {
        RunEvent::Start(event) => call.progress.start(&event),
        RunEvent::HostCompat(reason) => call.progress.host_compat(&reason),
        RunEvent::Output(channel, bytes) => call.take(&mut printed, channel, &bytes),
    };
    let result = listening(running, told, take).await?;
    let Shown { stdout, stderr, truncated } = printed.show(REST);
    let network_denials = denials_for_model(result.network_denials);
    Ok(RunResult { stdout, stderr, truncated, network_denials, ..result })
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Create {
    #[serde(flatten)]
    machine: Machine,
}

async fn vm_create(call: Call, create: Create) -> Result<VmStatus> {
    let spec = create.machine.into_persistent(&call)?;
    let (events, told) = mpsc::channel(8);
    let (pyro, progress) = (call.pyro, call.progress);
    let creating = async move { pyro.create_vm(&spec, Some(&events)).await };
    listening(creating, told, |event: StartEvent| progress.start(&event)).await
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Vm {
    /// From vm_create.
    vm_id: String,
}

async fn vm_start(call: Call, vm: Vm) -> Result<VmStatus> {
    call.pyro.start_vm(&vm.vm_id).await
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Exec {
    /// From vm_create.
    vm_id: String,
    /// A line for the machine's shell, or a list of a program and its arguments.
    command: Command,
    /// Seconds after which the command is ended.
    #[serde(default = "timeout_seconds")]
    timeout_seconds: u64,
}

async fn vm_exec(call: Call, exec: Exec) -> Result<VmExecResult> {
    let spec = ExecSpec { command: exec.command, timeout_seconds: exec.timeout_seconds, capture_bytes: 0 };
    let mut printed = Printed::default();
    let (events, told) = mpsc::channel(8);
    let running = call.pyro.exec_vm(&exec.vm_id, &spec, None, Some(events));
    let take = |(channel, bytes): (_, Vec<u8>)| call.take(&mut printed, channel, &bytes);
    let result = listening(running, told, take).await?;
    let Shown { stdout, stderr, truncated } = printed.show(REST);
    let network_denials = denials_for_model(result.network_denials);
    Ok(VmExecResult { stdout, stderr, truncated, network_denials, ..result })
}

async fn vm_stop(call: Call, vm: Vm) -> Result<VmStatus> {
    call.pyro.stop_vm(&vm.vm_id).await
}

async fn vm_delete(call: Call, vm: Vm) -> Result<DeletedVm> {
    call.pyro.delete_vm(&vm.vm_id).await
}

async fn vm_status(call: Call, vm: Vm) -> Result<VmStatus> {
    call.pyro.status_vm(&vm.vm_id)
}

async fn vm_network_info(call: Call, vm: Vm) -> Result<VmNetwork> {
    let mut network = call.pyro.network_info_vm(&vm.vm_id).await?;
    network.network.denials = denials_for_model(network.network.denials);
    Ok(network)
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ReapExpired {}

async fn vm_reap_expired(call: Call, _: ReapExpired) -> Result<Reaped> {
    Ok(call.pyro.reap_expired())
}
