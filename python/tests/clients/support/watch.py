"""Waiting for what another process does, while a client goes on listening."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from support.home import PATIENCE, users_of


async def until(what: str, is_so: Callable[[], Awaitable[bool]]) -> None:
    """Looks again and again, and fails after a generous while."""
    deadline = time.monotonic() + PATIENCE
    while not await is_so():
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        await asyncio.sleep(0.05)


async def seen(it: bool) -> bool:
    """Something that can be seen without waiting."""
    return it


def qemus_of(home: Path) -> set[int]:
    """The machines that run on a state directory."""
    return {process for process, line in users_of(home).items() if "qemu-system" in line.partition(" ")[0]}
