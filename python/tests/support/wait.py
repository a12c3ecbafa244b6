"""Waiting for something that will come true."""

from __future__ import annotations

import time
from collections.abc import Callable

from support.home import PATIENCE


def wait_until(what: str, is_so: Callable[[], object]) -> None:
    """Looks again and again, and fails after a generous while."""
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(0.05)
