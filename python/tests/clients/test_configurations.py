"""The configuration files of MCP hosts have the form that each host documents, and what they start answers."""

from __future__ import annotations

import asyncio
import json
import os
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from clients.conftest import EXAMPLES
from clients.support.tools import ERAS, Tools, server
from mcp import Client
from support import toml

STRINGS = {"type": "array", "items": {"type": "string"}}
ENVIRONMENT = {"type": "object", "additionalProperties": {"type": "string"}}
STDIO = {"type": {"const": "stdio"}, "command": {"type": "string"}, "args": STRINGS, "env": ENVIRONMENT}


def form(required: list[str], properties: dict[str, Any]) -> dict[str, Any]:
    """An object that has these keys and no others."""
    return {"type": "object", "required": required, "properties": properties, "additionalProperties": False}


def servers(entry: dict[str, Any]) -> dict[str, Any]:
    """A table of servers by name."""
    return {"type": "object", "additionalProperties": entry, "minProperties": 1}


# What each host documents, as it was on 2026-11-21. Where there is a schema of the vendor, its keys and types are here, as
# far as they are about servers that are started as programs.

# Claude Desktop: https://modelcontextprotocol.io/docs/develop/connect-local-servers. `mcpServers`, each with `command`,
# `args` and `env`. The page knows no `type`.
CLAUDE_DESKTOP = form(["mcpServers"], {"mcpServers": servers(form(["command"], {**STDIO, "type": False}))})

# Cursor: https://cursor.com/docs/mcp, "STDIO server configuration": `type` and `command` are required, `args`, `env` and
# `envFile` are not.
CURSOR_SERVER = form(["type", "command"], {**STDIO, "envFile": {"type": "string"}})
CURSOR = form(["mcpServers"], {"mcpServers": servers(CURSOR_SERVER)})

# Claude Code: https://code.claude.com/docs/en/mcp, "Project scope". These are the keys that `claude mcp add --scope project`
# writes into .mcp.json.
CLAUDE_CODE = form(["mcpServers"], {"mcpServers": servers(form(["type", "command", "args", "env"], STDIO))})

# VS Code: https://code.visualstudio.com/docs/agents/reference/mcp-configuration, where `type` and `command` are required;
# keys and types of mcpServerSchema and mcpStdioServerSchema in its src/vs/workbench/contrib/mcp/common/mcpConfiguration.ts.
VSCODE_SERVER = {**STDIO, "env": {"additionalProperties": {"type": ["null", "string", "number"]}}}
VSCODE_SERVER |= {"envFile": {"type": "string"}, "cwd": {"type": "string"}, "dev": {"type": "object"}}
VSCODE_SERVERS = servers(form(["type", "command"], VSCODE_SERVER))
VSCODE = form(["servers"], {"servers": VSCODE_SERVERS, "inputs": {"type": "array"}})

# Codex: https://developers.openai.com/codex/mcp and the keys mcp_servers.NAME.… of
# https://developers.openai.com/codex/config-reference: `command` is required, `args`, `env`, `cwd`,
# `startup_timeout_sec`, `tool_timeout_sec` and `enabled` are not. (It takes more, such as lists of tools.)
SECONDS = {"type": "number", "exclusiveMinimum": 0}
CODEX_SERVER = {name: STDIO[name] for name in ("command", "args", "env")}
CODEX_SERVER |= {"cwd": {"type": "string"}, "enabled": {"type": "boolean"}}
CODEX_SERVER |= {"startup_timeout_sec": SECONDS, "tool_timeout_sec": SECONDS}
CODEX = form(["mcp_servers"], {"mcp_servers": servers(form(["command"], CODEX_SERVER))})

# OpenCode 1: https://opencode.ai/v1/docs/mcp-servers; keys and types of McpLocalConfig in its schema,
# https://opencode.ai/config.json. `timeout` is in milliseconds. (OpenCode 2 has its servers one level deeper.)
OPENCODE_SERVER = {"type": {"const": "local"}, "command": STRINGS, "environment": ENVIRONMENT, "cwd": {"type": "string"}}
OPENCODE_SERVER |= {"enabled": {"type": "boolean"}}
OPENCODE_SERVER |= {"timeout": {"type": "integer", "exclusiveMinimum": 0, "maximum": 2**53 - 1}}
OPENCODE = form(["mcp"], {"$schema": {"type": "string"}, "mcp": servers(form(["type", "command"], OPENCODE_SERVER))})

FORMS = {
    "claude_desktop_mcp_config.json": CLAUDE_DESKTOP,
    "cursor_mcp_config.json": CURSOR,
    "claude_code_mcp.json": CLAUDE_CODE,
    "vscode_mcp.json": VSCODE,
    "codex_config.toml": CODEX,
    "opencode.json": OPENCODE,
}


def read(name: str) -> dict[str, Any]:
    """A configuration."""
    text = (EXAMPLES / name).read_text()
    return dict(toml.loads(text) if name.endswith(".toml") else json.loads(text))


def started_by(configuration: dict[str, Any]) -> tuple[str, list[str], dict[str, str]]:
    """The program that a configuration starts as `pyro`, its arguments and its environment."""
    table = next(configuration[key] for key in ("mcpServers", "servers", "mcp_servers", "mcp") if key in configuration)
    entry = table["pyro"]
    command = entry["command"]
    words = command if isinstance(command, list) else [command, *entry.get("args", [])]
    return words[0], words[1:], entry.get("env", entry.get("environment", {}))


@pytest.mark.parametrize("name", FORMS)
def test_a_file_has_the_documented_form(name: str) -> None:
    jsonschema.validate(read(name), FORMS[name])


@pytest.mark.parametrize("name", FORMS)
def test_what_a_file_starts_answers(
    name: str, executable: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command, arguments, environment = started_by(read(name))
    (tmp_path / "pyro").symlink_to(executable)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    async def story() -> None:
        for mode in ERAS:
            started = server(Path(command), *arguments[2:])
            assert (started.command, started.args) == ("pyro", arguments)
            started.env = {**(started.env or {}), **environment}
            async with Client(started, mode=mode) as client:
                assert client.protocol_version == ERAS[mode]
                assert client.instructions and "vm_run" in client.instructions
                assert "vm_run" in Tools(client, await client.list_tools()).schemas

    asyncio.run(story())


def test_the_document_shows_valid_configurations() -> None:
    text = (EXAMPLES / "mcp_client_config.md").read_text()
    blocks = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    assert blocks
    for block in blocks:
        jsonschema.validate(json.loads(block), CLAUDE_DESKTOP)
    for name in FORMS:
        assert f"`{name}`" in text, f"{name} is not explained"
