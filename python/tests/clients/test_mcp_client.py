"""The MCP server, called by the official Python client."""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from clients.support.tools import ERAS, Tools, server, tools
from clients.support.watch import qemus_of, seen, until
from mcp import Client, MCPError
from pyro_mcp import Pyro
from support.home import BASE

#: The tools of the public contract.
VM = {"vm_list_environments", "vm_create", "vm_start", "vm_exec", "vm_stop", "vm_delete", "vm_status"}
VM |= {"vm_run", "vm_network_info", "vm_reap_expired"}
WORKSPACE = {"workspace_create", "workspace_sync_push", "workspace_exec", "workspace_export", "workspace_diff"}
WORKSPACE |= {"workspace_status", "workspace_logs", "workspace_delete"}
SERVICE = {"service_start", "service_list", "service_status", "service_logs", "service_stop"}
SHELL = {"shell_open", "shell_read", "shell_write", "shell_signal", "shell_close"}
ALL = VM | WORKSPACE | SERVICE | SHELL

#: Which of them a profile offers, and how many characters its list may have.
PROFILES = {
    "vm-run": ({"vm_run"}, 6_000),
    "workspace-core": ({"vm_run", "vm_list_environments"} | WORKSPACE, 40_000),
    "workspace-full": (ALL, 40_000),
}


@pytest.mark.parametrize("mode", ERAS)
def test_every_tool_does_its_work(executable: Path, tmp_path: Path, mode: str) -> None:
    async def story() -> None:
        async with tools(executable, mode=mode) as all_tools:
            assert all_tools.client.protocol_version == ERAS[mode]
            assert len(all_tools.listed.tools) == 28
            assert set(all_tools.schemas) == ALL
            await use_a_machine(all_tools)
            await use_a_workspace(all_tools, tmp_path)
            assert all_tools.called == ALL

    asyncio.run(story())


async def use_a_machine(call: Tools) -> None:
    """A machine for one command, and one that is used step by step."""
    listed = await call.done("vm_list_environments")
    assert BASE in [environment["name"] for environment in listed["environments"]]
    ran = await call.done("vm_run", environment=BASE, command=["sh", "-c", "echo $((6 * 7)); exit 3"])
    assert (ran["stdout"], ran["exit_code"], ran["execution_mode"]) == ("42\n", 3, "guest")

    vm = {"vm_id": (await call.done("vm_create", environment=BASE))["vm_id"]}
    assert (await call.done("vm_status", **vm))["state"] == "created"
    assert (await call.done("vm_start", **vm))["state"] == "started"
    assert (await call.done("vm_network_info", **vm))["network_enabled"] is False
    assert (await call.done("vm_stop", **vm))["state"] == "stopped"
    await call.done("vm_start", **vm)
    assert (await call.done("vm_exec", **vm, command="echo used up"))["stdout"] == "used up\n"
    assert (await call.refused("vm_status", **vm))["kind"] == "not_found"
    other = await call.done("vm_create", environment=BASE)
    assert (await call.done("vm_delete", vm_id=other["vm_id"]))["deleted"] is True
    assert (await call.done("vm_reap_expired"))["count"] == 0


async def use_a_workspace(call: Tools, folder: Path) -> None:
    """The life of a workspace, from its seed to its end."""
    seed, update, exported = folder / "seed", folder / "update", folder / "exported"
    seed.mkdir()
    (seed / "greeting").write_text("hello\n")
    update.mkdir()
    (update / "more").write_text("more\n")

    created = await call.done("workspace_create", environment=BASE, seed_path=str(seed), ttl_seconds=3600)
    of = {"workspace_id": created["workspace_id"]}
    assert created["workspace_seed"]["entry_count"] == 1
    pushed = await call.done("workspace_sync_push", **of, source_path=str(update), dest="/workspace/in")
    assert pushed["destination"] == "/workspace/in"
    command = "cat greeting in/more; echo bye > greeting; echo warned >&2; exit 7"
    result = await call.done("workspace_exec", **of, command=command)
    assert (result["stdout"], result["stderr"], result["exit_code"]) == ("hello\nmore\n", "warned\n", 7)

    await use_a_service(call, of)
    await use_a_shell(call, of)

    diff = await call.done("workspace_diff", **of)
    assert "-hello\n+bye\n" in diff["patch"]
    paths = {entry["path"] for entry in diff["entries"]}
    assert {"greeting", "in/more"} <= {path.removeprefix("/workspace/") for path in paths}
    await call.done("workspace_export", **of, path="greeting", output_path=str(exported))
    assert exported.read_text() == "bye\n"
    logs = await call.done("workspace_logs", **of)
    assert [(entry["sequence"], entry["exit_code"]) for entry in logs["entries"]] == [(1, 7)]
    assert (await call.done("workspace_status", **of))["command_count"] == 1
    assert (await call.done("workspace_delete", **of))["deleted"] is True
    assert (await call.refused("workspace_status", **of))["kind"] == "not_found"


