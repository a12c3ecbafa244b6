import os
from collections.abc import Callable
from typing import Literal, ParamSpec, TypeAlias, TypeVar, final

from typing_extensions import Self, disjoint_base

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

_P = ParamSpec("_P")
_T = TypeVar("_T")
_Path: TypeAlias = str | os.PathLike[str]
_Command: TypeAlias = str | list[str] | tuple[str, ...]
_Rules: TypeAlias = list[str] | tuple[str, ...]
_Profile: TypeAlias = Literal["vm-run", "workspace-core", "workspace-full"]

__all__ = ["CancelToken", "Pyro", "Server", "__version__", "call_with", "create_server"]

__version__: str

@disjoint_base
class Pyro:
    def __new__(
        cls,
        *,
        state_dir: _Path | None = None,
        cache_dir: _Path | None = None,
        max_active_vms: int | None = None,
    ) -> Self: ...
    def list_environments(self) -> list[EnvironmentSummary]: ...
    def pull_environment(self, environment: str) -> EnvironmentInspection: ...
    def inspect_environment(self, environment: str) -> EnvironmentInspection: ...
    def prune_environments(self) -> PrunedCache: ...
    def doctor(self, *, environment: str = "debian:12", boot: bool = False) -> DoctorReport: ...
    def run_in_vm(
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
    def create_vm(
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
    def start_vm(self, vm_id: str) -> VmStatus: ...
    def exec_vm(self, vm_id: str, *, command: _Command, timeout_seconds: int = 30) -> VmExecResult: ...
    def stop_vm(self, vm_id: str) -> VmStatus: ...
    def delete_vm(self, vm_id: str) -> DeletedVm: ...
    def status_vm(self, vm_id: str) -> VmStatus: ...
    def network_info_vm(self, vm_id: str) -> VmNetwork: ...
    def reap_expired(self) -> Reaped: ...
    def create_workspace(
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
    def network_workspace(self, workspace_id: str) -> WorkspaceNetwork: ...
    def change_network_workspace(
        self, workspace_id: str, *, allow: _Rules | None = None, remove: _Rules | None = None, reset: bool = False
    ) -> WorkspaceNetwork: ...
    def publish_workspace(self, workspace_id: str, port: str) -> WorkspacePort: ...
    def unpublish_workspace(self, workspace_id: str, host_port: int) -> WorkspacePort: ...
    def explain_network(self, host: str, port: int, *, allow: _Rules | None = None) -> Explanation: ...
    def list_workspaces(self) -> WorkspaceList: ...
    def status_workspace(self, workspace_id: str) -> WorkspaceStatus: ...
    def exec_workspace(self, workspace_id: str, *, command: _Command, timeout_seconds: int = 30) -> ExecResult: ...
    def push_workspace_sync(self, workspace_id: str, source_path: _Path, *, dest: str = "/workspace") -> SyncResult: ...
    def export_workspace(self, workspace_id: str, path: str, *, output_path: _Path, force: bool = False) -> ExportResult: ...
    def diff_workspace(self, workspace_id: str) -> WorkspaceDiff: ...
    def logs_workspace(self, workspace_id: str, *, sequence: int | None = None) -> Logs: ...
    def stop_workspace(self, workspace_id: str) -> WorkspaceStatus: ...
    def start_workspace(self, workspace_id: str) -> WorkspaceStatus: ...
    def delete_workspace(self, workspace_id: str) -> DeletedWorkspace: ...
    def start_service(
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
    def list_services(self, workspace_id: str) -> ServiceList: ...
    def status_service(self, workspace_id: str, service_name: str) -> ServiceStatus: ...
    def logs_service(self, workspace_id: str, service_name: str, *, tail_lines: int = 200, all: bool = False) -> ServiceLogs: ...
    def stop_service(self, workspace_id: str, service_name: str) -> ServiceStatus: ...
    def open_shell(self, workspace_id: str, *, cwd: str = "/workspace", cols: int = 120, rows: int = 30) -> ShellStatus: ...
    def list_shells(self, workspace_id: str) -> ShellList: ...
    def read_shell(
        self,
        workspace_id: str,
        shell_id: str,
        *,
        cursor: int = 0,
        max_chars: int = 65536,
        plain: bool = False,
        wait_for_idle_ms: int | None = None,
    ) -> ShellOutput: ...
    def write_shell(self, workspace_id: str, shell_id: str, *, input: str, append_newline: bool = True) -> ShellWritten: ...
    def signal_shell(self, workspace_id: str, shell_id: str, *, signal_name: str = "INT") -> ShellSignalled: ...
    def resize_shell(self, workspace_id: str, shell_id: str, *, cols: int, rows: int) -> ShellStatus: ...
    def close_shell(self, workspace_id: str, shell_id: str) -> ShellStatus: ...
    def create_server(self, *, profile: _Profile = "workspace-full") -> Server: ...

@final
class Server:
    def run(self, transport: Literal["stdio"] = "stdio") -> None: ...

def create_server(
    *,
    profile: _Profile = "workspace-full",
    state_dir: _Path | None = None,
    cache_dir: _Path | None = None,
    max_active_vms: int | None = None,
) -> Server: ...

@final
class CancelToken:
    def __new__(cls) -> Self: ...
    def cancel(self) -> None: ...

def call_with(token: CancelToken, function: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T: ...
