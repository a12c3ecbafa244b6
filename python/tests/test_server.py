"""The MCP server of the package, over pipes: what it says is tested with clients."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import Any

import pytest

from support.home import BASE, PATIENCE

SERVE = "import pyro_mcp; pyro_mcp.create_server().run()"
SERVE_METHOD = "from pyro_mcp import Pyro; Pyro().create_server(profile='vm-run').run(transport='stdio')"


class Client:
    """Speaks with a server, line by line."""

    def __init__(self, *command: str) -> None:
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.last_id = 0
        client = {"name": "test", "version": "1"}
        greeting = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client}
        self.greeted = self.ask("initialize", greeting)
        self.tell({"method": "notifications/initialized"})

    def ask(self, method: str, params: dict[str, Any]) -> Any:
        self.last_id += 1
        self.tell({"id": self.last_id, "method": method, "params": params})
        assert self.process.stdout
        while True:
            answer = json.loads(self.process.stdout.readline())
            if answer.get("id") == self.last_id:
                return answer["result"]

    def tell(self, message: dict[str, Any]) -> None:
        assert self.process.stdin
        self.process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        self.process.stdin.flush()

    def end(self) -> int:
        assert self.process.stdin
        self.process.stdin.close()
        return self.process.wait(PATIENCE)


@pytest.mark.parametrize(
    ("command", "n_tools"),
    [
        ([sys.executable, "-c", SERVE], 28),
        ([sys.executable, "-c", SERVE_METHOD], 1),
        ([sys.executable, "-m", "pyro_mcp", "mcp", "serve"], 28),
    ],
    ids=["create_server", "Pyro.create_server", "pyro mcp serve"],
)
def test_it_serves_until_its_input_ends(command: list[str], n_tools: int) -> None:
    client = Client(*command)
    assert client.greeted["serverInfo"]["name"] == "pyro"
    assert len(client.ask("tools/list", {})["tools"]) == n_tools
    called = {"name": "vm_run", "arguments": {"environment": BASE, "command": "echo hello"}}
    assert client.ask("tools/call", called)["structuredContent"]["stdout"] == "hello\n"
    assert client.end() == 0


def test_ctrl_c_ends_it() -> None:
    program = f"try:\n    {SERVE}\nexcept KeyboardInterrupt:\n    print('interrupted')"
    client = Client(sys.executable, "-c", program.replace("import pyro_mcp; ", "import pyro_mcp\n    "))
    client.process.send_signal(signal.SIGINT)
    stdout, _ = client.process.communicate(timeout=PATIENCE)
    assert (stdout, client.process.returncode) == ("interrupted\n", 0)
