import os
from typing import Literal, TypeAlias

from ._native import Server
from .results import (
    DeletedVm,
    DeletedWorkspace,
    DoctorReport,
    EnvironmentInspection,
    EnvironmentSummary,
    ExecResult,
    Explanation,
    ExportResult,
    Logs,
    PrunedCache,
    Readiness,
    Reaped,
    RunResult,
    ServiceList,
    ServiceLogs,
    ServiceStatus,
    ShellList,
    ShellOutput,
    ShellSignalled,
    ShellStatus,
    ShellWritten,
    SyncResult,
    VmExecResult,
    VmNetwork,
    VmStatus,
    WorkspaceDiff,
    WorkspaceList,
    WorkspaceNetwork,
    WorkspacePort,
    WorkspaceStatus,
)

_Path: TypeAlias = str | os.PathLike[str]
_Command: TypeAlias = str | list[str] | tuple[str, ...]
_Rules: TypeAlias = list[str] | tuple[str, ...]
_Profile: TypeAlias = Literal["vm-run", "workspace-core", "workspace-full"]

class AsyncPyro:
    def __init__(
        self,
        *,
        state_dir: _Path | None = None,
        cache_dir: _Path | None = None,
        max_active_vms: int | None = None,
    ) -> None: ...
    def create_server(self, *, profile: _Profile = "workspace-full") -> Server: ...
    async def list_environments(self) -> list[EnvironmentSummary]: ...
    async def pull_environment(self, environment: str) -> EnvironmentInspection: ...
    async def inspect_environment(self, environment: str) -> EnvironmentInspection: ...
    async def prune_environments(self) -> PrunedCache: ...
    async def doctor(self, *, environment: str = "debian:12", boot: bool = False) -> DoctorReport: ...
    async def run_in_vm(
        self,
        environment: str,
        command: _Command,
        *,
        vcpu_count: int = 1,
        mem_mib: int = 1024,
        timeout_seconds: int = 30,
        ttl_seconds: int = 600,
        network: bool = False,
        allow_host_compat: bool = False,
        allow: _Rules | None = None,
        require_isolation: str = "any",
    ) -> RunResult: ...
    async def create_vm(
        self,
        environment: str,
        *,
        vcpu_count: int = 1,
        mem_mib: int = 1024,
        ttl_seconds: int = 600,
        network: bool = False,
        allow_host_compat: bool = False,
        allow: _Rules | None = None,
        require_isolation: str = "any",
    ) -> VmStatus: ...
    async def start_vm(self, vm_id: str) -> VmStatus: ...
    async def exec_vm(self, vm_id: str, *, command: _Command, timeout_seconds: int = 30) -> VmExecResult: ...
    async def stop_vm(self, vm_id: str) -> VmStatus: ...
    async def delete_vm(self, vm_id: str) -> DeletedVm: ...
    async def status_vm(self, vm_id: str) -> VmStatus: ...
    async def network_info_vm(self, vm_id: str) -> VmNetwork: ...
    async def reap_expired(self) -> Reaped: ...
    async def create_workspace(
        self,
        environment: str,
        *,
        vcpu_count: int = 1,
        mem_mib: int = 1024,
        ttl_seconds: int = 600,
        network: bool = False,
        allow_host_compat: bool = False,
        seed_path: _Path | None = None,
        allow: _Rules | None = None,
        require_isolation: str = "any",
    ) -> WorkspaceStatus: ...
    async def network_workspace(self, workspace_id: str) -> WorkspaceNetwork: ...
    async def change_network_workspace(
        self, workspace_id: str, *, allow: _Rules | None = None, remove: _Rules | None = None, reset: bool = False
    ) -> WorkspaceNetwork: ...
    async def publish_workspace(self, workspace_id: str, port: str) -> WorkspacePort: ...
    async def unpublish_workspace(self, workspace_id: str, host_port: int) -> WorkspacePort: ...
    async def explain_network(self, host: str, port: int, *, allow: _Rules | None = None) -> Explanation: ...
    async def list_workspaces(self) -> WorkspaceList: ...
    async def status_workspace(self, workspace_id: str) -> WorkspaceStatus: ...
    async def exec_workspace(self, workspace_id: str, *, command: _Command, timeout_seconds: int = 30) -> ExecResult: ...
    async def push_workspace_sync(self, workspace_id: str, source_path: _Path, *, dest: str = "/workspace") -> SyncResult: ...
    async def export_workspace(self, workspace_id: str, path: str, *, output_path: _Path, force: bool = False) -> ExportResult: ...
    async def diff_workspace(self, workspace_id: str) -> WorkspaceDiff: ...
    async def logs_workspace(self, workspace_id: str, *, sequence: int | None = None) -> Logs: ...
    async def stop_workspace(self, workspace_id: str) -> WorkspaceStatus: ...
    async def start_workspace(self, workspace_id: str) -> WorkspaceStatus: ...
    async def delete_workspace(self, workspace_id: str) -> DeletedWorkspace: ...
    async def start_service(
        self,
        workspace_id: str,
        service_name: str,
        *,
        command: _Command,
        cwd: str = "/workspace",
        readiness: Readiness | None = None,
        ready_timeout_seconds: int = 30,
        ready_interval_ms: int = 500,
        publish: _Rules | None = None,
    ) -> ServiceStatus: ...
    async def list_services(self, workspace_id: str) -> ServiceList: ...
    async def status_service(self, workspace_id: str, service_name: str) -> ServiceStatus: ...
    async def logs_service(self, workspace_id: str, service_name: str, *, tail_lines: int = 200, all: bool = False) -> ServiceLogs: ...
    async def stop_service(self, workspace_id: str, service_name: str) -> ServiceStatus: ...
    async def open_shell(self, workspace_id: str, *, cwd: str = "/workspace", cols: int = 120, rows: int = 30) -> ShellStatus: ...
    async def list_shells(self, workspace_id: str) -> ShellList: ...
    async def read_shell(
        self,
        workspace_id: str,
        shell_id: str,
        *,
        cursor: int = 0,
        max_chars: int = 65536,
        plain: bool = False,
        wait_for_idle_ms: int | None = None,
    ) -> ShellOutput: ...
    async def write_shell(self, workspace_id: str, shell_id: str, *, input: str, append_newline: bool = True) -> ShellWritten: ...
    async def signal_shell(self, workspace_id: str, shell_id: str, *, signal_name: str = "INT") -> ShellSignalled: ...
    async def resize_shell(self, workspace_id: str, shell_id: str, *, cols: int, rows: int) -> ShellStatus: ...
    async def close_shell(self, workspace_id: str, shell_id: str) -> ShellStatus: ...
