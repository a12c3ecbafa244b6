"""What methods return: plain dictionaries, whose keys and types are these.

The module is for type checkers and readers: ``from pyro_mcp.results import ExecResult``. Times are seconds since the epoch.
"""

from __future__ import annotations

from typing import Literal, TypedDict

Accelerator = Literal["kvm", "tcg"]
IsolationLevel = Literal["full", "partial"]
ExecutionMode = Literal["guest", "host_compat"]
Command = str | list[str]
"""A line for the guest's shell, or a program and its arguments."""


class Kernel(TypedDict):
    """The guest kernel of an environment."""

    package: str
    version: str
    release: str
    kind: Literal["vmlinux", "bzimage"]


class Package(TypedDict):
    """A package that is installed in an environment."""

    name: str
    version: str
    architecture: str


class EnvironmentFile(TypedDict):
    """A file that an environment is made of."""

    path: str
    size: int
    sha256: str


class EnvironmentSizes(TypedDict):
    """How large the files of an environment are."""

    total_bytes: int
    root_image_bytes: int
    kernel_bytes: int
    modules_bytes: int


class EnvironmentPaths(TypedDict):
    """Where the files of an environment are on this host."""

    folder: str
    root_image: str
    kernel: str
    modules: list[str]


class Provenance(TypedDict):
    """Where an environment came from, when and how."""

    sources: list[str]
    pulled_at: float
    pull_seconds: float
    pyro_version: str
    tools: dict[str, str]


class PersistentDiskSize(TypedDict):
    """The size of a disk that is kept."""

    size_mib: int


class PersistentDisk(TypedDict):
    """A disk that is kept."""

    persistent: PersistentDiskSize


class Template(TypedDict):
    """A machine that was booted once and saved: others are cloned from it."""

    key: str
    format: int
    environment: str
    environment_digest: str
    guest_agent_digest: str
    qemu: str
    qemu_digest: str
    accelerator: Accelerator
    cpu_digest: str
    vcpu_count: int
    mem_mib: int
    disk: Literal["scratch"] | PersistentDisk
    network: bool
    disk_format: str
    arguments_digest: str
    created_at: float
    size_bytes: int
    path: str


class EnvironmentSummary(TypedDict):
    """An environment of the catalogue, in short."""

    name: str
    version: str
    description: str
    installed: bool
    damage: str | None
    digest: str | None
    total_bytes: int | None


class EnvironmentInspection(TypedDict):
    """All that is known of an environment."""

    name: str
    version: str
    description: str
    catalog_version: int
    suite: str
    architecture: str
    requested_packages: list[str]
    installed: bool
    damage: str | None
    digest: str | None
    kernel: Kernel | None
    modules: list[str]
    packages: list[Package]
    files: list[EnvironmentFile]
    sizes: EnvironmentSizes | None
    provenance: Provenance | None
    paths: EnvironmentPaths | None
    templates: list[Template]


class Pruned(TypedDict):
    """An environment or a template that was removed."""

    kind: Literal["environment", "template"]
    digest: str
    name: str | None
    freed_bytes: int


class PrunedCache(TypedDict):
    """What was removed."""

    deleted: list[Pruned]
    count: int
    freed_bytes: int


class Timings(TypedDict):
    """Where the milliseconds of a run went."""

    prepare_ms: float
    pull_ms: float
    template_ms: float
    disk_ms: float
    spawn_ms: float
    restore_ms: float
    hello_ms: float
    exec_ms: float
    teardown_ms: float
    total_ms: float


class RunResult(TypedDict):
    """What a command in a fresh machine came to."""

    environment: str
    command: Command
    stdout: str
    stderr: str
    exit_code: int
    duration_ms: float
    execution_mode: ExecutionMode
    accelerator: Accelerator | None
    timed_out: bool
    truncated: bool
    isolation: IsolationLevel | None
    network_denials: list[NetworkDenial]
    timings: Timings


class VmStatus(TypedDict):
    """How a VM is."""

    vm_id: str
    environment: str
    state: Literal["creating", "created", "started", "stopped", "failed"]
    failure: str | None
    vcpu_count: int
    mem_mib: int
    ttl_seconds: int
    created_at: float
    expires_at: float
    execution_mode: ExecutionMode
    accelerator: Accelerator | None
    allow_host_compat: bool
    network_enabled: bool
    isolation: Isolation | None


