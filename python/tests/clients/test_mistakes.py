"""An agent that makes mistakes is told each time what to do next, and does it."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from clients.support.pupil import Pupil
from clients.support.tools import Tools, tools
from support.home import BASE

#: What only who types commands can do: a model has tools.
FOR_A_TERMINAL = re.compile(r"pyro [a-z]|--[a-z]| -- |\bID\b")

#: The number of lines of an output of 55 MB.
LINES = 7_000_000

#: A line of 41 bytes and 27 characters: a page ends within a character unless somebody takes care.
FLOOD_LINE = "naïve Grüße, 日本語, 😀 – done\n"
FLOOD_LINES = 1_300_000
FLOOD_PAGES = 5

Mistake = Callable[[Pupil, str], Awaitable[dict[str, Any]]]


def with_workspace(executable: Path, story: Callable[[Tools, str], Awaitable[None]]) -> None:
    """Tells a story about a workspace."""

    async def tell() -> None:
        async with tools(executable) as call:
            workspace_id = (await call.done("workspace_create", environment=BASE))["workspace_id"]
            try:
                await story(call, workspace_id)
            finally:
                await call.done("workspace_delete", workspace_id=workspace_id)

    asyncio.run(tell())


async def wrong_id(pupil: Pupil, _: str) -> dict[str, Any]:
    """The agent has lost the id, or the workspace has expired."""
    done = await pupil.pursue("workspace_exec", workspace_id="ws-000000000000", command="echo done")
    await pupil.tools.done("workspace_delete", workspace_id=done["workspace_id"])
    return done


async def wrong_environment(pupil: Pupil, _: str) -> dict[str, Any]:
    """There is no such environment."""
    return await pupil.pursue("vm_run", environment="debian:12-bass", command="echo done")


async def too_much(pupil: Pupil, _: str) -> dict[str, Any]:
    """The host does not have so many CPUs."""
    return await pupil.pursue("vm_run", environment=BASE, command="echo done", vcpu_count=5000)


async def bad_path(pupil: Pupil, of: str) -> dict[str, Any]:
    """The agent wants to have a file that is not in the workspace."""
    await pupil.tools.done("workspace_exec", workspace_id=of, command="echo done > src")
    output = str(pupil.knows["folder"] / "exported")
    await pupil.pursue("workspace_export", workspace_id=of, path="/etc/passwd", output_path=output)
    return {"stdout": Path(output).read_text()}


async def sync_outside(pupil: Pupil, of: str) -> dict[str, Any]:
    """The agent wants files to be where they cannot be brought."""
    folder = pupil.knows["folder"] / "update"
    folder.mkdir()
    (folder / "word").write_text("done\n")
    pushed = await pupil.pursue("workspace_sync_push", workspace_id=of, source_path=str(folder), dest="/etc")
    return await pupil.tools.done("workspace_exec", workspace_id=of, command=f"cat {pushed['destination']}/word")


async def unknown_argument(pupil: Pupil, of: str) -> dict[str, Any]:
    """The agent takes another tool's words."""
    return await pupil.pursue("workspace_exec", workspace_id=of, cmd="echo done")


async def failing_command(pupil: Pupil, of: str) -> dict[str, Any]:
    """A command fails: a result that shows why."""
    script = "test -e made && echo done || { echo 'nothing is made yet: run `touch made` first' >&2; exit 3; }"
    return await pupil.pursue("workspace_exec", workspace_id=of, command=script)


async def dying_service(pupil: Pupil, of: str) -> dict[str, Any]:
    """A service ends before it is ready; its log says why."""
    command = "echo 'no port is given: run `touch up; exec sleep 100000`'; exit 1"
    readiness = {"type": "file", "path": "up"}
    named = {"workspace_id": of, "service_name": "web"}
    started = await pupil.pursue("service_start", **named, command=command, readiness=readiness)
    return {"stdout": "done\n" if started["state"] == "running" else started}


async def flood(pupil: Pupil, of: str) -> dict[str, Any]:
    """A command prints far more than a model can take: 50 MB, of characters that have one to four bytes."""
    arguments = {"workspace_id": of, "timeout_seconds": 600}
    command = f"yes '{FLOOD_LINE.strip()}' | head -n {FLOOD_LINES}"
    result = await pupil.pursue("workspace_exec", **arguments, command=command)
    whole = FLOOD_LINE * FLOOD_LINES
    assert len(whole.encode()) > 50_000_000 and len(json.dumps(result, ensure_ascii=False)) < 40_000
    assert result["truncated"] is True
    read = await pupil.read_on(result["stdout"], {"workspace_id": of}, FLOOD_PAGES)
    assert len(read) > FLOOD_PAGES * 10_000 and whole.startswith(read), "this is not what was printed"
    assert whole.endswith(result["stdout"][-10_000:])
    return {"stdout": "done\n"}


