"""Services: processes of a workspace that stay."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from pyro_mcp import InvalidArgumentError, NotFoundError, Pyro, PyroError, TimedOutError
from support.home import FULL
from support.shape import Checked
from support.wait import wait_until

#: The tests of this file share one, since services do not disturb each other.
WEB = ["python3", "-m", "http.server", "--bind", "127.0.0.1", "8080"]


@pytest.fixture(scope="module")
def home(pyro: Pyro) -> Iterator[str]:
    made = pyro.create_workspace(FULL, ttl_seconds=3600)
    yield made["workspace_id"]
    pyro.delete_workspace(made["workspace_id"])


@pytest.mark.parametrize(
    ("command", "readiness", "told"),
    [
        ("sleep 1; touch ready; sleep 1000", {"type": "file", "path": "ready"}, {"path": "/workspace/ready"}),
        (WEB, {"type": "tcp", "address": "127.0.0.1:8080"}, {}),
        (WEB, {"type": "http", "url": "http://127.0.0.1:8080/"}, {}),
        ("sleep 1; touch now; sleep 1000", {"type": "command", "command": "test -e now"}, {}),
        ("sleep 1000", None, {}),
    ],
    ids=["file", "tcp", "http", "command", "none"],
)
def test_a_service_is_started_when_it_is_ready(
    checked: Checked, home: str, command: Any, readiness: Any, told: dict[str, str]
) -> None:
    service = checked.start_service(
        home, "it", command=command, readiness=readiness, ready_timeout_seconds=300, ready_interval_ms=100
    )
    assert (service["state"], service["command"], service["cwd"]) == ("running", command, "/workspace")
    assert service["readiness"] == (None if readiness is None else readiness | told)
    assert service["ready_at"] >= service["started_at"] and service["pid"] > 0
    assert checked.status_service(home, "it") == service
    stopped = checked.stop_service(home, "it")
    assert (stopped["state"], stopped["stop_reason"]) == ("stopped", "sigterm")


def test_services_are_listed_and_tell_what_they_printed(checked: Checked, home: str) -> None:
    checked.start_service(home, "talker", command="seq 10; echo err >&2; touch done; sleep 1000", cwd="/tmp",
                          readiness={"type": "file", "path": "done"})
    checked.start_service(home, "gone", command="exit 5", readiness=None)
    wait_until("it ends", lambda: checked.status_service(home, "gone")["exit_code"] == 5)
    listed = {one["service_name"]: one for one in checked.list_services(home)["services"]}
    assert {"talker", "gone"} <= set(listed) and listed["talker"]["cwd"] == "/tmp"
    logs = checked.logs_service(home, "talker", tail_lines=2)
    assert (logs["stdout"], logs["stderr"], logs["tail_lines"], logs["truncated"]) == ("9\n10\n", "err\n", 2, True)
    logs = checked.logs_service(home, "talker", all=True)
    assert (logs["stdout"].count("\n"), logs["tail_lines"], logs["truncated"]) == (10, None, False)
    assert checked.status_workspace(home)["running_service_count"] == 1
    checked.stop_service(home, "talker")
    assert checked.logs_service(home, "talker")["state"] == "stopped"


def test_a_service_that_ends_before_it_is_ready_shows_its_log(pyro: Pyro, home: str) -> None:
    with pytest.raises(PyroError, match="no such config") as caught:
        pyro.start_service(home, "bad", command="echo no such config >&2; exit 3",
                           readiness={"type": "tcp", "address": "127.0.0.1:1"})
    assert caught.value.kind == "service_failed"
    assert pyro.status_service(home, "bad")["exit_code"] == 3


def test_a_service_that_is_not_ready_in_time_is_a_time_out(pyro: Pyro, home: str) -> None:
    with pytest.raises(TimedOutError) as caught:
        pyro.start_service(home, "late", command="sleep 1000", ready_timeout_seconds=1,
                           readiness={"type": "file", "path": "never"})
    assert isinstance(caught.value, TimeoutError) and caught.value.kind == "timeout"


def test_a_name_that_runs_is_taken(pyro: Pyro, home: str) -> None:
    pyro.start_service(home, "web", command="sleep 1000")
    with pytest.raises(PyroError) as caught:
        pyro.start_service(home, "web", command="sleep 1000")
    assert caught.value.kind == "already_exists"
    pyro.stop_service(home, "web")


def test_what_is_no_service_is_told(pyro: Pyro, home: str) -> None:
    for method in (pyro.status_service, pyro.logs_service, pyro.stop_service):
        with pytest.raises(NotFoundError, match="nobody"):
            method(home, "nobody")
    with pytest.raises(InvalidArgumentError, match="a-z"):
        pyro.start_service(home, "No Name", command="true")


@pytest.mark.parametrize(
    "readiness",
    [{}, {"type": "udp"}, {"type": "tcp"}, {"type": "tcp", "address": 80}, {"type": "file", "path": "/a", "more": 1}, []],
)
def test_a_readiness_that_says_nothing_is_refused(pyro: Pyro, home: str, readiness: Any) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        pyro.start_service(home, "web", command="true", readiness=readiness)
    assert caught.value.hint and '"type": "tcp"' in caught.value.hint