async def use_a_service(call: Tools, of: dict[str, Any]) -> None:
    """A process that stays."""
    named = {**of, "service_name": "ticker"}
    readiness = {"type": "file", "path": "up"}
    command = "echo ticking; touch up; exec sleep 100000"
    started = await call.done("service_start", **named, command=command, readiness=readiness)
    assert (started["state"], started["readiness"]["path"]) == ("running", "/workspace/up")
    assert (await call.done("service_list", **of))["running_count"] == 1
    assert (await call.done("service_status", **named))["state"] == "running"
    assert (await call.done("service_logs", **named))["stdout"] == "ticking\n"
    assert (await call.done("service_stop", **named))["state"] == "stopped"


async def use_a_shell(call: Tools, of: dict[str, Any]) -> None:
    """A terminal that stays."""
    shell = {**of, "shell_id": (await call.done("shell_open", **of, cols=80))["shell_id"]}
    await call.done("shell_write", **shell, input="cd /tmp; echo $((6 * 7)) is it; sleep 100000")
    cursor = await read_until(call, shell, 0, "42 is it")
    assert (await call.done("shell_signal", **shell))["signal"] == "INT"
    await call.done("shell_write", **shell, input="echo still $((40 + 4)) in $PWD")
    await read_until(call, shell, cursor, "still 44 in /tmp")
    assert (await call.done("shell_close", **shell))["state"] == "closed"


async def read_until(call: Tools, shell: dict[str, Any], cursor: int, text: str) -> int:
    """Reads a terminal until it has shown something. Gives the cursor of what comes next."""
    shown = ""

    async def look() -> bool:
        nonlocal cursor, shown
        read = await call.done("shell_read", **shell, cursor=cursor, plain=True, wait_for_idle_ms=200)
        cursor, shown = read["next_cursor"], shown + read["output"]
        return text in shown

    await until(f"the terminal shows {text!r}", look)
    return cursor


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_offers_its_tools_and_is_short(
    executable: Path, profile: str, capsys: pytest.CaptureFixture[str]
) -> None:
    names, limit = PROFILES[profile]

    async def story() -> None:
        async with tools(executable, "--profile", profile) as offered:
            assert set(offered.schemas) == names
            listed = json.loads(offered.listed.model_dump_json(by_alias=True, exclude_unset=True))
            length = len(json.dumps(listed, separators=(",", ":"), ensure_ascii=False))
            with capsys.disabled():
                print(f"\ntools/list of {profile}: {length} characters of at most {limit}, {len(names)} tools")
            assert length <= limit
            for tool in listed["tools"]:
                for schema in (tool["inputSchema"], tool["outputSchema"]):
                    jsonschema.Draft202012Validator.check_schema(schema)
                assert tool["annotations"].keys() >= {"readOnlyHint", "destructiveHint", "idempotentHint"}
                assert len(tool["description"]) > 40
            if "vm_create" not in names:
                with pytest.raises(MCPError, match="vm_run"):  # It names those that there are.
                    await offered.client.call_tool("vm_create", {"environment": BASE})

    asyncio.run(story())