class VmExecResult(TypedDict):
    """What the command of a VM came to. The VM is gone."""

    vm_id: str
    command: Command
    stdout: str
    stderr: str
    exit_code: int
    duration_ms: float
    execution_mode: ExecutionMode
    timed_out: bool
    truncated: bool
    network_denials: list[NetworkDenial]


class DeletedVm(TypedDict):
    """A VM that is gone."""

    vm_id: str
    deleted: bool


class IsolationLayer(TypedDict):
    """One thing that separates QEMU from the host."""

    name: Literal[
        "user", "privileges", "files", "network", "processes", "ipc", "hostname", "syscalls", "limits"
    ]
    state: Literal["full", "shared", "partial", "missing"]
    by: str
    missing: str | None


class Isolation(TypedDict):
    """How the QEMU of a machine is confined."""

    level: IsolationLevel
    layers: list[IsolationLayer]


class NetworkDenial(TypedDict):
    """Something that a guest wanted of the network and was refused."""

    time: float
    kind: Literal["dns", "tcp", "udp", "icmp", "tls", "http"]
    name: str | None
    address: str | None
    port: int | None
    rule: str
    hint: str


class PublishedPort(TypedDict):
    """A port of a guest that is reachable at 127.0.0.1 of this host."""

    host_port: int
    guest_port: int


class NetworkPolicy(TypedDict):
    """Whom a guest may talk to: everything public, or what the rules name."""

    mode: Literal["open", "allowlist"]
    allow: list[str]


class NetworkAddresses(TypedDict):
    """The addresses of one end of the link between a guest and its gateway."""

    v4: str
    v4_prefix_len: int
    v6: str
    v6_prefix_len: int


class _Connection(TypedDict):
    kind: Literal["tcp", "udp", "published"]
    address: str
    port: int
    state: Literal["connecting", "open", "closing"]
    sent_bytes: int
    received_bytes: int
    seconds: float


class NetworkConnection(_Connection, total=False):
    """A connection of a guest. ``name`` is the one that it looked up for the address, where that is known."""

    name: str


class GatewayPort(PublishedPort):
    """A published port, with the number of its connections."""

    connections: int


class NetworkCounters(TypedDict):
    """What has gone through a gateway. ``in`` is from the guest, ``out`` is to it."""

    frames_in: int
    frames_out: int
    bytes_in: int
    bytes_out: int
    dropped_frames: int
    tcp_opened: int
    tcp_refused: int
    udp_flows: int
    dns_queries: int
    denials: int


class NetworkStatus(TypedDict):
    """The gateway of a guest at one moment."""

    guest: NetworkAddresses
    gateway: NetworkAddresses
    dns: list[str]
    mtu: int
    connections: list[NetworkConnection]
    connection_count: int
    published: list[GatewayPort]
    counters: NetworkCounters


class _Network(TypedDict):
    network_enabled: bool
    policy: NetworkPolicy | None
    published: list[PublishedPort]
    status: NetworkStatus | None
    denials: list[NetworkDenial]


class VmNetwork(_Network):
    """The network of a VM."""

    vm_id: str


class WorkspaceNetwork(_Network):
    """The network of a workspace."""

    workspace_id: str


class WorkspacePort(PublishedPort):
    """A port of a workspace that is reachable at 127.0.0.1 of this host."""

    workspace_id: str


class ExplanationStep(TypedDict):
    """One decision about a connection, and the rule that decides."""

    what: str
    allowed: bool
    rule: str
    hint: str
    addresses: list[str]


class Explanation(TypedDict):
    """Whether a guest could talk to a host."""

    allowed: bool
    steps: list[ExplanationStep]


class Reaped(TypedDict):
    """The ids of what was over, and is gone."""

    workspaces: list[str]
    vms: list[str]
    count: int


class WorkspaceSeed(TypedDict):
    """How ``/workspace`` was initialised."""

    mode: Literal["empty", "directory", "tar_archive"]
    seed_path: str | None
    destination: str
    entry_count: int
    bytes_written: int


class LastCommand(TypedDict):
    """A command, without its output."""

    sequence: int
    command: Command
    cwd: str
    exit_code: int | None
    duration_ms: float | None
    recorded_at: float


