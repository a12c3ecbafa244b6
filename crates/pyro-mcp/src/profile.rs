//! Which tools are offered: the fewer a model has to choose from, the better it chooses.

use pyro_host::error::{Error, Result};

/// A choice of tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// `vm_run` alone.
    VmRun,
    /// `vm_run`, and workspaces without services and shells.
    WorkspaceCore,
    /// Everything.
    #[default]
    WorkspaceFull,
}

const CORE: [&str; 10] = [
    "vm_run",
    "vm_list_environments",
    "workspace_create",
    "workspace_sync_push",
    "workspace_exec",
    "workspace_export",
    "workspace_diff",
    "workspace_status",
    "workspace_logs",
    "workspace_delete",
];

impl Profile {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::VmRun, Self::WorkspaceCore, Self::WorkspaceFull];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::VmRun => "vm-run",
            Self::WorkspaceCore => "workspace-core",
            Self::WorkspaceFull => "workspace-full",
        }
    }

    /// The profile of a name.
    ///
    /// # Errors
    /// `invalid_argument` for any other.
    pub fn parse(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|profile| profile.name() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            Error::invalid(format!("{text:?} is no profile")).with_hint(format!("one of {names}"))
        })
    }

    /// Whether it has this tool.
    pub fn offers(self, tool: &str) -> bool {
        match self {
            Self::VmRun => tool == "vm_run",
            Self::WorkspaceCore => CORE.contains(&tool),
            Self::WorkspaceFull => true,
        }
    }

    /// What a model is told before it sees the tools.
    pub fn instructions(self) -> &'static str {
        match self {
            Self::VmRun => VM_RUN,
            Self::WorkspaceCore => WORKSPACE_CORE,
            Self::WorkspaceFull => WORKSPACE_FULL,
        }
    }
}

const VM_RUN: &str = "Disposable Linux machines. vm_run runs one command in a fresh microVM and throws the machine away: \
nothing of it stays, and nothing of this computer is seen by it. There is no network in it.";

const WORKSPACE_CORE: &str = "Disposable Linux machines. For one command use vm_run. For several commands on the same \
files use a workspace: workspace_create (seed_path fills it with a directory of this computer), then workspace_exec as \
often as needed; workspace_diff shows what changed, workspace_export brings files out, workspace_delete ends it. Only \
the paths seed_path, source_path and output_path are of this computer, all others are of the machine. There is no \
network in it. A failed call says in its hint what to do next.";

const WORKSPACE_FULL: &str = "Disposable Linux machines. For one command use vm_run. For several commands on the same \
files use a workspace: workspace_create (seed_path fills it with a directory of this computer), then workspace_exec as \
often as needed; workspace_diff shows what changed, workspace_export brings files out, workspace_delete ends it. \
service_* are for processes that stay, such as a web server; shell_* for programs that need a terminal. Only the paths \
seed_path, source_path and output_path are of this computer, all others are of the machine. There is no network in it. \
A failed call says in its hint what to do next.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_have_names() {
        for profile in Profile::ALL {
            assert_eq!(Profile::parse(profile.name()).unwrap(), profile);
        }
        assert!(Profile::parse("all").is_err());
    }
}
