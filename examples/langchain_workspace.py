"""LangChain tools for work on a copy of a directory; what was changed comes back as a patch.

    pip install langchain-core langchain-openai          and the package: docs/python.md
    OPENAI_API_KEY=... python examples/langchain_workspace.py DIRECTORY ["What is to be done?"]

Any chat model that can call tools will do. The tools go into an agent of `langchain` or a graph as they are.
"""

import os
import sys
from collections.abc import Mapping
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage, HumanMessage, ToolMessage
from langchain_core.tools import BaseTool, StructuredTool, ToolException
from pyro_mcp import Pyro, PyroError

TASK = "Look at the files in /workspace, and add a README.md that says what they are."
MOST_ROUNDS = 40
MOST_CHARS = 20_000


def tools_of(pyro: Pyro, workspace_id: str) -> list[BaseTool]:
    """The tools of one workspace: the model is not asked for its id."""

    def workspace_exec(command: str, timeout_seconds: int = 30) -> dict[str, Any]:
        """Run a shell command in /workspace. Files stay for the next call."""
        return shown(told(pyro.exec_workspace, workspace_id, command=command, timeout_seconds=timeout_seconds))

    def workspace_diff() -> str:
        """Show what has changed in /workspace, as a patch."""
        return cut(told(pyro.diff_workspace, workspace_id)["patch"]) or "nothing has changed"

    return [
        StructuredTool.from_function(function, handle_tool_error=True, handle_validation_error=True)
        for function in (workspace_exec, workspace_diff)
    ]


def told(method: Any, *arguments: Any, **named: Any) -> Any:
    """Calls a method of pyro; the model is told what failed and what to do next."""
    try:
        return method(*arguments, **named)
    except PyroError as error:
        raise ToolException(f"error ({error.kind}): {error}") from error


def shown(result: Mapping[str, Any]) -> dict[str, Any]:
    """What a model needs of a result."""
    ended = {"exit_code": result["exit_code"], "timed_out": result["timed_out"]}
    return ended | {"stdout": cut(result["stdout"]), "stderr": cut(result["stderr"])}


def cut(text: str) -> str:
    """Leaves the middle out of what is too long for a model."""
    half = MOST_CHARS // 2
    left_out = len(text) - 2 * half
    return text if left_out <= 0 else f"{text[:half]}\n[{left_out} characters are left out]\n{text[-half:]}"


def work(model: BaseChatModel, tools: list[BaseTool], task: str) -> str:
    """Lets the model call tools until it is done, or has had its rounds."""
    by_name = {tool.name: tool for tool in tools}
    model_with_tools = model.bind_tools(tools)
    conversation: list[BaseMessage] = [HumanMessage(task)]
    for _ in range(MOST_ROUNDS):
        said = model_with_tools.invoke(conversation)
        conversation.append(said)
        if not said.tool_calls:
            return said.text
        for call in said.tool_calls:
            if call["name"] in by_name:
                conversation.append(by_name[call["name"]].invoke(call))
            else:
                unknown = f"error (not_found): there are only {', '.join(by_name)}"
                conversation.append(ToolMessage(unknown, tool_call_id=call["id"]))
            print(f"{call['name']} {call['args']}\n  {conversation[-1].text}", file=sys.stderr)
    return f"ended after {MOST_ROUNDS} rounds"


def main(model: BaseChatModel, directory: str, task: str) -> None:
    pyro = Pyro()
    workspace_id = pyro.create_workspace(environment="debian:12", seed_path=directory, ttl_seconds=3600)["workspace_id"]
    try:
        print(work(model, tools_of(pyro, workspace_id), task), file=sys.stderr)
        print(pyro.diff_workspace(workspace_id)["patch"], end="")
    finally:
        pyro.delete_workspace(workspace_id)


if __name__ == "__main__":
    from langchain_openai import ChatOpenAI

    if len(sys.argv) < 2:
        sys.exit("which directory? see the top of this file")
    gpt = ChatOpenAI(model=os.environ.get("OPENAI_MODEL", "gpt-5"))
    main(gpt, sys.argv[1], " ".join(sys.argv[2:]) or TASK)
