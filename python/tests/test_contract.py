"""The names of ``pyro_mcp`` and their signatures are what ``docs/public-contract.txt`` says, no more and no less.

With ``PYRO_UPDATE_CONTRACT=1`` the section is written anew.
"""

from __future__ import annotations

import difflib
import inspect
import os
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pyro_mcp
import pyro_mcp.errors

CONTRACT = Path(__file__).resolve().parents[2] / "docs" / "public-contract.txt"
SECTION = "python"

WHAT_TO_DO = """
A line that is gone, or reads otherwise, may break whoever uses it. The rule is SemVer: another name of a method, or another
parameter that must be given, is a breaking change and needs a new major version (before 1.0: a new minor one). Something new
that nobody has to use needs a new minor version.

If it is not meant, mend the package. If it is meant, say so in CHANGELOG.md and write the file anew:
  PYRO_UPDATE_CONTRACT=1 python -m pytest python/tests/test_contract.py
"""

# What makes an object usable with `with`, `async with` and `for`, and is public for that.
PUBLIC_DUNDERS = {"__enter__", "__exit__", "__aenter__", "__aexit__", "__iter__", "__aiter__", "__len__", "__getitem__"}


def test_the_contract_has_the_python_names() -> None:
    found = sorted(lines())
    if os.environ.get("PYRO_UPDATE_CONTRACT"):
        update(found)
        return
    said = section(SECTION)
    difference = [line for line in difflib.ndiff(said, found) if line[0] in "+-"]
    if difference:
        pytest.fail(
            f"[{SECTION}] of {CONTRACT.name} (-) is not what the package has (+):\n\n"
            + "\n".join(difference)
            + "\n"
            + WHAT_TO_DO,
            pytrace=False,
        )


def test_the_kinds_of_errors_are_those_of_the_command_line() -> None:
    assert sorted(typing.get_args(pyro_mcp.errors.ErrorKind)) == section("error-kinds")


def test_every_method_is_there_as_a_coroutine() -> None:
    def methods(of: type) -> set[str]:
        return {line.split("(")[0].rsplit(".", 1)[1] for line in members(of.__name__, of) if "(" in line}

    assert methods(pyro_mcp.AsyncPyro) >= methods(pyro_mcp.Pyro) - PUBLIC_DUNDERS


def lines() -> Iterator[str]:
    """Every public name, one thing a line."""
    for name in pyro_mcp.__all__:
        it = getattr(pyro_mcp, name)
        if inspect.isclass(it):
            yield from of_class(f"pyro_mcp.{name}", it)
        elif callable(it):
            yield of_function(f"pyro_mcp.{name}", it)
        else:
            yield f"pyro_mcp.{name}: {type(it).__name__}"


def of_class(path: str, of: type) -> Iterator[str]:
    bases = ", ".join(base.__name__ for base in of.__bases__ if base is not object)
    yield f"class {path}({bases})" if bases else f"class {path}"
    if any(name in vars(base) for base in own(of) for name in ("__new__", "__init__")):
        yield f"{path}{signature(of)}"
    yield from members(path, of)


def own(of: type) -> list[type]:
    """The class, and its bases as far as they are of this package."""
    return [base for base in of.__mro__ if base.__module__.split(".")[0] == "pyro_mcp"]


def members(path: str, of: type) -> Iterator[str]:
    """The public methods and attributes."""
    names = {name for base in own(of) for name in (*vars(base), *inspect.get_annotations(base))}
    for name in sorted(names):
        if name.startswith("_") and name not in PUBLIC_DUNDERS:
            continue
        it = inspect.getattr_static(of, name, None)
        is_bound = isinstance(it, (staticmethod, classmethod))
        if callable(it) or is_bound:
            yield of_function(f"{path}.{name}", getattr(of, name), is_method=not is_bound)
        else:
            yield f"{path}.{name}"


def of_function(path: str, function: Any, is_method: bool = False) -> str:
    word = "async " if inspect.iscoroutinefunction(function) else ""
    return f"{word}{path}{signature(function, is_method)}"


def signature(of: Any, is_method: bool = False) -> str:
    """The parameters with their defaults. Types are in the stubs."""
    parameters = list(inspect.signature(of).parameters.values())
    if is_method:
        parameters = parameters[1:]
    bare = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in parameters]
    return str(inspect.Signature(bare)).replace(", /)", ")").replace(", /, ", ", ")


def section(name: str) -> list[str]:
    _, found = CONTRACT.read_text().split(f"\n[{name}]\n", 1)
    return [line for line in found.split("\n[", 1)[0].splitlines() if line]


def update(found: list[str]) -> None:
    before, rest = CONTRACT.read_text().split(f"\n[{SECTION}]\n", 1)
    _, next_section, after = rest.partition("\n[")
    CONTRACT.write_text(f"{before}\n[{SECTION}]\n" + "\n".join(found) + "\n" + next_section + after)
