//! The shells of workspaces.

use super::Pyro;
use crate::error::Result;
use crate::shell::{ShellSignal, ShellSpec};
use crate::workspace::{
    ReadSpec, ShellAttachment, ShellList, ShellOutput, ShellSignalled, ShellStatus, ShellWritten,
};

impl Pyro {
    /// Opens a shell in a workspace.
    pub async fn open_shell(&self, id: &str, spec: &ShellSpec) -> Result<ShellStatus> {
        self.workspaces.open_shell(id, spec).await
    }

    /// All shells of a workspace, the oldest first.
    pub fn list_shells(&self, id: &str) -> Result<ShellList> {
        self.workspaces.list_shells(id)
    }

    /// How a shell is, also one that has ended.
    pub fn status_shell(&self, id: &str, shell: &str) -> Result<ShellStatus> {
        self.workspaces.status_shell(id, shell)
    }

    /// Reads what a shell has shown.
    pub async fn read_shell(&self, id: &str, shell: &str, spec: &ReadSpec) -> Result<ShellOutput> {
        self.workspaces.read_shell(id, shell, spec).await
    }

    /// Types into a shell.
    pub async fn write_shell(
        &self,
        id: &str,
        shell: &str,
        input: &str,
        append_newline: bool,
    ) -> Result<ShellWritten> {
        self.workspaces.write_shell(id, shell, input, append_newline).await
    }

    /// Sends a signal to what runs in the foreground of a shell.
    pub async fn signal_shell(&self, id: &str, shell: &str, signal: ShellSignal) -> Result<ShellSignalled> {
        self.workspaces.signal_shell(id, shell, signal).await
    }

    /// Sets the size of a shell's terminal.
    pub async fn resize_shell(&self, id: &str, shell: &str, cols: u16, rows: u16) -> Result<ShellStatus> {
        self.workspaces.resize_shell(id, shell, cols, rows).await
    }

    /// Ends a shell with everything that was started in it.
    pub async fn close_shell(&self, id: &str, shell: &str) -> Result<ShellStatus> {
        self.workspaces.close_shell(id, shell).await
    }

    /// Comes to a shell as its user, or to watch.
    pub async fn attach_shell(&self, id: &str, shell: &str) -> Result<ShellAttachment> {
        self.workspaces.attach_shell(id, shell).await
    }
}
