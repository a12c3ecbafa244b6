//! A shell in words.

use crate::commands::shown;
use pyro_host::workspace::ShellStatus;

/// All that a person wants to know of a shell, a line for each.
pub fn describe(shell: &ShellStatus) -> String {
    shown::facts(&[
        ("shell", shell.shell_id.to_string()),
        ("state", shell.state.name().to_owned()),
        ("directory", shown::word(&shell.cwd).into_owned()),
        ("terminal", size(shell)),
    ])
}

/// The columns and rows of its terminal.
pub fn size(shell: &ShellStatus) -> String {
    format!("{}x{}", shell.cols, shell.rows)
}

/// The line that ends a command on a shell, for standard error. `more` begins with a space.
pub fn closing_line(name: &str, shell: &ShellStatus, more: &str) -> String {
    let ShellStatus { workspace_id, shell_id, state, exit_code, .. } = shell;
    let code = exit_code.map_or_else(String::new, |code| format!(" exit_code={code}"));
    format!("[{name}] workspace_id={workspace_id} shell_id={shell_id} state={}{code}{more}", state.name())
}
