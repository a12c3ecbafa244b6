"""A model of the OpenAI Responses API that works on a copy of a directory, and gives back what it changed as a patch.

    pip install openai          and the package: docs/python.md
    OPENAI_API_KEY=... python examples/openai_responses_workspace.py DIRECTORY ["What is to be done?"]

OPENAI_BASE_URL names another server, OPENAI_MODEL another model. The patch can be applied with `git apply`.
What goes in and out is not for the model to say, since these are paths of this computer: here it is `seed_path` and the
patch, and where that is not enough the program calls `push_workspace_sync` and `export_workspace`.
"""

import json
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

from openai import OpenAI
from openai.types.responses import FunctionToolParam
from pyro_mcp import Pyro, PyroError

MODEL = os.environ.get("OPENAI_MODEL", "gpt-5")
TASK = "Look at the files in /workspace, and add a README.md that says what they are."
MOST_ROUNDS = 40
MOST_CHARS = 20_000


def tool(name: str, description: str, properties: dict[str, Any], required: list[str]) -> FunctionToolParam:
    """A tool as the Responses API takes it."""
    parameters = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return {
        "type": "function",
        "name": name,
        "description": description,
        "parameters": parameters,
        "strict": False,
    }


COMMAND = {"command": {"type": "string"}, "timeout_seconds": {"type": "integer", "description": "30 if left out."}}
TOOLS = [
    tool("workspace_exec", "Run a shell command in /workspace. Files stay for the next call.", COMMAND, ["command"]),
    tool("workspace_diff", "Show what has changed in /workspace, as a patch.", {}, []),
]


class Workspace:
    """The tools of one workspace: the model is not asked for its id."""

    def __init__(self, pyro: Pyro, workspace_id: str) -> None:
        self._pyro, self._id = pyro, workspace_id
        self._tools: dict[str, Callable[..., Mapping[str, Any]]] = {
            "workspace_exec": self._exec,
            "workspace_diff": self._diff,
        }

    def _exec(self, command: str, timeout_seconds: int = 30) -> Mapping[str, Any]:
        return self._pyro.exec_workspace(self._id, command=command, timeout_seconds=timeout_seconds)

    def _diff(self) -> Mapping[str, Any]:
        return {"patch": self._pyro.diff_workspace(self._id)["patch"] or "nothing has changed"}

    def call(self, name: str, arguments: str) -> str:
        """Does what the model asks for. A failure is an answer too: it says what to do next."""
        try:
            result = self._tools[name](**json.loads(arguments))
        except (PyroError, LookupError, TypeError, ValueError) as error:
            return f"error ({getattr(error, 'kind', 'invalid_argument')}): {error}"
        return json.dumps({key: cut(value) for key, value in result.items()})


def cut(value: Any) -> Any:
    """Leaves the middle out of a text that is too long for a model."""
    half = MOST_CHARS // 2
    if not isinstance(value, str) or len(value) <= 2 * half:
        return value
    return f"{value[:half]}\n[{len(value) - 2 * half} characters are left out]\n{value[-half:]}"


def work(workspace: Workspace, task: str) -> str:
    """Lets the model call tools until it is done, or has had its rounds."""
    client = OpenAI()
    conversation: list[Any] = [{"role": "user", "content": task}]
    for _ in range(MOST_ROUNDS):
        response = client.responses.create(model=MODEL, input=conversation, tools=TOOLS)
        conversation += response.output
        calls = [item for item in response.output if item.type == "function_call"]
        if not calls:
            return response.output_text
        for item in calls:
            output = workspace.call(item.name, item.arguments)
            print(f"{item.name} {item.arguments}\n  {output}", file=sys.stderr)
            conversation.append({"type": "function_call_output", "call_id": item.call_id, "output": output})
    return f"ended after {MOST_ROUNDS} rounds"


def main(directory: str, task: str) -> None:
    pyro = Pyro()
    workspace_id = pyro.create_workspace(environment="debian:12", seed_path=directory, ttl_seconds=3600)["workspace_id"]
    try:
        print(work(Workspace(pyro, workspace_id), task), file=sys.stderr)
        print(pyro.diff_workspace(workspace_id)["patch"], end="")
    finally:
        pyro.delete_workspace(workspace_id)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("which directory? see the top of this file")
    main(sys.argv[1], " ".join(sys.argv[2:]) or TASK)
