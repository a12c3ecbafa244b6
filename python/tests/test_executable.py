"""The program ``pyro`` that comes with the package, wherever it was installed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import pyro_mcp
from pyro_mcp import NotFoundError
from support.wheel import install

FIND = "import pyro_mcp; print(pyro_mcp.executable())"


def output(*command: str | Path, **variables: str) -> str:
    environment = {**os.environ, **variables}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()


def test_it_is_the_native_program_beside_python(executable: Path) -> None:
    assert executable == Path(sys.executable).parent / "pyro"
    assert executable.read_bytes()[:4] == b"\x7fELF"
    assert output(executable, "--version") == f"pyro {pyro_mcp.__version__}"


def test_the_module_is_the_program(executable: Path) -> None:
    assert output(sys.executable, "-m", "pyro_mcp", "--version") == output(executable, "--version")
    run = [sys.executable, "-m", "pyro_mcp", "run", "debian:12-base", "--", "sh", "-c", 'echo "$1"; exit 7', "-", "a  b"]
    done = subprocess.run(run, capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("a  b\n", 7)


def test_the_environment_may_name_another(tmp_path: Path) -> None:
    other = tmp_path / "other"
    assert output(sys.executable, "-c", FIND, PYRO_EXECUTABLE=str(other)) == str(other)
    assert output(sys.executable, "-c", FIND, PYRO_EXECUTABLE="", PATH="/nowhere").endswith("/bin/pyro")


@pytest.mark.parametrize("where", ["--target", "--prefix", "--user"])
def test_it_is_found_wherever_pip_puts_it(where: str, tmp_path: Path) -> None:
    """With a Python that has no `pyro` beside it, nor on PATH, and is in no virtual environment."""
    python = getattr(sys, "_base_executable", sys.executable)
    place = tmp_path / "place"
    options: list[str | Path] = ["--user"] if where == "--user" else [where, place]
    variables = {"PYTHONUSERBASE": str(place), "PYTHONNOUSERSITE": "", "PIP_BREAK_SYSTEM_PACKAGES": "1"}
    install(python, *options, **variables)
    package = next(path for path in place.rglob("pyro_mcp") if path.is_dir())
    found = output(python, "-c", FIND, PYTHONPATH=str(package.parent), PATH="/usr/bin:/bin")
    assert Path(found).is_relative_to(place)
    assert output(found, "--version") == f"pyro {pyro_mcp.__version__}"


def test_without_one_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pyro_mcp").symlink_to(Path(pyro_mcp.__file__).parent)
    from pyro_mcp import _executable

    monkeypatch.delenv("PYRO_EXECUTABLE", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(_executable, "__file__", str(tmp_path / "elsewhere" / "_executable.py"))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(NotFoundError, match="PYRO_EXECUTABLE"):
        pyro_mcp.executable()
