"""The parameters, defaults and fields that are promised, and that every method is tried."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

import pyro_mcp
from pyro_mcp import AsyncPyro, Pyro, results
from support.shape import declared

BORDER = "allow=None, require_isolation='any'"
MACHINE = "vcpu_count=1, mem_mib=1024, ttl_seconds=600, network=False, allow_host_compat=False"

#: Of every method of the contract, and of those beyond it.
PROMISED = {
    "create_server": "*, profile='workspace-full'",
    "list_environments": "",
    "pull_environment": "environment",
    "inspect_environment": "environment",
    "prune_environments": "",
    "create_vm": f"environment, *, {MACHINE}, {BORDER}",
    "create_workspace": f"environment, *, {MACHINE}, seed_path=None, {BORDER}",
    "push_workspace_sync": "workspace_id, source_path, *, dest='/workspace'",
    "export_workspace": "workspace_id, path, *, output_path, force=False",
    "diff_workspace": "workspace_id",
    "start_service": "workspace_id, service_name, *, command, cwd='/workspace', readiness=None, "
    "ready_timeout_seconds=30, ready_interval_ms=500, publish=None",
    "list_services": "workspace_id",
    "status_service": "workspace_id, service_name",
    "logs_service": "workspace_id, service_name, *, tail_lines=200, all=False",
    "stop_service": "workspace_id, service_name",
    "open_shell": "workspace_id, *, cwd='/workspace', cols=120, rows=30",
    "read_shell": "workspace_id, shell_id, *, cursor=0, max_chars=65536, plain=False, wait_for_idle_ms=None",
    "write_shell": "workspace_id, shell_id, *, input, append_newline=True",
    "signal_shell": "workspace_id, shell_id, *, signal_name='INT'",
    "close_shell": "workspace_id, shell_id",
    "start_vm": "vm_id",
    "exec_vm": "vm_id, *, command, timeout_seconds=30",
    "exec_workspace": "workspace_id, *, command, timeout_seconds=30",
    "stop_vm": "vm_id",
    "delete_vm": "vm_id",
    "delete_workspace": "workspace_id",
    "status_vm": "vm_id",
    "status_workspace": "workspace_id",
    "logs_workspace": "workspace_id, *, sequence=None",
    "network_info_vm": "vm_id",
    "reap_expired": "",
    "run_in_vm": "environment, command, *, vcpu_count=1, mem_mib=1024, timeout_seconds=30, ttl_seconds=600, "
    f"network=False, allow_host_compat=False, {BORDER}",
    # Beyond the contract.
    "list_workspaces": "",
    "start_workspace": "workspace_id",
    "stop_workspace": "workspace_id",
    "list_shells": "workspace_id",
    "resize_shell": "workspace_id, shell_id, *, cols, rows",
    "network_workspace": "workspace_id",
    "change_network_workspace": "workspace_id, *, allow=None, remove=None, reset=False",
    "publish_workspace": "workspace_id, port",
    "unpublish_workspace": "workspace_id, host_port",
    "explain_network": "host, port, *, allow=None",
    "doctor": "*, environment='debian:12', boot=False",
}

SHELL = "shell_id cwd cols rows state started_at ended_at exit_code"

#: The fields of results that are promised. Others may stand beside them.
FIELDS = {
    "RunResult": "environment command stdout stderr exit_code duration_ms execution_mode accelerator timed_out "
    "truncated timings isolation network_denials",
    "VmExecResult": "vm_id command stdout stderr exit_code duration_ms execution_mode timed_out truncated "
    "network_denials",
    "WorkspaceStatus": "workspace_id environment state workspace_path vcpu_count mem_mib ttl_seconds created_at "
    "expires_at last_activity_at execution_mode accelerator allow_host_compat network_enabled network_allow published "
    "isolation workspace_seed "
    "command_count last_command service_count running_service_count",
    "VmNetwork": "vm_id network_enabled policy published status denials",
    "WorkspaceNetwork": "workspace_id network_enabled policy published status denials",
    "NetworkDenial": "time kind name address port rule hint",
    "Isolation": "level layers",
    "WorkspaceSeed": "mode seed_path destination entry_count bytes_written",
    "WorkspaceList": "workspaces count",
    "DeletedWorkspace": "workspace_id deleted",
    "ExecResult": "workspace_id sequence command cwd stdout stderr exit_code duration_ms execution_mode timed_out "
    "truncated network_denials",
    "SyncResult": "mode source destination entry_count bytes_written execution_mode",
    "ExportResult": "workspace_path output_path artifact_type entry_count bytes_written",
    "WorkspaceDiff": "changed summary entries patch",
    "DiffSummary": "total added modified deleted type_changed text_patched non_text",
    "DiffEntry": "path status artifact_type text_patch",
    "Logs": "count entries",
    "LoggedCommand": "sequence command cwd exit_code duration_ms execution_mode stdout stderr recorded_at truncated",
    "ServiceStatus": "workspace_id service_name command cwd state started_at ready_at ended_at exit_code pid readiness "
    "stop_reason published",
    "ServiceList": "services count running_count",
    "ServiceLogs": "stdout stderr tail_lines truncated",
    "ShellStatus": SHELL,
    "ShellOutput": f"{SHELL} cursor next_cursor output truncated",
    "ShellWritten": f"{SHELL} input_length append_newline",
    "ShellSignalled": f"{SHELL} signal",
    "EnvironmentSummary": "name version description installed",
    "EnvironmentInspection": "name installed digest packages sizes provenance paths templates",
    "PrunedCache": "deleted count freed_bytes",
    "DoctorReport": "platform runtime_ok accelerator kvm qemu runtime networking isolation issues",
    "AcceleratorStatus": "kind reason measured",
    "KvmStatus": "exists readable writable runs_guests",
    "QemuReport": "path version",
    "RuntimeReport": "cache_dir capabilities",
    "Capabilities": "supports_vm_boot supports_guest_exec supports_guest_network",
    "Issue": "what hint",
}


def public(kind: type) -> set[str]:
    return {name for name in vars(kind) if not name.startswith("_")}


def parameters(function: object) -> str:
    signature = inspect.signature(function)  # type: ignore[arg-type]
    without_self = [one for one in signature.parameters.values() if one.name != "self"]
    plain = [one.replace(annotation=inspect.Parameter.empty) for one in without_self]
    return str(inspect.Signature(plain))[1:-1]


@pytest.mark.parametrize("kind", [Pyro, AsyncPyro])
def test_methods_take_what_is_promised(kind: type) -> None:
    assert public(kind) == set(PROMISED)
    assert {name: parameters(getattr(kind, name)) for name in PROMISED} == PROMISED


def test_opening_takes_folders_and_a_limit() -> None:
    for kind in (Pyro, AsyncPyro):
        assert parameters(kind) == "*, state_dir=None, cache_dir=None, max_active_vms=None"
    expected = "*, profile='workspace-full', state_dir=None, cache_dir=None, max_active_vms=None"
    assert parameters(pyro_mcp.create_server) == expected
    assert parameters(pyro_mcp.Server.run) == "transport='stdio'"


def test_results_have_the_fields_that_are_promised() -> None:
    """That they have those of their types, and no others, is checked as they come."""
    for name, fields in FIELDS.items():
        assert set(fields.split()) <= getattr(results, name).__required_keys__, name


def test_everything_is_documented() -> None:
    for kind in (Pyro, AsyncPyro, pyro_mcp.Server):
        assert inspect.getdoc(kind)
        for name in public(kind):
            assert inspect.getdoc(getattr(kind, name)), f"{kind.__name__}.{name}"
    for name in pyro_mcp.__all__:
        assert name == "__version__" or inspect.getdoc(getattr(pyro_mcp, name)), name


def test_coroutines_are_coroutines() -> None:
    for name in set(PROMISED) - {"create_server"}:
        method = getattr(AsyncPyro, name)
        assert inspect.iscoroutinefunction(method)
        assert (method.__name__, method.__qualname__) == (name, f"AsyncPyro.{name}")


def test_every_method_is_tried_and_its_result_compared() -> None:
    sources = "\n".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    tried = set(re.findall(r"\bchecked\.(\w+)\(", sources))
    assert tried == set(declared()) == set(PROMISED) - {"create_server"}
