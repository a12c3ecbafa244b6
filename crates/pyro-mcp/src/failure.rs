//! What a model is told to do after a failure. The hints of the façade name commands and flags of `pyro`, which a model
//! that has tools cannot type: here they become tools and parameters.

use pyro_host::error::{Error, ErrorKind};
use std::cmp::Reverse;

/// What the façade's hints say, and what that is for a model.
const SAID: &[(&str, &str)] = &[
    (
        "`pyro workspace list` shows those that are there; one whose time to live is over is gone",
        "check the id; one whose time to live is over is gone, with its files: workspace_create makes a new one",
    ),
    (
        "a VM is gone after its command, and when its time to live is over",
        "check the id; a VM is gone after its command, and when its time to live is over: vm_create makes a new one",
    ),
    ("look with `pyro workspace exec ID -- ls -la`", "look with workspace_exec, for example: ls -la"),
    ("`pyro workspace exec ID -- dmesg` may say more", "workspace_exec of dmesg may say more"),
    ("`pyro env list`, `pyro env inspect NAME --json`", "vm_list_environments lists them"),
    ("`pyro workspace service list ID` shows", "service_list shows"),
    ("`pyro workspace status ID`", "workspace_status"),
    ("pyro workspace shell open ID", "shell_open"),
    ("`pyro workspace logs ID` shows", "workspace_logs without sequence shows"),
    (
        "stop or delete one (`pyro workspace list`), or raise",
        "delete one with workspace_delete or vm_delete, or have raised",
    ),
    (
        "start it: pyro workspace start ",
        "make a new one with workspace_create, or ask for it to be started: pyro workspace start ",
    ),
    (
        "`pyro workspace shell list ID` shows those that are there, `pyro workspace shell open ID` opens one",
        "shell_open opens one",
    ),
    (
        "close one that is not needed: `pyro workspace shell list ID` shows them",
        "close one that is not needed with shell_close",
    ),
    ("or interrupt it: shell signal … --signal INT", "or interrupt it with shell_signal"),
    ("give one after `--`, for example: -- git --version", "give one, for example: ls -la"),
    ("choose another output, or replace it with `--force`", "choose another output_path"),
    (
        "put it into a file: pyro workspace sync push ID SOURCE",
        "write it in pieces, or bring it in as a file with workspace_sync_push",
    ),
    (" --all", " with all=true"),
    ("pyro workspace service start", "service_start"),
    ("pyro workspace service list", "service_list"),
    ("pyro workspace service status", "service_status"),
    ("pyro workspace service logs", "service_logs"),
    ("pyro workspace service stop", "service_stop"),
    ("pyro workspace shell open", "shell_open"),
    ("pyro workspace shell read", "shell_read"),
    ("pyro workspace shell signal", "shell_signal"),
    ("pyro workspace shell close", "shell_close"),
    ("pyro workspace sync push", "workspace_sync_push"),
    ("pyro workspace create", "workspace_create"),
    ("pyro workspace status", "workspace_status"),
    ("pyro workspace exec", "workspace_exec"),
    ("pyro workspace diff", "workspace_diff"),
    ("pyro workspace export", "workspace_export"),
    ("pyro workspace logs", "workspace_logs"),
    ("pyro workspace delete", "workspace_delete"),
    ("`pyro workspace network", "the user's `pyro workspace network"),
    ("`pyro workspace start", "the user's `pyro workspace start"),
    ("`pyro workspace stop", "the user's `pyro workspace stop"),
    ("pyro env list", "vm_list_environments"),
    ("--vcpu-count", "vcpu_count"),
    ("--mem-mib", "mem_mib"),
    ("--timeout-seconds", "timeout_seconds"),
    ("--ttl-seconds", "ttl_seconds"),
    ("--allow-host-compat", "allow_host_compat"),
    ("--network", "network"),
    ("allow it with `--allow ", "if it is public, make a machine with it in `allow`: `"),
    ("--allow ", "allow: "),
    ("--publish", "publish"),
    ("--require-isolation full", "the user's --require-isolation full"),
    ("--require-isolation", "require_isolation"),
];

/// What to do next.
pub fn hint_for_model(error: &Error) -> String {
    error.hint().map_or_else(|| usual_hint(error.kind()).to_owned(), for_model)
}

/// Words of the façade for a model: tools and arguments instead of commands and flags. What the user alone may type stays.
pub fn for_model(hint: &str) -> String {
    const KEPT: &str = "\u{1}";
    let hint: Vec<String> = hint
        .split('`')
        .map(|part| match part.starts_with("pyro mcp serve") {
            true => part.replace("--", KEPT),
            false => part.to_owned(),
        })
        .collect();
    let hint = hint.join("`");
    let mut longest_first = SAID.to_vec();
    longest_first.sort_by_key(|(said, _)| Reverse(said.len()));
    longest_first.iter().fold(hint, |hint, (said, meant)| hint.replace(said, meant)).replace(KEPT, "--")
}

/// What to do next where the failure itself does not say.
fn usual_hint(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidArgument => {
            "correct the arguments; the input schema of the tool says what it takes"
        }
        ErrorKind::NotFound => "check the id, the name or the path",
        ErrorKind::AlreadyExists => "take another name or path, or remove what is there",
        ErrorKind::WrongState => "look at its state first: workspace_status, service_status or vm_status",
        ErrorKind::UnsafePath => "give a path that stays inside, without links that lead out",
        ErrorKind::LimitReached => "delete what is not needed any more: workspace_delete, vm_delete",
        ErrorKind::DiskFull => "delete files that are not needed, or make another workspace",
        ErrorKind::ExecNotStarted => "check that the program exists in the machine: command -v NAME",
        ErrorKind::ServiceFailed => "read service_logs, correct the command, and start it again",
        ErrorKind::Timeout => "try again with a longer time-out",
        ErrorKind::GuestUnreachable => {
            "look what became of it: workspace_status or vm_status; if it is gone, make a new one"
        }
        ErrorKind::Unsupported => "do without it",
        _ => "try again; if it fails the same way, tell the user to run `pyro doctor` on this computer",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_become_tools() {
        let hint = |text: &str| hint_for_model(&Error::invalid("x").with_hint(text));
        assert_eq!(hint("run without --network; more"), "run without network; more");
        assert_eq!(
            hint("its whole log: pyro workspace service logs ws-1 web --all"),
            "its whole log: service_logs ws-1 web with all=true"
        );
        assert!(hint_for_model(&Error::invalid("x")).contains("input schema"));
    }
}
