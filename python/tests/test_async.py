"""The same methods as coroutines."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from pyro_mcp import AsyncPyro, NotFoundError, Pyro
from support.home import BASE, PATIENCE, users_of
from support.shape import assert_fits, declared
from support.wait import wait_until


async def soon(what: str, is_so: Callable[[], Awaitable[bool]]) -> None:
    """Looks again and again, while other tasks run."""

    async def look() -> None:
        while not await is_so():
            await asyncio.sleep(0.05)

    try:
        await asyncio.wait_for(look(), PATIENCE)
    except asyncio.TimeoutError:
        pytest.fail(f"waited in vain: {what}")


def test_results_are_the_same(workspace: Any) -> None:
    async def story() -> None:
        pyro, kinds = AsyncPyro(), declared()
        home = workspace["workspace_id"]
        assert_fits(await pyro.run_in_vm(BASE, command="true"), kinds["run_in_vm"])
        assert_fits(await pyro.exec_workspace(home, command="echo hello"), kinds["exec_workspace"])
        assert (await pyro.logs_workspace(home))["entries"][0]["stdout"] == "hello\n"
        with pytest.raises(NotFoundError):
            await pyro.status_vm("vm-000000000000")
        with pytest.raises(TypeError):
            await pyro.status_vm()  # type: ignore[call-arg]

    asyncio.run(story())


def test_twenty_machines_run_at_once(pyro: Pyro, pyro_home: Path) -> None:
    """Each ends only when the host has seen all of them at once."""
    pyro.run_in_vm(BASE, "true", mem_mib=128)

    def machines() -> int:
        return sum("qemu" in command for command in users_of(pyro_home).values())

    async def story() -> None:
        before = machines()
        run = AsyncPyro().run_in_vm
        runs = [asyncio.create_task(run(BASE, "sleep 1000", mem_mib=128, timeout_seconds=300)) for _ in range(20)]

        async def all_run() -> bool:
            assert not any(task.done() for task in runs), [task for task in runs if task.done()]
            return machines() >= before + 20

        await soon("twenty machines run", all_run)
        for task in runs:
            task.cancel()
        ended = await asyncio.gather(*runs, return_exceptions=True)
        assert all(isinstance(one, asyncio.CancelledError) for one in ended)
        assert machines() == before

    asyncio.run(story())


def test_twenty_commands_are_all_answered() -> None:
    async def story() -> list[str]:
        pyro = AsyncPyro()
        results = await asyncio.gather(*(pyro.run_in_vm(BASE, f"echo {number}") for number in range(20)))
        return [result["stdout"] for result in results]

    assert asyncio.run(story()) == [f"{number}\n" for number in range(20)]


def test_a_cancelled_command_ends_in_the_guest(pyro: Pyro, workspace: Any) -> None:
    home = workspace["workspace_id"]

    async def story() -> None:
        other = AsyncPyro()
        command = "echo $$ > pid; exec sleep 1000"
        task = asyncio.create_task(other.exec_workspace(home, command=command, timeout_seconds=1000))

        async def runs() -> bool:
            look = await other.exec_workspace(home, command="test -s pid && kill -0 $(cat pid)")
            return look["exit_code"] == 0

        await soon("the command runs", runs)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(story())
    gone = "kill -0 $(cat pid)"
    wait_until("the command is gone", lambda: pyro.exec_workspace(home, command=gone)["exit_code"] != 0)
    assert pyro.exec_workspace(home, command="echo alive")["stdout"] == "alive\n"


def test_a_time_limit_of_asyncio_ends_a_machine(pyro_home: Path) -> None:
    def machines() -> int:
        return sum("qemu" in command for command in users_of(pyro_home).values())

    async def story() -> None:
        before = machines()
        run = asyncio.create_task(AsyncPyro().run_in_vm(BASE, "sleep 1000", timeout_seconds=1000))

        async def one_runs() -> bool:
            return machines() > before

        await soon("the machine runs", one_runs)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(run, 0.1)
        assert machines() == before

    asyncio.run(story())


def test_the_loop_runs_while_a_call_waits(workspace: Any) -> None:
    async def story() -> None:
        pyro, home = AsyncPyro(), workspace["workspace_id"]
        waiting = asyncio.create_task(pyro.exec_workspace(home, command="until [ -e go ]; do sleep 0.1; done"))
        await asyncio.sleep(0)
        assert not waiting.done()
        await pyro.exec_workspace(home, command="touch go")
        assert (await waiting)["exit_code"] == 0

    asyncio.run(story())
