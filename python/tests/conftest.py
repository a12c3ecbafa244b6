"""The fixtures of all tests: a state directory, pyro opened on it, a workspace."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pyro_mcp
from pyro_mcp import Pyro
from support.home import BASE, assert_nothing_runs, end_everything, make_home
from support.shape import Checked


@pytest.fixture(scope="session")
def executable() -> Path:
    """The program `pyro` that was installed with the package."""
    return Path(pyro_mcp.executable())


@pytest.fixture(scope="session", autouse=True)
def pyro_home(executable: Path) -> Iterator[Path]:
    """The state directory of the session, which PYRO_HOME names. Nothing of it may run at the end."""
    folder = Path(tempfile.mkdtemp(prefix="pyro-test-"))
    make_home(folder, executable)
    os.environ["PYRO_HOME"] = str(folder)
    yield folder
    left = end_everything(folder)
    assert_nothing_runs(folder)
    assert not left, f"left behind: {left}"
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def pyro(pyro_home: Path) -> Pyro:
    """pyro, opened on the state directory of the session."""
    return Pyro()


@pytest.fixture(scope="session")
def checked(pyro: Pyro) -> Checked:
    """The same, with every result compared with the stubs."""
    return Checked(pyro)


@pytest.fixture
def workspace(pyro: Pyro) -> Iterator[Any]:
    """A workspace of the smallest environment, deleted after the test."""
    made = pyro.create_workspace(BASE)
    yield made
    try:
        pyro.delete_workspace(made["workspace_id"])
    except LookupError:
        pass  # The test has deleted it.
