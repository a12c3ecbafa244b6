//! The public surface: what the product has is what `docs/public-contract.txt` says, no more and no less, and what was
//! promised from the beginning is in it. With `PYRO_UPDATE_CONTRACT=1` the sections are written anew.

use crate::contract_cli;
use crate::contract_exits;
use crate::contract_mcp;
use pyro_host::error::ErrorKind;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::PathBuf;

/// The sections, in the order of the file. The last belongs to `python/tests/test_contract.py`.
const SECTIONS: [&str; 5] = ["cli", "exit-codes", "error-kinds", "mcp", "python"];

const WHAT_TO_DO: &str = "
A line that is gone, or reads otherwise, may break whoever uses it. The rule is SemVer: another name of a command, a flag, a
method or a tool, and another field that must be given, is a breaking change and needs a new major version (before 1.0: a new
minor one). Something new that nobody has to use needs a new minor version.

If it is not meant, mend the product. If it is meant, say so in CHANGELOG.md and write the file anew:
  PYRO_UPDATE_CONTRACT=1 cargo test -p pyro-cli --test cli contract";

/// The file, section by section.
struct Contract {
    header: String,
    sections: Vec<(String, Vec<String>)>,
}

impl Contract {
    fn path() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/public-contract.txt")
    }

    fn read() -> Self {
        let text = fs::read_to_string(Self::path()).unwrap();
        let mut parts = text.split("\n[");
        let header = parts.next().unwrap().trim().to_owned();
        let section = |part: &str| {
            let (name, lines) = part.split_once("]\n").unwrap_or_else(|| panic!("no section: {part}"));
            (name.to_owned(), lines.trim().lines().map(str::to_owned).collect())
        };
        Self { header, sections: parts.map(section).collect() }
    }

    fn section(&self, name: &str) -> &[String] {
        let found = self.sections.iter().find(|(section, _)| section == name);
        &found.unwrap_or_else(|| panic!("docs/public-contract.txt has no section [{name}]")).1
    }

    fn write(&self) {
        let section = |(name, lines): &(String, Vec<String>)| format!("\n\n[{name}]\n{}", lines.join("\n"));
        let text: String = self.sections.iter().map(section).collect();
        fs::write(Self::path(), format!("{}{text}\n", self.header)).unwrap();
    }
}

/// Compares a section with the product.
fn check(name: &str, found: impl IntoIterator<Item = String>) {
    let found: BTreeSet<String> = found.into_iter().collect();
    if std::env::var_os("PYRO_UPDATE_CONTRACT").is_some() {
        return update(name, found);
    }
    let contract = Contract::read();
    let said: BTreeSet<String> = contract.section(name).iter().cloned().collect();
    let in_order: Vec<&String> = said.iter().collect();
    assert!(contract.section(name).iter().eq(in_order), "[{name}] of docs/public-contract.txt is not sorted");
    let gone = said.difference(&found).map(|line| format!("- {line}\n"));
    let new = found.difference(&said).map(|line| format!("+ {line}\n"));
    let difference: String = gone.chain(new).collect();
    assert!(
        difference.is_empty(),
        "[{name}] of docs/public-contract.txt (-) is not what the product has (+):\n\n{difference}{WHAT_TO_DO}"
    );
}

/// Writes one section. Other tests may write theirs at the same time.
fn update(name: &str, found: BTreeSet<String>) {
    let lock = File::open(Contract::path()).unwrap();
    lock.lock().unwrap();
    let mut contract = Contract::read();
    contract.sections.retain(|(section, _)| section != name);
    contract.sections.push((name.to_owned(), found.into_iter().collect()));
    contract.sections.sort_by_key(|(section, _)| SECTIONS.iter().position(|known| known == section));
    contract.write();
}

#[test]
fn the_contract_has_the_commands_and_flags() {
    check("cli", contract_cli::lines());
}

#[test]
fn the_contract_has_the_exit_codes() {
    check("exit-codes", contract_exits::lines());
}

#[test]
fn the_contract_has_the_kinds_of_errors() {
    let kinds = error_kinds();
    for kind in &kinds {
        let parsed: ErrorKind = serde_json::from_value(kind.as_str().into()).unwrap();
        assert_eq!(parsed.code(), kind);
    }
    check("error-kinds", kinds);
}

