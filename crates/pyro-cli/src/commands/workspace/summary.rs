//! A workspace in words.

use crate::commands::machine::accelerator_name;
use crate::commands::shown;
use crate::output;
use pyro_host::execution_mode::ExecutionMode;
use pyro_host::instance::{SeedMode, SeedRecord};
use pyro_host::workspace::{LastCommand, WorkspaceStatus};

/// The longest command that is shown whole.
const COMMAND_WIDTH: usize = 100;

/// All that a person wants to know of a workspace, a line for each.
pub fn describe(workspace: &WorkspaceStatus) -> String {
    let mut facts =
        vec![("workspace", workspace.workspace_id.clone()), ("state", workspace.state.name().to_owned())];
    facts.extend(workspace.failure.as_ref().map(|failure| ("failure", failure.clone())));
    facts.extend([
        ("environment", workspace.environment.clone()),
        ("machine", machine(workspace)),
        ("isolation", isolation(workspace)),
        ("network", network(workspace)),
        ("files", workspace.workspace_path.to_owned()),
        ("seed", seed(&workspace.workspace_seed)),
        ("disk", disk(workspace)),
        ("commands", commands(workspace)),
        ("services", services(workspace)),
        ("created", format!("{} ago", shown::span_from_now(workspace.created_at))),
        ("expires", format!("in {}", shown::span_from_now(workspace.expires_at))),
    ]);
    facts.extend(workspace.published.iter().map(|port| ("published", port.to_string())));
    shown::facts(&facts)
}

/// The line that ends a command on a workspace, for standard error. `more` begins with a space.
pub fn closing_line(name: &str, workspace: &WorkspaceStatus, more: &str) -> String {
    let WorkspaceStatus { workspace_id, environment, state, .. } = workspace;
    format!("[{name}] workspace_id={workspace_id} environment={environment} state={}{more}", state.name())
}

/// Says loudly that a workspace is none.
pub fn warn_of_host(workspace: &WorkspaceStatus) {
    if workspace.execution_mode == ExecutionMode::HostCompat {
        output::note(
            "warning: commands of this workspace run ON THIS HOST, WITHOUT ISOLATION (--allow-host-compat): no guest \
             could be started",
        );
    }
}

fn machine(workspace: &WorkspaceStatus) -> String {
    format!(
        "{} vCPU, {} MiB, {} ({})",
        workspace.vcpu_count,
        workspace.mem_mib,
        accelerator_name(workspace.accelerator),
        workspace.execution_mode.name(),
    )
}

fn isolation(workspace: &WorkspaceStatus) -> String {
    let Some(isolation) = &workspace.isolation else { return "none".into() };
    let level = isolation.level.code();
    let less: Vec<&str> = isolation.lacking().map(|layer| layer.name.code()).collect();
    if less.is_empty() { level.to_owned() } else { format!("{level}: less in {}", less.join(", ")) }
}

fn network(workspace: &WorkspaceStatus) -> String {
    match (workspace.network_enabled, workspace.network_allow.is_empty()) {
        (false, _) => "no".into(),
        (true, true) => "everything public".into(),
        (true, false) => format!("only {}", workspace.network_allow.join(", ")),
    }
}

fn disk(workspace: &WorkspaceStatus) -> String {
    let used = shown::size(workspace.disk_used_bytes);
    format!("{} MiB, of which {used} are taken on this host", workspace.disk_mib)
}

fn seed(seed: &SeedRecord) -> String {
    let from = match seed.mode {
        SeedMode::Empty => return "empty".into(),
        SeedMode::Directory => "directory",
        SeedMode::TarArchive => "archive",
    };
    let path = shown::word(seed.seed_path.as_deref().unwrap_or_default());
    format!("{from} {path}: {} entries, {}", seed.entry_count, shown::size(seed.bytes_written))
}

fn commands(workspace: &WorkspaceStatus) -> String {
    let Some(last) = &workspace.last_command else { return "none".into() };
    let LastCommand { command, exit_code, .. } = last;
    let outcome = exit_code.map_or_else(|| "no exit code".into(), |code| format!("exit code {code}"));
    let command = shown::command(command);
    format!("{}, the last: {} ({outcome})", workspace.command_count, shown::short(&command, COMMAND_WIDTH))
}

fn services(workspace: &WorkspaceStatus) -> String {
    match (workspace.service_count, workspace.running_service_count) {
        (0, _) => "none".into(),
        (all, running) => format!("{all}, of which {running} run"),
    }
}
