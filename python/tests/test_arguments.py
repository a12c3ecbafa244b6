"""Whatever is given as an argument: a clear error, never a crash."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pyro_mcp import InvalidArgumentError, Pyro
from support.home import BASE

HUGE = [2**31, 2**32, 2**63, 2**64, 10**100]


@pytest.mark.parametrize("name", ["vcpu_count", "mem_mib", "timeout_seconds", "ttl_seconds"])
def test_numbers_out_of_range_are_refused_by_name(pyro: Pyro, name: str) -> None:
    for number in (-1, 0, -(10**100), *HUGE):
        arguments: dict[str, Any] = {name: number}
        with pytest.raises(InvalidArgumentError, match=name):
            pyro.run_in_vm(BASE, "true", **arguments)


def test_the_range_of_a_number_is_told_whatever_was_given(pyro: Pyro, workspace: Any) -> None:
    home = workspace["workspace_id"]
    run = functools.partial(pyro.run_in_vm, BASE, "true")
    start = functools.partial(pyro.start_service, home, "web", command="true")
    read = functools.partial(pyro.read_shell, home, "sh-000000000000")
    show = functools.partial(pyro.open_shell, home)
    ranged: dict[str, Callable[..., Any]] = {"vcpu_count": run, "mem_mib": run}
    ranged |= {"timeout_seconds": run, "ttl_seconds": run}
    ranged |= {"ready_timeout_seconds": start, "ready_interval_ms": start}
    ranged |= {"max_chars": read, "wait_for_idle_ms": read, "cols": show, "rows": show}
    for name, call in ranged.items():
        judged = refusal(call, name, 0)  # By the façade, which has a type for this number.
        for number in (-1, -(10**30), 2**63 - 1, 10**30):
            error = refusal(call, name, number)
            shown = max(min(number, 2**63 - 1), -(2**63))
            assert f"{name} is {shown}" in error.message and error.hint == judged.hint
            if " is 0, " in judged.message:
                assert error.message.split(", ")[1] == judged.message.split(", ")[1]
        assert re.search(r"\b\d+ to \d+", judged.message + (judged.hint or "")), judged


def refusal(call: Callable[..., Any], name: str, number: int) -> InvalidArgumentError:
    """What is said of a number."""
    with pytest.raises(InvalidArgumentError) as caught:
        call(**{name: number})
    return caught.value


@pytest.mark.parametrize("wrong", ["1", 1.5, None, [1], b"1", object()])
def test_what_is_no_number_is_a_type_error_that_names_the_parameter(pyro: Pyro, wrong: Any) -> None:
    with pytest.raises(TypeError, match="vcpu_count"):
        pyro.run_in_vm(BASE, "true", vcpu_count=wrong)


@pytest.mark.parametrize("wrong", [1, None, b"true", {"a": 1}, {"true"}, [1], ["a", None], ["a", ["b"]], object()])
def test_what_is_no_command_is_a_type_error(pyro: Pyro, wrong: Any) -> None:
    with pytest.raises(TypeError, match="command"):
        pyro.run_in_vm(BASE, wrong)


@pytest.mark.parametrize("wrong", ["", [], [""], "a\0b", ["a", "b\0"]])
def test_commands_that_no_kernel_takes_are_refused(pyro: Pyro, wrong: Any) -> None:
    with pytest.raises(InvalidArgumentError):
        pyro.run_in_vm(BASE, wrong)


@pytest.mark.parametrize("wrong", ["\ud800", "a\udcff"])
def test_texts_that_are_no_unicode_are_value_errors(pyro: Pyro, workspace: Any, wrong: str) -> None:
    home = workspace["workspace_id"]
    calls = [
        lambda: pyro.run_in_vm(wrong, "true"),
        lambda: pyro.run_in_vm(BASE, wrong),
        lambda: pyro.run_in_vm(BASE, ["echo", wrong]),
        lambda: pyro.status_workspace(wrong),
        lambda: pyro.export_workspace(home, wrong, output_path="x"),
        lambda: pyro.start_service(home, wrong, command="true"),
        lambda: pyro.start_service(home, "web", command="true", readiness={"type": "file", "path": wrong}),
        lambda: pyro.write_shell(home, "sh-000000000000", input=wrong),
    ]
    for call in calls:
        with pytest.raises(ValueError):
            call()


@pytest.mark.parametrize("wrong", ["", "a/b", "../..", "ws-1\0", "ws-000000000000\n", "ä" * 1000])
def test_ids_that_nobody_gave_are_told(pyro: Pyro, wrong: str) -> None:
    for method in (pyro.status_workspace, pyro.delete_workspace, pyro.status_vm, pyro.delete_vm, pyro.list_shells):
        with pytest.raises((LookupError, ValueError)):
            method(wrong)


def test_paths_that_cannot_be_are_told(pyro: Pyro, workspace: Any, tmp_path: Path) -> None:
    home = workspace["workspace_id"]
    for wrong in ("", "a\0b"):
        with pytest.raises(Exception) as caught:
            pyro.push_workspace_sync(home, wrong)
        assert isinstance(caught.value, (ValueError, LookupError)) or caught.value.kind == "io"  # type: ignore[attr-defined]
    with pytest.raises(ValueError):
        Pyro(state_dir="")
    for wrong_type in (1, b"bytes", None, [tmp_path]):
        with pytest.raises(TypeError):
            pyro.push_workspace_sync(home, wrong_type)  # type: ignore[arg-type]


def test_switches_are_switches(pyro: Pyro) -> None:
    for wrong in (1, "no", None):
        with pytest.raises(TypeError, match="network"):
            pyro.run_in_vm(BASE, "true", network=wrong)  # type: ignore[arg-type]


def test_what_is_missing_or_too_much_is_a_type_error(pyro: Pyro) -> None:
    method: Any = pyro.exec_workspace
    for args, kwargs in [((), {}), (("ws",), {}), (("ws", "true"), {}), (("ws",), {"command": "true", "more": 1})]:
        with pytest.raises(TypeError):
            method(*args, **kwargs)


def test_a_readiness_has_to_be_data(pyro: Pyro, workspace: Any) -> None:
    with pytest.raises(TypeError):
        pyro.start_service(workspace["workspace_id"], "web", command="true", readiness={"type": object()})  # type: ignore


def test_numbers_of_logs_and_cursors_may_be_large(pyro: Pyro, workspace: Any) -> None:
    home = workspace["workspace_id"]
    shell = pyro.open_shell(home)["shell_id"]
    beyond = pyro.read_shell(home, shell, cursor=10**100)
    assert beyond["output"] == "" and beyond["next_cursor"] == beyond["cursor"]
    with pytest.raises(InvalidArgumentError, match="cursor is -1, which is out of range\nhint: it is 0 or more"):
        pyro.read_shell(home, shell, cursor=-1)
    with pytest.raises(InvalidArgumentError, match="tail_lines"):
        pyro.logs_service(home, "web", tail_lines=-1)
    with pytest.raises(LookupError):
        pyro.logs_workspace(home, sequence=10**100)
    for none in (-1, 0):
        with pytest.raises(InvalidArgumentError, match="max_active_vms"):
            Pyro(max_active_vms=none)
