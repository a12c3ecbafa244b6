"""The MCP server, called by the command line of the official inspector, which is in JavaScript."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema

from clients.support import node
from support.home import BASE


def inspect(home: Path, executable: Path, *arguments: str) -> dict[str, Any]:
    """Calls one method of the server."""
    environment = node.environment(home)
    named = [f"{name}={value}" for name, value in environment.items() if name.startswith("PYRO_")]
    settings = [word for setting in named for word in ("-e", setting)]
    done = node.run("mcp-inspector", ["--cli", *settings, executable, "mcp", "serve", *arguments], home)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "unknown format" not in done.stderr, done.stderr
    return dict(json.loads(done.stdout))


def test_it_lists_and_calls(tmp_path: Path, executable: Path) -> None:
    tools = inspect(tmp_path, executable, "--method", "tools/list")["tools"]
    assert len(tools) == 28
    call = ["--method", "tools/call", "--tool-name", "vm_run"]
    named = [f"environment={BASE}", "command=echo $((6 * 7))"]
    result = inspect(tmp_path, executable, *call, *(word for name in named for word in ("--tool-arg", name)))
    assert result["structuredContent"]["stdout"] == "42\n"
    (schema,) = [tool["outputSchema"] for tool in tools if tool["name"] == "vm_run"]
    jsonschema.validate(result["structuredContent"], schema)
    assert json.loads(result["content"][0]["text"]) == result["structuredContent"]