class WorkspaceStatus(TypedDict):
    """How a workspace is."""

    workspace_id: str
    environment: str
    state: Literal["creating", "created", "started", "stopped", "failed"]
    failure: str | None
    workspace_path: str
    vcpu_count: int
    mem_mib: int
    disk_mib: int
    disk_used_bytes: int
    ttl_seconds: int
    created_at: float
    expires_at: float
    last_activity_at: float
    execution_mode: ExecutionMode
    accelerator: Accelerator | None
    allow_host_compat: bool
    network_enabled: bool
    network_allow: list[str]
    published: list[PublishedPort]
    isolation: Isolation | None
    workspace_seed: WorkspaceSeed
    command_count: int
    last_command: LastCommand | None
    service_count: int
    running_service_count: int


class DamagedWorkspace(TypedDict):
    """A workspace whose record cannot be read."""

    workspace_id: str
    reason: str


class WorkspaceList(TypedDict):
    """All workspaces, the oldest first."""

    count: int
    workspaces: list[WorkspaceStatus]
    damaged: list[DamagedWorkspace]


class _Deleted(TypedDict):
    workspace_id: str
    deleted: bool


class DeletedWorkspace(_Deleted, total=False):
    """A workspace that is gone, and what it was: only its id, where its record could not be read."""

    environment: str
    state: Literal["creating", "created", "started", "stopped", "failed"]
    failure: str | None
    workspace_path: str
    vcpu_count: int
    mem_mib: int
    disk_mib: int
    disk_used_bytes: int
    ttl_seconds: int
    created_at: float
    expires_at: float
    last_activity_at: float
    execution_mode: ExecutionMode
    accelerator: Accelerator | None
    allow_host_compat: bool
    network_enabled: bool
    network_allow: list[str]
    published: list[PublishedPort]
    isolation: Isolation | None
    workspace_seed: WorkspaceSeed
    command_count: int
    last_command: LastCommand | None
    service_count: int
    running_service_count: int


class ExecResult(TypedDict):
    """What a command in a workspace came to."""

    workspace_id: str
    sequence: int
    command: Command
    cwd: str
    stdout: str
    stderr: str
    exit_code: int
    duration_ms: float
    execution_mode: ExecutionMode
    timed_out: bool
    truncated: bool
    network_denials: list[NetworkDenial]


class LoggedCommand(TypedDict):
    """A command of a workspace's history."""

    sequence: int
    command: Command
    cwd: str
    exit_code: int | None
    duration_ms: float | None
    execution_mode: ExecutionMode
    timed_out: bool
    stdout: str
    stderr: str
    recorded_at: float
    truncated: bool
    running: bool
    error: str | None


class Logs(TypedDict):
    """The history of a workspace."""

    workspace_id: str
    count: int
    entries: list[LoggedCommand]


class SyncResult(TypedDict):
    """What was brought into a workspace."""

    workspace_id: str
    mode: Literal["directory", "tar_archive"]
    source: str
    destination: str
    entry_count: int
    bytes_written: int
    execution_mode: ExecutionMode


class ExportResult(TypedDict):
    """What was brought out of a workspace."""

    workspace_id: str
    workspace_path: str
    output_path: str
    artifact_type: Literal["file", "directory", "symlink"]
    entry_count: int
    bytes_written: int
    execution_mode: ExecutionMode


class DiffSummary(TypedDict):
    """How many paths changed, and how."""

    total: int
    added: int
    modified: int
    deleted: int
    type_changed: int
    text_patched: int
    non_text: int


class DiffEntry(TypedDict):
    """A path that changed."""

    path: str
    status: Literal["added", "modified", "deleted", "type_changed"]
    artifact_type: Literal["file", "directory", "symlink", "other"]
    text_patch: str | None


class WorkspaceDiff(TypedDict):
    """What a workspace has become since its baseline."""

    changed: bool
    summary: DiffSummary
    entries: list[DiffEntry]
    patch: str


class FileReadiness(TypedDict):
    """Ready when there is something at a path."""

    type: Literal["file"]
    path: str


class TcpReadiness(TypedDict):
    """Ready when ``HOST:PORT`` accepts connections."""

    type: Literal["tcp"]
    address: str


