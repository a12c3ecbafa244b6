"""pyro: disposable Linux machines for coding agents.

>>> from pyro_mcp import Pyro
>>> pyro = Pyro()
>>> pyro.run_in_vm("debian:12", "git --version")["exit_code"]
0

``Pyro`` has one method for each operation and ``AsyncPyro`` the same ones as coroutines; ``create_server()`` gives the MCP
server. The wheel has the executable ``pyro`` as well, which ``executable()`` finds.
"""

from ._async import AsyncPyro
from ._executable import executable
from ._native import Pyro, Server, __version__, create_server
from .errors import InvalidArgumentError, NotFoundError, PyroError, TimedOutError

__all__ = [
    "AsyncPyro",
    "InvalidArgumentError",
    "NotFoundError",
    "Pyro",
    "PyroError",
    "Server",
    "TimedOutError",
    "__version__",
    "create_server",
    "executable",
]
