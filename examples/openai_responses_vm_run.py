"""A model of the OpenAI Responses API that can run commands, each in a fresh machine.

    pip install openai          and the package: docs/python.md
    OPENAI_API_KEY=... python examples/openai_responses_vm_run.py ["What is to be found out?"]

OPENAI_BASE_URL names another server, OPENAI_MODEL another model.
"""

import json
import os
import sys
from typing import Any

from openai import OpenAI
from openai.types.responses import FunctionToolParam
from pyro_mcp import Pyro, PyroError
from pyro_mcp.results import RunResult

MODEL = os.environ.get("OPENAI_MODEL", "gpt-5")
QUESTION = "Which kernel does a machine of the environment debian:12 have? Find out with vm_run."
MOST_ROUNDS = 20
MOST_CHARS = 20_000

VM_RUN: FunctionToolParam = {
    "type": "function",
    "name": "vm_run",
    "description": "Run one shell command in a fresh Linux machine, which is thrown away afterwards. No network.",
    "parameters": {
        "type": "object",
        "properties": {
            "environment": {"type": "string", "description": "What is in the machine, for example debian:12."},
            "command": {"type": "string"},
            "timeout_seconds": {"type": "integer", "description": "30 if it is left out."},
        },
        "required": ["environment", "command"],
        "additionalProperties": False,
    },
    "strict": False,
}


def cut(text: str) -> str:
    """Leaves the middle out of what is too long for a model."""
    half = MOST_CHARS // 2
    left_out = len(text) - 2 * half
    return text if left_out <= 0 else f"{text[:half]}\n[{left_out} characters are left out]\n{text[-half:]}"


def vm_run(environment: str, command: str, timeout_seconds: int = 30) -> RunResult:
    """All that the model may say. Not for it to decide is, for example, `allow_host_compat`."""
    return Pyro().run_in_vm(environment=environment, command=command, timeout_seconds=timeout_seconds)


def call(arguments: str) -> str:
    """Does what the model asks for. A failure is an answer too: it says what to do next."""
    try:
        result = vm_run(**json.loads(arguments))
    except (PyroError, TypeError, ValueError) as error:
        return f"error ({getattr(error, 'kind', 'invalid_argument')}): {error}"
    shown = {"exit_code": result["exit_code"], "timed_out": result["timed_out"]}
    return json.dumps(shown | {"stdout": cut(result["stdout"]), "stderr": cut(result["stderr"])})


def ask(question: str) -> str:
    """Lets the model call tools until it has an answer."""
    client = OpenAI()
    conversation: list[Any] = [{"role": "user", "content": question}]
    for _ in range(MOST_ROUNDS):
        response = client.responses.create(model=MODEL, input=conversation, tools=[VM_RUN])
        conversation += response.output
        calls = [item for item in response.output if item.type == "function_call"]
        if not calls:
            return response.output_text
        for item in calls:
            output = call(item.arguments)
            print(f"{item.name} {item.arguments}\n  {output}")
            conversation.append({"type": "function_call_output", "call_id": item.call_id, "output": output})
    return f"ended after {MOST_ROUNDS} rounds"


if __name__ == "__main__":
    print(ask(" ".join(sys.argv[1:]) or QUESTION))
