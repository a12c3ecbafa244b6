"""Finds the program ``pyro`` that was installed with this package: supervisors of workspaces are started from it."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from .errors import NotFoundError

_VARIABLE = "PYRO_EXECUTABLE"
_NAME = "pyro"


def executable() -> str:
    """The path of the program ``pyro``: the one that ``PYRO_EXECUTABLE`` names, else the one of this package, else the
    one beside Python, else the one on ``PATH``.

    Raises ``NotFoundError`` where there is none.
    """
    named = os.environ.get(_VARIABLE)
    if named:
        return os.path.abspath(named)
    for path in _places():
        if path.is_file() and os.access(path, os.X_OK):
            return str(path)
    message = "there is no executable `pyro` beside the package pyro_mcp, nor on PATH"
    hint = f"install the wheel of pyro-mcp again, or name the executable in {_VARIABLE}"
    raise NotFoundError(message, "not_found", (), hint)


def _places() -> Iterator[Path]:
    yield from _installed()
    yield Path(sys.executable).parent / _NAME
    on_path = shutil.which(_NAME)
    if on_path:
        yield Path(on_path).absolute()


def _installed() -> Iterator[Path]:
    """What was installed as a script, wherever the installer put it: it has written that down. ``pip install --target``
    moves scripts afterwards, into the folder of the packages."""
    package = Path(__file__).resolve().parent
    for distribution in importlib.metadata.distributions(name="pyro-mcp", path=[str(package.parent)]):
        for file in distribution.files or ():
            if file.name == _NAME and file.parent.name == "bin":
                yield Path(os.path.abspath(str(distribution.locate_file(file))))
    yield package.parent / "bin" / _NAME