class HttpReadiness(TypedDict):
    """Ready when a GET is answered with a status from 200 to 399."""

    type: Literal["http"]
    url: str


class CommandReadiness(TypedDict):
    """Ready when a line for ``/bin/sh`` exits with 0."""

    type: Literal["command"]
    command: str


Readiness = FileReadiness | TcpReadiness | HttpReadiness | CommandReadiness
ServiceState = Literal["starting", "running", "stopped", "exited", "failed"]


class ServiceStatus(TypedDict):
    """How a service is."""

    workspace_id: str
    service_name: str
    command: Command
    cwd: str
    state: ServiceState
    started_at: float
    ready_at: float | None
    ended_at: float | None
    exit_code: int | None
    signal: int | None
    pid: int | None
    readiness: Readiness | None
    published: list[PublishedPort]
    stop_reason: Literal[
        "sigterm",
        "sigkill",
        "process_exited",
        "process_exited_before_ready",
        "readiness_timeout",
        "probe_failed",
        "not_started",
        "workspace_stopped",
        "machine_ended",
        "supervisor_ended",
    ] | None
    failure: str | None


class ServiceList(TypedDict):
    """The services of a workspace."""

    workspace_id: str
    count: int
    running_count: int
    services: list[ServiceStatus]


class ServiceLogs(TypedDict):
    """The end of what a service printed."""

    workspace_id: str
    service_name: str
    state: ServiceState
    stdout: str
    stderr: str
    tail_lines: int | None
    truncated: bool
    stdout_dropped_bytes: int
    stderr_dropped_bytes: int


class ShellStatus(TypedDict):
    """How a shell is."""

    workspace_id: str
    shell_id: str
    cwd: str
    cols: int
    rows: int
    state: Literal["running", "exited", "closed", "failed"]
    started_at: float
    ended_at: float | None
    exit_code: int | None
    failure: str | None


class ShellList(TypedDict):
    """The shells of a workspace."""

    workspace_id: str
    count: int
    running_count: int
    shells: list[ShellStatus]


class ShellOutput(ShellStatus):
    """What a shell has shown."""

    cursor: int
    next_cursor: int
    output: str
    truncated: bool
    dropped_chars: int
    idle: bool | None


class ShellWritten(ShellStatus):
    """What was typed into a shell."""

    input_length: int
    append_newline: bool


class ShellSignalled(ShellStatus):
    """What was sent to a shell."""

    signal: Literal["HUP", "INT", "TERM", "KILL", "QUIT", "TSTP", "CONT", "WINCH"]


class AcceleratorStatus(TypedDict):
    """What would run a guest, and why."""

    kind: Accelerator
    reason: str
    measured: float | None


class KvmStatus(TypedDict):
    """What there is of KVM on this host."""

    exists: bool
    readable: bool
    writable: bool
    runs_guests: bool
    million_instructions_per_second: float | None
    problem: str | None


class QemuReport(TypedDict):
    """The QEMU that is used."""

    path: str
    version: str


class Capabilities(TypedDict):
    """What can be done on this host."""

    supports_vm_boot: bool
    supports_guest_exec: bool
    supports_guest_network: bool


class RuntimeReport(TypedDict):
    """Folders and abilities."""

    cache_dir: str
    capabilities: Capabilities


class NetworkingReport(TypedDict):
    """What a guest's network would be."""

    available: bool
    reason: str
    ipv6: bool
    ping: bool


class Check(TypedDict):
    """One thing that was looked at."""

    name: str
    status: Literal["ok", "degraded", "failed"]
    found: str
    hint: str | None


class Issue(TypedDict):
    """What is wrong, and what to type."""

    what: str
    hint: str | None


class BootReport(TypedDict):
    """What a real boot took."""

    environment: str
    guest: str
    cold: Timings
    warm: Timings


class DoctorReport(TypedDict):
    """What this host can do."""

    platform: str
    runtime_ok: bool
    accelerator: AcceleratorStatus | None
    kvm: KvmStatus
    qemu: QemuReport | None
    runtime: RuntimeReport
    networking: NetworkingReport
    isolation: Isolation | None
    checks: list[Check]
    issues: list[Issue]
    boot: BootReport | None
