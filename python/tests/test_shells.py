"""Shells: terminals in a workspace."""

from __future__ import annotations

from typing import Any

import pytest

from pyro_mcp import InvalidArgumentError, NotFoundError, Pyro
from support.shape import Checked
from support.wait import wait_until


def test_a_shell_is_used_from_its_opening_to_its_closing(checked: Checked, workspace: Any) -> None:
    home = workspace["workspace_id"]
    opened = checked.open_shell(home, cwd="/tmp", cols=80, rows=24)
    shell = opened["shell_id"]
    assert (opened["state"], opened["cwd"], opened["cols"], opened["rows"]) == ("running", "/tmp", 80, 24)
    assert [one["shell_id"] for one in checked.list_shells(home)["shells"]] == [shell]

    written = checked.write_shell(home, shell, input="name=world; pwd")
    assert (written["input_length"], written["append_newline"]) == (15, True)
    checked.write_shell(home, shell, input="echo hello ", append_newline=False)
    checked.write_shell(home, shell, input='$name "[$(stty size)]"')
    shown = ""

    def has_answered() -> bool:
        nonlocal shown
        read = checked.read_shell(home, shell, plain=True, wait_for_idle_ms=100)
        shown = read["output"]
        return "hello world [24 80]" in shown

    wait_until("the shell answers", has_answered)
    assert "\n/tmp\n" in shown

    assert checked.resize_shell(home, shell, cols=100, rows=40)["cols"] == 100
    end = checked.read_shell(home, shell)["next_cursor"]
    checked.write_shell(home, shell, input="stty size; sleep 1000")
    wait_until("it has the new size", lambda: "40 100" in checked.read_shell(home, shell, cursor=end)["output"])
    assert checked.signal_shell(home, shell)["signal"] == "INT"
    checked.write_shell(home, shell, input="echo ended with $?")
    wait_until("sleep is interrupted", lambda: "ended with 130" in checked.read_shell(home, shell, cursor=end)["output"])
    assert checked.signal_shell(home, shell, signal_name="WINCH")["signal"] == "WINCH"

    closed = checked.close_shell(home, shell)
    assert closed["state"] == "closed" and closed["ended_at"] is not None
    assert "hello world" in checked.read_shell(home, shell)["output"]


def test_it_is_read_in_pieces(checked: Checked, workspace: Any) -> None:
    home = workspace["workspace_id"]
    shell = checked.open_shell(home)["shell_id"]
    checked.write_shell(home, shell, input="seq 100 199; echo the-'end'")
    wait_until("all is printed", lambda: "the-end" in checked.read_shell(home, shell)["output"])
    whole = checked.read_shell(home, shell, wait_for_idle_ms=500)
    assert (whole["cursor"], whole["truncated"], whole["idle"]) == (0, False, True)
    pieces, cursor = [], 0
    while cursor < whole["next_cursor"]:
        read = checked.read_shell(home, shell, cursor=cursor, max_chars=100)
        assert read["idle"] is None and len(read["output"]) <= 100
        pieces.append(read["output"])
        cursor = read["next_cursor"]
    assert "".join(pieces)[: len(whole["output"])] == whole["output"]
    checked.close_shell(home, shell)


def test_what_cannot_be_is_refused(pyro: Pyro, workspace: Any) -> None:
    home = workspace["workspace_id"]
    shell = pyro.open_shell(home)["shell_id"]
    for wrong in ({"cols": 1}, {"cols": 70000}, {"rows": 0}, {"cols": -1}):
        with pytest.raises(InvalidArgumentError):
            pyro.open_shell(home, **wrong)
    with pytest.raises(InvalidArgumentError, match="USR1"):
        pyro.signal_shell(home, shell, signal_name="USR1")
    with pytest.raises(InvalidArgumentError, match="max_chars"):
        pyro.read_shell(home, shell, max_chars=0)
    with pytest.raises(NotFoundError, match="sh-000000000000"):
        pyro.read_shell(home, "sh-000000000000")
    pyro.close_shell(home, shell)
