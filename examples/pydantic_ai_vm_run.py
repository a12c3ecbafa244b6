"""A PydanticAI agent that can run commands, each in a fresh machine.

    pip install 'pydantic-ai-slim[openai]'          and the package: docs/python.md
    OPENAI_API_KEY=... python examples/pydantic_ai_vm_run.py ["What is to be found out?"]
"""

import os
import sys
from collections.abc import Mapping
from typing import Any

from pydantic_ai import Agent, ModelRetry, UsageLimits
from pyro_mcp import AsyncPyro, PyroError

QUESTION = "Which kernel does a machine of the environment debian:12 have? Find out with vm_run."
LIMITS = UsageLimits(request_limit=20)
MOST_CHARS = 20_000

agent = Agent(os.environ.get("PYDANTIC_AI_MODEL", "openai:gpt-5"), defer_model_check=True, retries=3)


@agent.tool_plain
async def vm_run(command: str, environment: str = "debian:12", timeout_seconds: int = 30) -> dict[str, Any]:
    """Run one shell command in a fresh Linux machine, which is thrown away afterwards. There is no network in it."""
    try:
        result = await AsyncPyro().run_in_vm(
            environment=environment, command=command, timeout_seconds=timeout_seconds
        )
    except PyroError as error:  # The model is told what failed and what to do next.
        raise ModelRetry(f"error ({error.kind}): {error}") from error
    print(f"vm_run {command!r}: exit code {result['exit_code']}")
    return shown(result)


def shown(result: Mapping[str, Any]) -> dict[str, Any]:
    """What a model needs of a result."""
    ended = {"exit_code": result["exit_code"], "timed_out": result["timed_out"]}
    return ended | {"stdout": cut(result["stdout"]), "stderr": cut(result["stderr"])}


def cut(text: str) -> str:
    """Leaves the middle out of what is too long for a model."""
    half = MOST_CHARS // 2
    left_out = len(text) - 2 * half
    return text if left_out <= 0 else f"{text[:half]}\n[{left_out} characters are left out]\n{text[-half:]}"


if __name__ == "__main__":
    print(agent.run_sync(" ".join(sys.argv[1:]) or QUESTION, usage_limits=LIMITS).output)
