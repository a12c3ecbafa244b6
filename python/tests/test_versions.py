"""One wheel serves every Python that it says it does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.home import BASE
from support.wheel import install

VERSIONS = [(3, minor) for minor in range(10, 15)]

PROGRAM = f"""
import asyncio, inspect, json, pyro_mcp
from pyro_mcp import AsyncPyro, Pyro

def signatures(of):
    return {{name: str(inspect.signature(getattr(of, name))) for name in dir(of) if not name.startswith("_")}}

ran = Pyro().run_in_vm({BASE!r}, "echo hello")
again = asyncio.run(AsyncPyro().run_in_vm({BASE!r}, "echo hello"))
found = [pyro_mcp.__file__, pyro_mcp.__all__, signatures(Pyro), signatures(AsyncPyro), ran["stdout"], again["stdout"]]
print(json.dumps(found))
"""


def others() -> Iterator[str]:
    """One program of each other version that is on PATH and runs."""
    for major, minor in VERSIONS:
        if (major, minor) == sys.version_info[:2]:
            continue
        folders = os.environ["PATH"].split(os.pathsep)
        found = (str(Path(folder) / f"python{major}.{minor}") for folder in folders)
        runs = next((python for python in found if version_of(python) == [major, minor]), None)
        if runs:
            yield runs


def version_of(python: str) -> list[int] | None:
    """The version of a Python; none where it does not run."""
    question = "import sys; print(list(sys.version_info[:2]))"
    try:
        answer = subprocess.run([python, "-c", question], capture_output=True, text=True)
    except OSError:
        return None
    return list(json.loads(answer.stdout)) if answer.returncode == 0 else None


def told(python: str, packages: Path) -> list[Any]:
    """What the program prints in a Python that has the wheel in this folder."""
    environment = {**os.environ, "PYTHONPATH": str(packages)}
    done = subprocess.run([python, "-c", PROGRAM], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{python}: {done.stderr}"
    return list(json.loads(done.stdout))


def test_every_python_here_runs_the_same_wheel(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    install(sys.executable, "--target", tmp_path)
    expected = told(sys.executable, tmp_path)
    assert Path(expected[0]).is_relative_to(tmp_path) and expected[4:] == ["hello\n", "hello\n"]
    pythons = list(others())
    for python in pythons:
        assert told(python, tmp_path) == expected, python
    if not pythons:
        this = ".".join(map(str, sys.version_info[:2]))
        pytest.skip(f"no Python from 3.10 to 3.14 but {this} is on PATH: the wheel is tested with that one alone")
    with capsys.disabled():
        print(f"\nthe wheel also runs in {', '.join(pythons)}")
