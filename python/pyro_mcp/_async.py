"""The methods of ``Pyro`` as coroutines.

Each call has a thread of its own, which waits in native code, without Python's lock. Cancelling the task ends the call,
and with it the machine, or right after it the command in the workspace.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import os
import threading
from collections.abc import Callable
from typing import Any

from ._native import CancelToken, Pyro, Server, call_with


class AsyncPyro:
    """The same as ``Pyro``, with coroutines for methods.

    Any number of calls may wait at the same time. When a task is cancelled, its call ends first: the machine of
    ``run_in_vm`` is gone then, and the command of ``exec_workspace`` ends right after.
    """

    def __init__(
        self,
        *,
        state_dir: str | os.PathLike[str] | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        max_active_vms: int | None = None,
    ) -> None:
        self._pyro = Pyro(state_dir=state_dir, cache_dir=cache_dir, max_active_vms=max_active_vms)

    def create_server(self, *, profile: str = "workspace-full") -> Server:
        """An MCP server over this. ``profile`` is ``vm-run``, ``workspace-core`` or ``workspace-full``."""
        return self._pyro.create_server(profile=profile)


async def _in_thread(call: Callable[[], Any]) -> Any:
    """Calls a function of pyro in a thread, and cancels it there when it is cancelled here."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[Any] = loop.create_future()
    token = CancelToken()
    context = contextvars.copy_context()

    def run() -> None:
        try:
            result = context.run(call_with, token, call)
        except BaseException as error:
            _tell(loop, ended.set_exception, error)
        else:
            _tell(loop, ended.set_result, result)

    threading.Thread(target=run, name="pyro").start()
    try:
        return await asyncio.shield(ended)
    except asyncio.CancelledError:
        token.cancel()
        await _until(ended)
        raise


def _tell(loop: asyncio.AbstractEventLoop, tell: Callable[[Any], None], what: Any) -> None:
    try:
        loop.call_soon_threadsafe(tell, what)
    except RuntimeError:
        pass  # The loop is closed: nobody waits any more.


async def _until(ended: asyncio.Future[Any]) -> None:
    """Waits for the end of a call that was cancelled, however often that is."""
    while not ended.done():
        try:
            await asyncio.wait([ended])
        except asyncio.CancelledError:
            continue
    ended.exception()  # Somebody has looked at it.


def _coroutine(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    async def coroutine(self: AsyncPyro, *args: Any, **kwargs: Any) -> Any:
        return await _in_thread(functools.partial(method, self._pyro, *args, **kwargs))

    coroutine.__name__ = name
    coroutine.__qualname__ = f"{AsyncPyro.__name__}.{name}"
    coroutine.__doc__ = method.__doc__
    coroutine.__signature__ = inspect.signature(method)  # type: ignore[attr-defined]
    return coroutine


for _name, _method in vars(Pyro).items():
    if not _name.startswith("_") and _name not in vars(AsyncPyro):
        setattr(AsyncPyro, _name, _coroutine(_name, _method))
