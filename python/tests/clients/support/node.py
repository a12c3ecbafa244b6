"""Programs of the npm registry, run by the Node.js that PyPI has, so that the host needs none."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import pytest

from support.home import target_folder

#: The programs, pinned, since each is a moving target.
PACKAGES = (
    "@anthropic-ai/claude-code@2.1.329",
    "@openai/codex@0.169.0",
    "opencode-ai@1.18.33",
    "@modelcontextprotocol/inspector@2.12.0",
)

#: What of them has to run before an installation counts as one.
PROGRAMS = ("claude", "codex", "opencode", "mcp-inspector")

#: What npm says where there is no network, or no registry.
UNREACHABLE = {"EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "EHOSTUNREACH", "ENETUNREACH", "ENOTFOUND", "ETIMEDOUT"}
UNREACHABLE |= {"ERR_SOCKET_TIMEOUT", "E502", "E503", "E504"}

#: Longer than any of them takes on a busy machine, in seconds.
PATIENCE = 300


def installed(program: str) -> Path:
    """A program of these packages. Where the registry does not answer, the test that needs it is skipped."""
    folder, unreachable = _install()
    if unreachable:
        pytest.skip(f"the npm registry does not answer ({unreachable}): {' '.join(PACKAGES)} are not tested")
    return folder / "node_modules" / ".bin" / program


def run(
    program: str, arguments: Sequence[str | Path], home: Path, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs a program with a home of its own, and nothing of the user's."""
    command = [installed(program), *arguments]
    everything = {**environment(home), **(env or {})}
    return subprocess.run(
        command,
        cwd=home,
        env=everything,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def environment(home: Path) -> dict[str, str]:
    """Where the programs are, and a home in which they find nothing."""
    kept = {name: value for name, value in os.environ.items() if name.startswith("PYRO_") or name == "LANG"}
    folders = {"XDG_CONFIG_HOME": ".config", "XDG_DATA_HOME": ".data", "XDG_CACHE_HOME": ".cache"}
    folders |= {"XDG_STATE_HOME": ".state", "CLAUDE_CONFIG_DIR": ".claude", "CODEX_HOME": ".codex", "TMPDIR": ".tmp"}
    places = {name: str(home / folder) for name, folder in folders.items()}
    for place in places.values():
        Path(place).mkdir(exist_ok=True)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**kept, **places, "HOME": str(home), "PATH": path}


@cache
def _install() -> tuple[Path, str]:
    """The folder of all packages, which is kept for the next time; or what says that there is no registry."""
    folder = target_folder() / "agents"
    marker, wanted = folder / "installed", "\n".join(PACKAGES)
    if marker.exists() and marker.read_text() == wanted:
        return folder, ""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "package.json").write_text("{}")
    npm = Path(sys.executable).parent / "npm"
    command: list[str | Path] = [npm, "install", "--no-audit", "--no-fund", "--prefix", folder, *PACKAGES]
    env = {**os.environ, "PATH": f"{npm.parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    code = re.search(r"^npm error code (\w+)", done.stderr, re.MULTILINE)
    if code and code[1] in UNREACHABLE:
        return folder, code[1]
    assert done.returncode == 0, done.stderr
    assert_all_run(folder)
    marker.write_text(wanted)
    return folder, ""


def assert_all_run(folder: Path) -> None:
    """Fails where a program is there and does not start: parts of it may have been left out by the installation."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    for program in PROGRAMS:
        command: list[str | Path] = [folder / "node_modules" / ".bin" / program, "--version"]
        done = subprocess.run(command, cwd=home, env=environment(home), capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{program} was not installed whole: {done.stdout}{done.stderr}"