#: Each mistake, the kind that it is, and the tools that the agent calls until it has done what it wanted.
MISTAKES: list[tuple[Mistake, str | None, list[str]]] = [
    (wrong_id, "not_found", ["workspace_exec", "workspace_create", "workspace_exec"]),
    (wrong_environment, "not_found", ["vm_run", "vm_run"]),
    (too_much, "invalid_argument", ["vm_run", "vm_run"]),
    (bad_path, "unsafe_path", ["workspace_export", "workspace_export"]),
    (sync_outside, "unsafe_path", ["workspace_sync_push", "workspace_sync_push"]),
    (unknown_argument, "invalid_argument", ["workspace_exec", "workspace_exec"]),
    (failing_command, None, ["workspace_exec", "workspace_exec", "workspace_exec"]),
    (dying_service, "service_failed", ["service_start", "service_logs", "service_start"]),
    (flood, None, ["workspace_exec", *["workspace_logs"] * FLOOD_PAGES]),
]


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake[0].__name__)
def test_an_agent_recovers(executable: Path, tmp_path: Path, mistake: tuple[Mistake, str | None, list[str]]) -> None:
    make, kind, used = mistake

    async def story(call: Tools, workspace_id: str) -> None:
        pupil = Pupil(call, {"environment": BASE, "folder": tmp_path})
        assert (await make(pupil, workspace_id))["stdout"] == "done\n"
        assert pupil.used == used
        assert [failure["kind"] for failure in pupil.failures] == ([kind] if kind else [])

    with_workspace(executable, story)


def test_a_long_output_can_be_read_on(executable: Path) -> None:
    whole = "".join(f"{number}\n" for number in range(1, LINES + 1))
    note = re.compile(r"\n\[\.\.\. (\d+) bytes are left out here, from byte (\d+) on: ([a-z_]+) with sequence=(\d+)")

    async def story(call: Tools, workspace_id: str) -> None:
        of = {"workspace_id": workspace_id}
        result = await call.done("workspace_exec", **of, command=f"seq 1 {LINES}", timeout_seconds=600)
        assert len(whole) > 50_000_000 and len(json.dumps(result)) < 40_000
        assert result["truncated"] is True and whole.endswith(result["stdout"][-10_000:])
        shown = result["stdout"]
        for _ in range(3):  # Reads on where the text says that it goes on, with what the text says.
            left_out = note.search(shown)
            assert left_out, shown
            end = int(left_out[2])
            assert whole.startswith(shown[: left_out.start()], end - left_out.start())
            arguments = {**of, "sequence": int(left_out[4]), "offset": end}
            shown = (await call.done(left_out[3], **arguments))["entries"][0]["stdout"]
            assert whole.startswith(shown[:10_000], end)
        arguments = {**of, "sequence": result["sequence"], "offset": len(whole) // 2}
        middle = (await call.done("workspace_logs", **arguments))["entries"][0]["stdout"]
        assert whole.startswith(middle[:10_000], len(whole) // 2)

    with_workspace(executable, story)


def test_hints_speak_of_tools_and_not_of_commands(executable: Path, tmp_path: Path) -> None:
    async def story(call: Tools, workspace_id: str) -> None:
        of = {"workspace_id": workspace_id}
        readiness = {"type": "file", "path": "up"}
        output = str(tmp_path / "output")
        refused: list[tuple[str, dict[str, Any]]] = [
            ("vm_run", {"environment": BASE, "command": ["no-such-program"]}),
            ("vm_run", {"environment": BASE, "command": "true", "allow": ["https://example.org/"]}),
            ("vm_run", {"environment": BASE, "command": "true", "allow": ["10.0.0.1"]}),
            ("vm_status", {"vm_id": "vm-000000000000"}),
            ("workspace_status", {"workspace_id": "ws-000000000000"}),
            ("workspace_create", {"environment": BASE, "seed_path": output}),
            ("workspace_exec", {**of, "command": "true", "timeout_seconds": 0}),
            ("workspace_exec", {**of, "command": []}),
            ("workspace_export", {**of, "path": "missing", "output_path": output}),
            ("workspace_export", {**of, "path": ".", "output_path": str(tmp_path)}),
            ("workspace_sync_push", {**of, "source_path": output}),
            ("workspace_logs", {**of, "sequence": 99}),
            ("service_status", {**of, "service_name": "missing"}),
            ("service_start", {**of, "service_name": "Not a name", "command": "true"}),
            ("service_start", {**of, "service_name": "dies", "command": "exit 1", "readiness": readiness}),
            ("shell_read", {**of, "shell_id": "missing"}),
            ("shell_open", {**of, "cols": 0}),
        ]
        errors = [(tool, await call.refused(tool, **arguments)) for tool, arguments in refused]
        wrong = {f"{tool}: {error['hint']}" for tool, error in errors if FOR_A_TERMINAL.search(error["hint"])}
        assert not wrong

    with_workspace(executable, story)