/// All kinds, as the one who reads them knows them: a kind that is not in this list cannot be read from JSON.
fn error_kinds() -> Vec<String> {
    let error = serde_json::from_str::<ErrorKind>("\"?\"").unwrap_err().to_string();
    let (_, expected) = error.split_once("expected one of ").unwrap_or_else(|| panic!("{error}"));
    expected.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn the_contract_has_the_tools() {
    check("mcp", contract_mcp::lines());
}

#[test]
fn what_was_promised_is_in_the_contract() {
    let contract = Contract::read();
    let mut missing: Vec<&&str> = Vec::new();
    for (section, promised) in [("cli", PROMISED_COMMANDS), ("mcp", PROMISED_TOOLS)] {
        let lines = contract.section(section);
        missing.extend(promised.iter().filter(|name| !lines.iter().any(|line| line == *name)));
    }
    let begins = |flag: &str| {
        let next = |line: &String| {
            line.strip_prefix(flag).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
        };
        contract.section("cli").iter().any(next)
    };
    missing.extend(PROMISED_FLAGS.iter().filter(|flag| !begins(flag)));
    missing.extend(PROMISED_METHODS.iter().filter(|method| !is_offered(method, contract.section("python"))));
    assert!(missing.is_empty(), "docs/public-contract.txt lacks what was promised: {missing:#?}");
}

/// Whether a method takes what was promised, and needs nothing else. `...` stands for anything.
fn is_offered(promised: &str, lines: &[String]) -> bool {
    let (name, wanted) = signature(promised);
    let Some((_, offered)) = lines.iter().map(|line| signature(line)).find(|(other, _)| *other == name)
    else {
        return false;
    };
    let positional = |parameters: &[&str]| -> Vec<String> {
        let first = parameters.iter().take_while(|one| **one != "*");
        first.filter(|one| !one.contains('=')).map(|one| (*one).to_owned()).collect()
    };
    if wanted == ["..."] {
        return true;
    }
    let has_all = wanted.iter().all(|one| offered.contains(one));
    let needs_no_more = offered.iter().all(|one| one.contains('=') || wanted.contains(one) || *one == "*");
    has_all && needs_no_more && positional(&offered).starts_with(&positional(&wanted))
}

fn signature(line: &str) -> (&str, Vec<&str>) {
    let (name, rest) = line.split_once('(').unwrap_or((line, ""));
    let parameters = rest.split(')').next().unwrap_or_default();
    (name, parameters.split(", ").filter(|parameter| !parameter.is_empty()).collect())
}

#[test]
fn a_promise_is_kept_by_more_and_broken_by_less() {
    let offered = |line: &str| is_offered("p.f(a, *, b, c=1)", &[line.to_owned()]);
    for line in ["p.f(a, *, b, c=1)", "p.f(a, b, *, c=1)", "p.f(a, *, b, c=1, d=None)"] {
        assert!(offered(line), "{line}");
    }
    for line in [
        "p.f(a, *, b, c=2)",
        "p.f(a, *, b)",
        "p.f(*, a, b, c=1)",
        "p.f(a, *, b, c=1, d)",
        "p.g(a, *, b, c=1)",
    ] {
        assert!(!offered(line), "{line}");
    }
}

/// Commands that must always be there.
const PROMISED_COMMANDS: &[&str] = &[
    "pyro env list",
    "pyro env pull",
    "pyro env inspect",
    "pyro env prune",
    "pyro mcp serve",
    "pyro run",
    "pyro workspace create",
    "pyro workspace sync push",
    "pyro workspace exec",
    "pyro workspace export",
    "pyro workspace diff",
    "pyro workspace service start",
    "pyro workspace service list",
    "pyro workspace service status",
    "pyro workspace service logs",
    "pyro workspace service stop",
    "pyro workspace shell open",
    "pyro workspace shell read",
    "pyro workspace shell write",
    "pyro workspace shell signal",
    "pyro workspace shell close",
    "pyro workspace status",
    "pyro workspace logs",
    "pyro workspace delete",
    "pyro doctor",
    "pyro demo",
    "pyro demo ollama",
];

/// Flags that must always be there, with their defaults where these were promised.
const PROMISED_FLAGS: &[&str] = &[
    "pyro run <ENVIRONMENT>",
    "pyro run --vcpu-count <N> [default: 1]",
    "pyro run --mem-mib <MIB> [default: 1024]",
    "pyro run --timeout-seconds <SECONDS>",
    "pyro run --ttl-seconds <SECONDS>",
    "pyro run --network",
    "pyro run --allow-host-compat",
    "pyro run --json",
    "pyro env list --json",
    "pyro env pull --json",
    "pyro env inspect --json",
    "pyro env prune --json",
    "pyro doctor --json",
    "pyro workspace create --seed-path <PATH>",
    "pyro workspace sync push <WORKSPACE_ID>",
    "pyro workspace sync push <SOURCE_PATH>",
    "pyro workspace sync push --dest <WORKSPACE_PATH>",
    "pyro workspace export <WORKSPACE_ID>",
    "pyro workspace export <PATH>",
    "pyro workspace export --output <HOST_PATH>",
    "pyro workspace diff <WORKSPACE_ID>",
];

/// Tools that must always be there.
const PROMISED_TOOLS: &[&str] = &[
    "vm_run",
    "vm_list_environments",
    "vm_create",
    "vm_start",
    "vm_exec",
    "vm_stop",
    "vm_delete",
    "vm_status",
    "vm_network_info",
    "vm_reap_expired",
    "workspace_create",
    "workspace_sync_push",
    "workspace_exec",
    "workspace_export",
    "workspace_diff",
    "service_start",
    "service_list",
    "service_status",
    "service_logs",
    "service_stop",
    "shell_open",
    "shell_read",
    "shell_write",
    "shell_signal",
    "shell_close",
    "workspace_status",
    "workspace_logs",
    "workspace_delete",
];

/// Functions and methods that must always be there, and what they take.
const PROMISED_METHODS: &[&str] = &[
    "pyro_mcp.create_server()",
    "pyro_mcp.Pyro.create_server()",
    "pyro_mcp.Pyro.list_environments()",
    "pyro_mcp.Pyro.pull_environment(environment)",
    "pyro_mcp.Pyro.inspect_environment(environment)",
    "pyro_mcp.Pyro.prune_environments()",
    "pyro_mcp.Pyro.create_vm(...)",
    "pyro_mcp.Pyro.create_workspace(...)",
    "pyro_mcp.Pyro.push_workspace_sync(workspace_id, source_path, *, dest='/workspace')",
    "pyro_mcp.Pyro.export_workspace(workspace_id, path, *, output_path)",
    "pyro_mcp.Pyro.diff_workspace(workspace_id)",
    "pyro_mcp.Pyro.start_service(workspace_id, service_name, *, command, cwd='/workspace', readiness=None, \
     ready_timeout_seconds=30, ready_interval_ms=500)",
    "pyro_mcp.Pyro.list_services(workspace_id)",
    "pyro_mcp.Pyro.status_service(workspace_id, service_name)",
    "pyro_mcp.Pyro.logs_service(workspace_id, service_name, *, tail_lines=200, all=False)",
    "pyro_mcp.Pyro.stop_service(workspace_id, service_name)",
    "pyro_mcp.Pyro.open_shell(workspace_id, *, cwd='/workspace', cols=120, rows=30)",
    "pyro_mcp.Pyro.read_shell(workspace_id, shell_id, *, cursor=0, max_chars=65536)",
    "pyro_mcp.Pyro.write_shell(workspace_id, shell_id, *, input, append_newline=True)",
    "pyro_mcp.Pyro.signal_shell(workspace_id, shell_id, *, signal_name='INT')",
    "pyro_mcp.Pyro.close_shell(workspace_id, shell_id)",
    "pyro_mcp.Pyro.start_vm(vm_id)",
    "pyro_mcp.Pyro.exec_vm(vm_id, *, command, timeout_seconds=30)",
    "pyro_mcp.Pyro.exec_workspace(workspace_id, *, command, timeout_seconds=30)",
    "pyro_mcp.Pyro.stop_vm(vm_id)",
    "pyro_mcp.Pyro.delete_vm(vm_id)",
    "pyro_mcp.Pyro.delete_workspace(workspace_id)",
    "pyro_mcp.Pyro.status_vm(vm_id)",
    "pyro_mcp.Pyro.status_workspace(workspace_id)",
    "pyro_mcp.Pyro.logs_workspace(workspace_id)",
    "pyro_mcp.Pyro.network_info_vm(vm_id)",
    "pyro_mcp.Pyro.reap_expired()",
    "pyro_mcp.Pyro.run_in_vm(...)",
];
