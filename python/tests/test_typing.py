"""What type checkers see is what there is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = '''
import asyncio
from pathlib import Path

from pyro_mcp import AsyncPyro, NotFoundError, Pyro, create_server
from pyro_mcp.errors import ErrorKind
from pyro_mcp.results import ExecResult, FileReadiness


def use(pyro: Pyro) -> ExecResult:
    workspace = pyro.create_workspace("debian:12", seed_path=Path("."), mem_mib=2048)
    ready: FileReadiness = {"type": "file", "path": "ready"}
    service = pyro.start_service(workspace["workspace_id"], "web", command=["sleep", "1"], readiness=ready)
    state: str = service["state"]
    pid: int | None = service["pid"]
    print(state, pid, workspace["workspace_seed"]["entry_count"] + 1)
    try:
        return pyro.exec_workspace(workspace["workspace_id"], command="true")
    except NotFoundError as error:
        kind: ErrorKind = error.kind
        raise SystemExit(f"{kind}: {error.hint}") from error


async def use_async(pyro: AsyncPyro) -> int:
    return (await pyro.run_in_vm("debian:12", "true"))["exit_code"]


print(use(Pyro(state_dir="/tmp/x")), asyncio.run(use_async(AsyncPyro())))
create_server(profile="vm-run").run(transport="stdio")
'''

#: Each is a mistake that a type checker has to see.
MISTAKES = [
    'Pyro().run_in_vm("debian:12")',
    'Pyro().run_in_vm("debian:12", "true", vcpus=2)',
    'Pyro().run_in_vm("debian:12", "true", timeout_seconds="1")',
    'Pyro().run_in_vm("debian:12", "true")["exitcode"]',
    'Pyro().start_service("ws", "web", command="x", readiness={"type": "udp", "port": 1})',
    'Pyro("/tmp")',
    'Pyro().create_server(profile="everything")',
]


def mypy(folder: Path, source: str) -> subprocess.CompletedProcess[str]:
    (folder / "program.py").write_text(source)
    command = [sys.executable, "-m", "mypy", "--strict", "--no-color-output", "program.py"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def test_the_stubs_are_those_of_the_built_module() -> None:
    allowed = Path(__file__).parent / "support" / "stubtest.allow"
    command = [sys.executable, "-m", "mypy.stubtest", "pyro_mcp", "--allowlist", str(allowed)]
    done = subprocess.run(command, cwd="/", capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_program_is_checked_strictly(tmp_path: Path) -> None:
    done = mypy(tmp_path, PROGRAM)
    assert done.returncode == 0, done.stdout


def test_mistakes_are_seen(tmp_path: Path) -> None:
    lines = [f"{mistake}\n" for mistake in MISTAKES]
    done = mypy(tmp_path, "from pyro_mcp import Pyro\n" + "".join(lines))
    found = {int(line.split(":")[1]) for line in done.stdout.splitlines() if ": error:" in line}
    assert found == set(range(2, 2 + len(MISTAKES))), done.stdout


def test_the_package_itself_is_checked_strictly() -> None:
    command = [sys.executable, "-m", "mypy", "--strict", "-p", "pyro_mcp"]
    done = subprocess.run(command, cwd="/", capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
