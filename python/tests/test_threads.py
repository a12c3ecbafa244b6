"""Several calls at a time, and other Python code meanwhile."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pyro_mcp import Pyro, PyroError
from pyro_mcp._native import CancelToken, call_with
from support.home import BASE, PATIENCE, users_of
from support.wait import wait_until


def test_machines_run_at_the_same_time(pyro: Pyro, workspace: Any) -> None:
    """Eight commands of one workspace wait for each other: one after the other they would wait for ever."""
    home = workspace["workspace_id"]
    command = "touch here-$0; until [ $(ls here-* | wc -l) = 8 ]; do sleep 0.05; done; echo met"
    with ThreadPoolExecutor(8) as pool:
        calls = [
            pool.submit(pyro.exec_workspace, home, command=["sh", "-c", command, str(number)], timeout_seconds=int(PATIENCE))
            for number in range(8)
        ]
        assert [call.result()["stdout"] for call in calls] == ["met\n"] * 8


def test_runs_overlap(pyro: Pyro, pyro_home: Path) -> None:
    """Eight machines are there at once, as far as the host sees them. Then all are ended from this thread."""
    pyro.run_in_vm(BASE, "true")

    def machines() -> int:
        return sum("qemu" in command for command in users_of(pyro_home).values())

    before, token = machines(), CancelToken()
    with ThreadPoolExecutor(8) as pool:
        words = (BASE, "sleep 1000")
        calls = [pool.submit(call_with, token, pyro.run_in_vm, *words, timeout_seconds=1000) for _ in range(8)]
        try:
            wait_until("eight machines run", lambda: machines() == before + 8)
        finally:
            token.cancel()
        failures = [call.exception() for call in calls]
    assert [failure.kind for failure in failures if isinstance(failure, PyroError)] == ["interrupted"] * 8
    assert machines() == before


def test_other_threads_run_while_a_call_waits(pyro: Pyro, workspace: Any) -> None:
    home = workspace["workspace_id"]
    waiting = threading.Thread(target=pyro.exec_workspace, args=(home,), kwargs={"command": "until [ -e go ]; do sleep 0.1; done"})
    waiting.start()
    # Were the lock of Python held by the call, this thread would never say that it may end.
    pyro.exec_workspace(home, command="touch go")
    waiting.join(PATIENCE)
    assert not waiting.is_alive()


def test_a_process_may_fork_after_it_has_used_pyro(pyro: Pyro, workspace: Any) -> None:
    pyro.run_in_vm(BASE, "true")
    pyro.exec_workspace(workspace["workspace_id"], command="true")
    child = os.fork()
    if child == 0:
        code = 1
        try:
            one = pyro.exec_workspace(workspace["workspace_id"], command="exit 40")["exit_code"]
            other = pyro.run_in_vm(BASE, "exit 2")["exit_code"]
            code = one + other
        finally:
            os._exit(code)
    ended: list[int] = []

    def has_ended() -> bool:
        pid, status = os.waitpid(child, os.WNOHANG)
        ended.append(status)
        return pid == child

    try:
        wait_until("the child ends", has_ended)
    except AssertionError:
        os.kill(child, 9)
        os.waitpid(child, 0)
        raise
    assert os.waitstatus_to_exitcode(ended[-1]) == 42
    assert pyro.run_in_vm(BASE, "exit 3")["exit_code"] == 3
