"""The MCP server, called by the first major version of the official Python client, which most frameworks still use."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.types import TextContent
from support.home import BASE


def test_it_lists_and_calls(executable: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name.startswith("PYRO_")}
    started = StdioServerParameters(command=str(executable), args=["mcp", "serve"], env=environment)

    async def story() -> None:
        async with stdio_client(started) as streams, ClientSession(*streams) as session:
            assert (await session.initialize()).protocolVersion == "2025-11-25"
            assert len((await session.list_tools()).tools) == 28
            # This client checks the result against the tool's output schema by itself.
            ran = await session.call_tool("vm_run", {"environment": BASE, "command": "echo $((6 * 7))"})
            assert not ran.isError and ran.structuredContent
            assert ran.structuredContent["stdout"] == "42\n"
            assert isinstance(ran.content[0], TextContent)
            assert json.loads(ran.content[0].text) == ran.structuredContent
            failed = await session.call_tool("workspace_status", {"workspace_id": "ws-000000000000"})
            assert failed.isError and failed.structuredContent
            assert failed.structuredContent["error"]["kind"] == "not_found"

    asyncio.run(story())
