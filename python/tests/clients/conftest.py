"""The tests of frameworks run where frameworks are installed, and all others where they are not: see
`requirements-frameworks.txt`. Whoever names what cannot run here gets an error, since nothing is collected."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

HAS_FRAMEWORKS = importlib.util.find_spec("langchain_mcp_adapters") is not None

collect_ignore_glob = ["test_*.py"] if HAS_FRAMEWORKS else ["frameworks/*"]

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"

#: Runs an example with these arguments, and gives its standard output and its standard error.
RunExample = Callable[..., "tuple[str, str]"]


@pytest.fixture
def run_example() -> RunExample:
    """Runs a program of `examples/` as a user would."""

    def run(name: str, arguments: Sequence[str | Path] = (), env: Mapping[str, str] | None = None) -> tuple[str, str]:
        command = [sys.executable, EXAMPLES / name, *arguments]
        done = subprocess.run(
            command, env={**os.environ, **(env or {})}, capture_output=True, text=True, timeout=600, check=False
        )
        assert done.returncode == 0, f"{name} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        return done.stdout, done.stderr

    return run
