"""Compares results with what the stubs say of them, to the letter."""

from __future__ import annotations

import ast
import types
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

import pyro_mcp
from pyro_mcp import results


def declared() -> dict[str, Any]:
    """The methods of ``Pyro`` in the stubs, with the types of their results."""
    stub = ast.parse((Path(pyro_mcp.__file__).parent / "_native.pyi").read_text())
    pyro = next(node for node in stub.body if isinstance(node, ast.ClassDef) and node.name == "Pyro")
    methods = [node for node in pyro.body if isinstance(node, ast.FunctionDef) and node.returns is not None]
    types_of = {node.name: ast.unparse(node.returns) for node in methods if node.returns is not None}
    unchecked = {"__new__", "create_server"}
    return {name: eval(kind, dict(vars(results))) for name, kind in types_of.items() if name not in unchecked}


def assert_fits(value: Any, kind: Any, where: str = "result") -> None:
    """Fails unless a value is of a type: no key more, none less, no integer for a float."""
    problems = _problems(value, kind, where)
    assert not problems, "\n".join(problems)


def _problems(value: Any, kind: Any, where: str) -> list[str]:
    if kind is None or kind is type(None):
        return [] if value is None else [f"{where} is {value!r}, not None"]
    if is_typeddict(kind):
        return _of_dictionary(value, kind, where)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return [] if value in arguments else [f"{where} is {value!r}, none of {arguments}"]
    if origin in (Union, types.UnionType):
        tries = [_problems(value, one, where) for one in arguments]
        return [] if any(not problems for problems in tries) else min(tries, key=len)
    if origin is list:
        if type(value) is not list:
            return [f"{where} is {value!r}, no list"]
        items = enumerate(value)
        return [problem for at, one in items for problem in _problems(one, arguments[0], f"{where}[{at}]")]
    if origin is dict:
        if type(value) is not dict:
            return [f"{where} is {value!r}, no dict"]
        items_of = value.items()
        return [problem for key, one in items_of for problem in _problems(one, arguments[1], f"{where}[{key!r}]")]
    return [] if type(value) is kind else [f"{where} is {value!r}, no {kind}"]


def _of_dictionary(value: Any, kind: Any, where: str) -> list[str]:
    if type(value) is not dict:
        return [f"{where} is {value!r}, no dict"]
    hints, keys = get_type_hints(kind), set(value)
    missing, unknown = kind.__required_keys__ - keys, keys - set(hints)
    problems = [f"{where} lacks {sorted(missing)}"] if missing else []
    problems += [f"{where} has unknown {sorted(unknown)}"] if unknown else []
    for key in keys & set(hints):
        problems += _problems(value[key], hints[key], f"{where}.{key}")
    return problems


class Checked:
    """pyro, whose results are compared with the stubs as they come."""

    def __init__(self, pyro: pyro_mcp.Pyro) -> None:
        self._pyro = pyro
        self._declared = declared()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._pyro, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            result = method(*args, **kwargs)
            assert_fits(result, self._declared[name], name)
            return result

        return call
