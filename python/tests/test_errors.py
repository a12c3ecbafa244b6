"""What goes wrong, as exceptions."""

from __future__ import annotations

import copy
import pickle
from typing import Any, get_args

import pytest

import pyro_mcp
from pyro_mcp import InvalidArgumentError, NotFoundError, Pyro, PyroError, TimedOutError
from pyro_mcp.errors import ErrorKind
from support.home import BASE

MISSING = "ws-000000000000"


def failure_of(call: Any, *args: Any, **kwargs: Any) -> PyroError:
    with pytest.raises(PyroError) as caught:
        call(*args, **kwargs)
    return caught.value


def test_classes_are_those_that_python_has_for_it() -> None:
    assert issubclass(NotFoundError, LookupError) and issubclass(NotFoundError, PyroError)
    assert issubclass(InvalidArgumentError, ValueError) and issubclass(InvalidArgumentError, PyroError)
    assert issubclass(TimedOutError, TimeoutError) and issubclass(TimedOutError, PyroError)
    assert not issubclass(PyroError, OSError)


def test_what_is_not_there_is_not_found(pyro: Pyro) -> None:
    error = failure_of(pyro.status_workspace, MISSING)
    assert type(error) is NotFoundError and error.kind == "not_found"
    assert MISSING in error.message and error.hint
    assert str(error) == f"{': '.join((error.message, *error.causes))}\nhint: {error.hint}"


def test_the_whole_chain_of_causes_is_told(pyro: Pyro, workspace: Any) -> None:
    words = {"type": "tcp", "address": "nonsense"}
    error = failure_of(pyro.start_service, workspace["workspace_id"], "web", command="true", readiness={"type": "tcp"})
    assert error.causes and all(cause in str(error) for cause in error.causes)
    error = failure_of(pyro.start_service, workspace["workspace_id"], "web", command="true", readiness=words)
    assert type(error) is InvalidArgumentError and "nonsense" in str(error)


def test_hints_speak_of_parameters_and_not_of_flags(pyro: Pyro, workspace: Any, tmp_path: Any) -> None:
    hint = failure_of(pyro.run_in_vm, BASE, "true", allow=["none"], allow_host_compat=True).hint or ""
    assert "leave out" in hint and "allow" in hint and "--" not in hint
    (tmp_path / "out").write_text("in the way")
    home, out = workspace["workspace_id"], tmp_path / "out"
    hint = failure_of(pyro.export_workspace, home, "/workspace", output_path=out).hint or ""
    assert "`force`" in hint and "--" not in hint


def test_errors_survive_copying_and_pickling(pyro: Pyro) -> None:
    samples = [
        failure_of(pyro.status_workspace, MISSING),
        failure_of(pyro.run_in_vm, BASE, "true", timeout_seconds=0),
        TimedOutError("it took too long", "timeout", ("the guest was slow", "really"), "wait longer"),
        PyroError("without a hint"),
    ]
    for error in samples:
        for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
            assert type(again) is type(error) and str(again) == str(error)
            kept = (error.kind, error.message, error.causes, error.hint)
            assert (again.kind, again.message, again.causes, again.hint) == kept


def test_a_time_out_is_not_taken_for_an_error_of_the_system() -> None:
    error = TimedOutError("it took too long", "timeout", ("the guest was slow", "really"), "wait longer")
    assert (error.errno, error.strerror, error.filename, error.filename2) == (None, None, None, None)
    assert error.args == ("it took too long",)


def test_a_program_that_cannot_be_started_is_told(pyro: Pyro, workspace: Any) -> None:
    error = failure_of(pyro.exec_workspace, workspace["workspace_id"], command=["/no/such/program"])
    assert error.kind == "exec_not_started" and "/no/such/program" in str(error)


def test_kinds_are_those_that_are_declared(pyro: Pyro) -> None:
    assert len(get_args(ErrorKind)) == len(set(get_args(ErrorKind)))
    assert {"not_found", "invalid_argument", "timeout", "interrupted", "internal"} <= set(get_args(ErrorKind))
    assert failure_of(pyro.run_in_vm, BASE, []).kind in get_args(ErrorKind)


def test_a_transport_that_there_is_not_is_told(pyro: Pyro) -> None:
    error = failure_of(pyro.create_server().run, transport="http")
    assert type(error) is InvalidArgumentError and "http" in error.message and "stdio" in (error.hint or "")
    error = failure_of(pyro_mcp.create_server, profile="everything")
    assert type(error) is InvalidArgumentError and "vm-run" in (error.hint or "")


def test_a_home_that_cannot_be_made_is_told(tmp_path: Any) -> None:
    (tmp_path / "file").write_text("in the way")
    error = failure_of(Pyro(state_dir=tmp_path / "file", cache_dir=tmp_path).create_vm, "debian:12-base")
    assert error.kind != "internal" and str(tmp_path) in str(error)
