"""PydanticAI: the examples with its own test models and before a stand-in, and its toolset for MCP."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai import Agent, UsageLimits
from pydantic_ai.mcp import MCPToolset
from pydantic_ai.messages import ModelMessage, ModelResponse, RetryPromptPart, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.test import TestModel

from clients.conftest import EXAMPLES, RunExample
from clients.support.model_server import ModelServer
from clients.support.script import Script, Step, fixed
from pyro_mcp import AsyncPyro
from support.home import BASE, FULL


@pytest.fixture
def examples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the examples modules."""
    monkeypatch.syspath_prepend(EXAMPLES)


class Calls:
    """A model that makes these calls, one after another, and remembers what it was shown of them."""

    def __init__(self, *calls: tuple[str, dict[str, Any]]) -> None:
        self.calls = calls
        self.results: list[Any] = []
        self.offered: list[str] = []

    def model(self) -> FunctionModel:
        """The model."""
        return FunctionModel(self._answer)

    def _answer(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        self.offered = [tool.name for tool in info.function_tools]
        parts = [part for message in messages for part in message.parts]
        self.results = [part.content for part in parts if isinstance(part, ToolReturnPart | RetryPromptPart)]
        if len(self.results) == len(self.calls):
            return ModelResponse(parts=[TextPart("It is done.")])
        name, arguments = self.calls[len(self.results)]
        return ModelResponse(parts=[ToolCallPart(name, arguments)])


@pytest.mark.usefixtures("examples")
def test_a_function_model_runs_commands() -> None:
    import pydantic_ai_vm_run

    calls = Calls(
        ("vm_run", {"command": "true", "environment": "debian:13"}),
        ("vm_run", {"command": "echo $((6 * 7)); exit 3", "environment": BASE}),
        ("vm_run", {"command": "true", "environment": BASE, "allow_host_compat": True}),
        ("vm_run", {"command": "seq 1 100000", "environment": BASE}),
    )
    with pydantic_ai_vm_run.agent.override(model=calls.model()):
        assert pydantic_ai_vm_run.agent.run_sync("What is six times seven?").output == "It is done."
    failed, ran, on_host, long = calls.results
    assert failed.startswith("error (not_found)") and "hint: " in failed
    assert (ran["stdout"], ran["exit_code"]) == ("42\n", 3)
    assert "allow_host_compat" in str(on_host) and "extra_forbidden" in str(on_host)
    assert len(long["stdout"]) < 30_000 and "characters are left out" in long["stdout"]


@pytest.mark.usefixtures("examples")
def test_the_test_model_fits_the_schema() -> None:
    """PydanticAI's test model makes arguments up from the schema; here the made-up command fails, which is a result."""
    import pydantic_ai_vm_run

    with pydantic_ai_vm_run.agent.override(model=TestModel()):
        output = json.loads(str(pydantic_ai_vm_run.agent.run_sync("Anything.").output))
    assert output["vm_run"]["exit_code"] == 127


@pytest.mark.usefixtures("examples")
def test_a_function_model_works_in_a_workspace(workspace: dict[str, Any]) -> None:
    import pydantic_ai_workspace as example

    calls = Calls(
        ("workspace_exec", {"command": "echo hello > greeting"}),
        ("workspace_exec", {"command": "cat greeting", "timeout_seconds": 0}),
        ("workspace_exec", {"command": "cat greeting"}),
        ("workspace_exec", {"command": "seq 1 100000 | tee many"}),
        ("workspace_diff", {}),
    )
    here = example.Workspace(AsyncPyro(), workspace["workspace_id"])
    with example.agent.override(model=calls.model()):
        assert example.agent.run_sync("Greet.", deps=here).output == "It is done."
    _, refused, printed, long, patch = calls.results
    assert refused.startswith("error (invalid_argument)")
    assert printed["stdout"] == "hello\n"
    assert "+hello" in patch
    for text in (long["stdout"], patch):
        assert len(text) < 30_000 and "characters are left out" in text


@pytest.mark.usefixtures("examples")
def test_a_function_model_that_never_ends_is_ended(monkeypatch: pytest.MonkeyPatch, workspace: dict[str, Any]) -> None:
    import pydantic_ai_workspace as example

    monkeypatch.setattr(example, "LIMITS", UsageLimits(request_limit=3))
    calls = Calls(*[("workspace_diff", dict[str, Any]())] * 10)
    with example.agent.override(model=calls.model()):
        said = asyncio.run(example.work(example.Workspace(AsyncPyro(), workspace["workspace_id"]), "Do it."))
    assert "request_limit of 3" in said
    assert len(calls.results) == 2


@pytest.mark.parametrize("example", ["pydantic_ai_vm_run.py", "pydantic_ai_workspace.py"])
def test_the_examples_run_with_a_real_model_class(run_example: RunExample, tmp_path: Path, example: str) -> None:
    """OpenAI's model classes speak to a stand-in."""
    in_workspace = example == "pydantic_ai_workspace.py"
    command = {"command": "echo $((6 * 7)) > answer; cat answer"}
    step = Step("workspace_exec", fixed(**command)) if in_workspace else Step("vm_run", fixed(**command))
    with ModelServer(Script([step], last_word="It is done.")) as model:
        settings = {"OPENAI_BASE_URL": f"{model.url}/v1", "OPENAI_API_KEY": "none"}
        printed, told = run_example(example, [tmp_path] if in_workspace else [], settings)
    assert json.loads(model.script.results[0])["stdout"] == "42\n"
    assert (told if in_workspace else printed).endswith("It is done.\n")
    assert not in_workspace or "+42" in printed


def test_the_toolset_offers_the_tools_of_the_server(executable: Path) -> None:
    from fastmcp.client.transports import StdioTransport

    environment = {name: value for name, value in os.environ.items() if name.startswith("PYRO_") or name == "PATH"}
    transport = StdioTransport(str(executable), ["mcp", "serve"], env=environment, keep_alive=False)
    calls = Calls(
        ("vm_run", {"environment": BASE, "command": "true", "vcpu_count": 5000}),
        ("vm_run", {"environment": BASE, "command": "echo $((6 * 7))"}),
        ("vm_run", {"environment": FULL, "command": "git --version"}),
    )

    async def story() -> None:
        agent = Agent(calls.model(), toolsets=[MCPToolset(transport)], retries=3)
        async with agent:
            assert (await agent.run("What is six times seven?")).output == "It is done."

    asyncio.run(story())
    assert len(calls.offered) == 28
    refused, ran, git = calls.results
    assert "vcpu_count" in str(refused) and "hint" in str(refused)
    assert (ran["stdout"], ran["execution_mode"]) == ("42\n", "guest")
    assert git["stdout"].startswith("git version")
