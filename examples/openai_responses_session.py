"""A model of the OpenAI Responses API that keeps services running and types into shells, beside a copy of a directory.

    pip install openai          and the package: docs/python.md
    OPENAI_API_KEY=... python examples/openai_responses_session.py DIRECTORY ["What is to be done?"]

OPENAI_BASE_URL names another server, OPENAI_MODEL another model. Nothing comes back but what the model says.
"""

import inspect
import json
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

from openai import OpenAI
from openai.types.responses import FunctionToolParam
from pyro_mcp import Pyro, PyroError
from pyro_mcp.results import TcpReadiness

MODEL = os.environ.get("OPENAI_MODEL", "gpt-5")
TASK = "Serve /workspace on port 8000 with python3, and find out in a shell with curl that it answers."
MOST_ROUNDS = 40
MOST_CHARS = 20_000

Tool = Callable[..., Mapping[str, Any]]


class Session:
    """One workspace. Its methods are the tools: the model is not asked for the id, nor how far it has read."""

    def __init__(self, pyro: Pyro, workspace_id: str) -> None:
        self._pyro, self._id = pyro, workspace_id
        self._cursors: dict[str, int] = {}
        tools: list[Tool] = [self.workspace_exec, self.service_start, self.service_list, self.service_status]
        tools += [self.service_logs, self.service_stop, self.shell_open, self.shell_write, self.shell_read]
        self._tools = {tool.__name__: tool for tool in tools}

    def described(self) -> list[FunctionToolParam]:
        """The tools as the Responses API takes them."""
        return [described(tool) for tool in self._tools.values()]

    def call(self, name: str, arguments: str) -> str:
        """Does what the model asks for. A failure is an answer too: it says what to do next."""
        try:
            result = self._tools[name](**json.loads(arguments))
        except (PyroError, LookupError, TypeError, ValueError) as error:
            return f"error ({getattr(error, 'kind', 'invalid_argument')}): {error}"
        return json.dumps({key: cut(value) for key, value in result.items()})

    def workspace_exec(self, command: str, timeout_seconds: int = 30) -> Mapping[str, Any]:
        """Run a shell command in /workspace, to its end. Files stay for the next call."""
        return self._pyro.exec_workspace(self._id, command=command, timeout_seconds=timeout_seconds)

    def service_start(self, service_name: str, command: str, port: int = 0) -> Mapping[str, Any]:
        """Start a command that stays, in the foreground. With the port where it listens, waits until it does."""
        ready: TcpReadiness | None = {"type": "tcp", "address": f"127.0.0.1:{port}"} if port else None
        return self._pyro.start_service(
            self._id, service_name, command=command, readiness=ready, ready_timeout_seconds=60
        )

    def service_list(self) -> Mapping[str, Any]:
        """List the services."""
        return self._pyro.list_services(self._id)

    def service_status(self, service_name: str) -> Mapping[str, Any]:
        """Tell how a service is."""
        return self._pyro.status_service(self._id, service_name)

    def service_logs(self, service_name: str) -> Mapping[str, Any]:
        """Read what a service printed."""
        return self._pyro.logs_service(self._id, service_name)

    def service_stop(self, service_name: str) -> Mapping[str, Any]:
        """Stop a service."""
        return self._pyro.stop_service(self._id, service_name)

    def shell_open(self) -> Mapping[str, Any]:
        """Open a terminal with a shell in /workspace, which remembers from one line to the next."""
        return self._pyro.open_shell(self._id)

    def shell_write(self, shell_id: str, line: str) -> Mapping[str, Any]:
        """Type a line into a shell. Next: shell_read."""
        return self._pyro.write_shell(self._id, shell_id, input=line)

    def shell_read(self, shell_id: str) -> Mapping[str, Any]:
        """Read what a shell has shown since it was read before, as soon as it shows nothing more for a second."""
        begin = self._cursors.get(shell_id, 0)
        read = self._pyro.read_shell(self._id, shell_id, cursor=begin, plain=True, wait_for_idle_ms=1000)
        self._cursors[shell_id] = read["next_cursor"]
        return read


def described(tool: Tool) -> FunctionToolParam:
    """A method as a tool: what it takes is what it is told of, and nothing else is taken."""
    taken = inspect.signature(tool).parameters.values()
    properties = {it.name: {"type": "integer" if it.annotation is int else "string"} for it in taken}
    required = [it.name for it in taken if it.default is it.empty]
    return {
        "type": "function",
        "name": tool.__name__,
        "description": inspect.getdoc(tool),
        "parameters": {
            "type": "object", "properties": properties, "required": required, "additionalProperties": False,
        },
        "strict": False,
    }  # fmt: skip


def cut(value: Any) -> Any:
    """Leaves the middle out of a text that is too long for a model."""
    half = MOST_CHARS // 2
    if not isinstance(value, str) or len(value) <= 2 * half:
        return value
    return f"{value[:half]}\n[{len(value) - 2 * half} characters are left out]\n{value[-half:]}"


def work(session: Session, task: str) -> str:
    """Lets the model call tools until it is done, or has had its rounds."""
    client = OpenAI()
    conversation: list[Any] = [{"role": "user", "content": task}]
    for _ in range(MOST_ROUNDS):
        response = client.responses.create(model=MODEL, input=conversation, tools=session.described())
        conversation += response.output
        calls = [item for item in response.output if item.type == "function_call"]
        if not calls:
            return response.output_text
        for item in calls:
            output = session.call(item.name, item.arguments)
            print(f"{item.name} {item.arguments}\n  {output}", file=sys.stderr)
            conversation.append({"type": "function_call_output", "call_id": item.call_id, "output": output})
    return f"ended after {MOST_ROUNDS} rounds"


def main(directory: str, task: str) -> None:
    pyro = Pyro()
    workspace_id = pyro.create_workspace(environment="debian:12", seed_path=directory, ttl_seconds=3600)["workspace_id"]
    try:
        print(work(Session(pyro, workspace_id), task))
    finally:
        pyro.delete_workspace(workspace_id)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("which directory? see the top of this file")
    main(sys.argv[1], " ".join(sys.argv[2:]) or TASK)