def test_what_the_protocol_adds_to_a_command_is_told(
    executable: Path, workspace: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Measured in turns, and printed; how fast a machine is depends on what else it does."""
    home = workspace["workspace_id"]
    pyro, direct, served = Pyro(), [], []

    async def story() -> None:
        async with tools(executable) as call:
            arguments = {"workspace_id": home, "command": ["true"]}
            for _ in range(31):
                began = time.perf_counter()
                assert pyro.exec_workspace(home, command=["true"])["exit_code"] == 0
                between = time.perf_counter()
                result = await call.client.call_tool("workspace_exec", arguments)
                direct.append(between - began)
                served.append(time.perf_counter() - between)
                assert not result.is_error

    asyncio.run(story())
    ms = {name: statistics.median(times) * 1000 for name, times in (("direct", direct), ("served", served))}
    with capsys.disabled():
        print(
            f"\n`true` in a workspace, medians of {len(direct)}: {ms['direct']:.2f} ms by the package, "
            f"{ms['served']:.2f} ms over MCP, {ms['served'] - ms['direct']:+.2f} ms"
        )


@pytest.mark.parametrize("mode", ERAS)
def test_progress_is_told_while_a_command_runs(executable: Path, mode: str) -> None:
    async def story() -> None:
        async with tools(executable, mode=mode) as call:
            of = {"workspace_id": (await call.done("workspace_create", environment=BASE))["workspace_id"]}
            told: list[tuple[float, str | None]] = []

            async def on_progress(progress: float, total: float | None, message: str | None) -> None:
                told.append((progress, message))

            # The command ends when it is told to, which happens after two messages of its progress.
            command = "until [ -e enough ]; do echo tick; sleep 0.1; done"
            arguments = {**of, "command": command, "timeout_seconds": 600}
            running = asyncio.create_task(
                call.client.call_tool("workspace_exec", arguments, progress_callback=on_progress)
            )
            await until("two messages of progress", lambda: seen(len(told) >= 2))
            assert not running.done()
            await call.done("workspace_exec", **of, command="touch enough")
            assert not (await running).is_error
            assert [progress for progress, _ in told] == sorted(progress for progress, _ in told)
            assert all(message for _, message in told)
            await call.done("workspace_delete", **of)

    asyncio.run(story())


@pytest.mark.parametrize("mode", ERAS)
def test_a_cancelled_command_ends_in_the_guest(executable: Path, mode: str) -> None:
    async def story() -> None:
        async with tools(executable, mode=mode) as call:
            of = {"workspace_id": (await call.done("workspace_create", environment=BASE))["workspace_id"]}

            async def runs() -> bool:
                look = "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -c 'sleep 5432[1]'"
                return bool((await call.done("workspace_exec", **of, command=look))["stdout"] == "1\n")

            async def runs_no_more() -> bool:
                return not await runs()

            arguments = {**of, "command": "sleep 54321; true", "timeout_seconds": 3600}
            running = asyncio.create_task(call.client.call_tool("workspace_exec", arguments))
            await until("the command runs in the guest", runs)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            await until("the command has ended in the guest", runs_no_more)
            await call.done("workspace_delete", **of)

    asyncio.run(story())


def test_twenty_machines_run_at_once(executable: Path, pyro_home: Path) -> None:
    """Each of the first ends only when the host has seen all of them at once."""

    async def story() -> None:
        async with tools(executable, "--profile", "vm-run") as call:
            machine = {"environment": BASE, "mem_mib": 128, "timeout_seconds": 600}

            async def run(number: int) -> str:
                command = f"echo $(({number} * 3)) on $(hostname)"
                return str((await call.done("vm_run", **machine, command=command))["stdout"])

            await run(0)  # Makes the template.
            before = qemus_of(pyro_home)
            endless = {**machine, "command": "sleep 100000"}
            runs = [asyncio.create_task(call.client.call_tool("vm_run", endless)) for _ in range(20)]

            async def all_run() -> bool:
                assert not any(task.done() for task in runs), [task for task in runs if task.done()]
                return len(qemus_of(pyro_home) - before) >= 20

            await until("twenty machines run", all_run)
            for task in runs:
                task.cancel()
            ended = await asyncio.gather(*runs, return_exceptions=True)
            assert all(isinstance(one, asyncio.CancelledError) for one in ended), ended
            await until("they are gone", lambda: seen(qemus_of(pyro_home) == before))

            printed = await asyncio.gather(*(run(number) for number in range(1, 21)))
            assert [line.split()[0] for line in printed] == [str(3 * number) for number in range(1, 21)]
            assert len({line.split()[2] for line in printed}) == 20, printed

    asyncio.run(story())


def test_a_closed_input_ends_the_server_and_spares_workspaces(executable: Path, pyro_home: Path) -> None:
    async def story() -> str:
        async with Client(server(executable)) as client:
            call = Tools(client, await client.list_tools())
            workspace_id = str((await call.done("workspace_create", environment=BASE))["workspace_id"])
            before = qemus_of(pyro_home)
            assert len(before) == 1
            arguments = {"environment": BASE, "command": "sleep 100000", "timeout_seconds": 3600}
            running = asyncio.create_task(client.call_tool("vm_run", arguments))
            await until("the machine is there", lambda: seen(len(qemus_of(pyro_home)) == 2))
            running.add_done_callback(lambda task: task.cancelled() or task.exception())
        await until("the machine is gone", lambda: seen(qemus_of(pyro_home) == before))
        return workspace_id

    workspace_id = asyncio.run(story())
    alive: list[str | Path] = [executable, "workspace", "exec", workspace_id, "--", "echo", "alive"]
    assert subprocess.run(alive, check=True, capture_output=True, text=True).stdout == "alive\n"
    subprocess.run([executable, "workspace", "delete", workspace_id], check=True)
