"""The tools of `pyro mcp serve`, called through the official client, which checks every result that comes back."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import jsonschema
from mcp import Client, StdioServerParameters
from mcp.types import CallToolResult, ListToolsResult, TextContent

#: How the two eras of the protocol are asked for, and the revisions that come of it.
ERAS = {"auto": "2026-07-28", "legacy": "2025-11-25"}


class Tools:
    """Calls tools. Remembers which, and what progress it was told of."""

    def __init__(self, client: Client, listed: ListToolsResult) -> None:
        self.client = client
        self.listed = listed
        self.schemas = {tool.name: tool.output_schema for tool in listed.tools}
        self.called: set[str] = set()

    async def call(self, tool: str, **arguments: Any) -> CallToolResult:
        """Whatever comes of a call, which says the same to programs and to readers."""
        self.called.add(tool)
        result = await self.client.call_tool(tool, arguments)
        assert len(result.content) == 1, result.content
        return result

    async def done(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """The result of a call that has to go well."""
        result = await self.call(tool, **arguments)
        assert not result.is_error, result.content
        assert result.structured_content is not None
        schema = self.schemas[tool]
        assert schema is not None, f"{tool} has no output schema"
        jsonschema.validate(result.structured_content, schema)
        assert json.loads(text_of(result)) == result.structured_content
        return dict(result.structured_content)

    async def refused(self, tool: str, **arguments: Any) -> dict[str, str]:
        """The failure of a call that has to fail: its kind, message and hint."""
        result = await self.call(tool, **arguments)
        assert result.is_error, result.content
        assert result.structured_content is not None
        error: dict[str, str] = result.structured_content["error"]
        assert set(error) == {"kind", "message", "hint"}
        missing = [word for word in error.values() if word not in text_of(result)]
        assert not missing, f"the text lacks {missing}: {text_of(result)}"
        return error


def text_of(result: CallToolResult) -> str:
    """What a reader is shown."""
    content = result.content[0]
    assert isinstance(content, TextContent)
    return content.text


def server(executable: Path, *arguments: str) -> StdioServerParameters:
    """How the server is started: on the state directory of the tests."""
    environment = {name: value for name, value in os.environ.items() if name.startswith("PYRO_")}
    return StdioServerParameters(command=str(executable), args=["mcp", "serve", *arguments], env=environment)


@asynccontextmanager
async def tools(executable: Path, *arguments: str, mode: str = "auto") -> AsyncIterator[Tools]:
    """A server and its tools."""
    async with Client(server(executable, *arguments), mode=mode) as client:
        yield Tools(client, await client.list_tools())
