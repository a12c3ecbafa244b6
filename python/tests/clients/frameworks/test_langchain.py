"""LangChain: the examples with a fake chat model and with the real one before a stand-in, and the adapters for MCP."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, ToolCall
from langchain_core.tools import BaseTool
from langchain_mcp_adapters.client import MultiServerMCPClient

from clients.conftest import EXAMPLES, RunExample
from clients.support.model_server import ModelServer
from clients.support.script import Script, Step, fixed
from pyro_mcp import Pyro
from support.home import BASE


class FakeModel(GenericFakeChatModel):
    """LangChain's own fake, which remembers the tools that it was given and the messages that it got."""

    offered: list[BaseTool] = []
    asked: list[Any] = []

    def bind_tools(self, tools: Sequence[Any], **_: Any) -> FakeModel:
        self.offered.extend(tools)
        return self

    def _generate(self, messages: list[Any], *arguments: Any, **named: Any) -> Any:
        self.asked[:] = messages
        return super()._generate(messages, *arguments, **named)


def model_that(*calls: tuple[str, dict[str, Any]]) -> FakeModel:
    """A model that makes these calls, one after another, and then has its last word."""
    made = [ToolCall(name=name, args=args, id=f"call_{at}") for at, (name, args) in enumerate(calls)]
    said: list[AIMessage | str] = [AIMessage(content="", tool_calls=[call]) for call in made]
    return FakeModel(messages=iter([*said, "It is done."]), offered=[], asked=[])


@pytest.fixture
def examples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the examples modules."""
    monkeypatch.syspath_prepend(EXAMPLES)


def results_of(model: FakeModel) -> list[str]:
    """What the model was shown of its calls."""
    return [message.text for message in model.asked if message.type == "tool"]


@pytest.mark.usefixtures("examples")
def test_a_fake_model_runs_commands() -> None:
    import langchain_vm_run

    model = model_that(
        ("vm_run", {"command": "true", "environment": "debian:13"}),
        ("vm_run", {"environment": BASE}),
        ("vm_run", {"command": "echo $((6 * 7)); exit 3", "environment": BASE}),
        ("vm_run", {"command": "seq 1 100000", "environment": BASE}),
    )
    assert langchain_vm_run.ask(model, "What is six times seven?") == "It is done."
    failed, incomplete, ran, long = results_of(model)
    assert failed.startswith("error (not_found)") and "hint: " in failed
    assert "validation error" in incomplete
    assert (json.loads(ran)["stdout"], json.loads(ran)["exit_code"]) == ("42\n", 3)
    assert len(long) < 30_000 and "characters are left out" in long and "99999\\n100000" in long
    assert set(model.offered[0].args) == {"command", "environment", "timeout_seconds"}


@pytest.mark.usefixtures("examples")
def test_a_fake_model_works_in_a_workspace(pyro: Pyro, workspace: dict[str, Any]) -> None:
    import langchain_workspace

    tools = langchain_workspace.tools_of(pyro, workspace["workspace_id"])
    model = model_that(
        ("workspace_exec", {"command": "echo hello > greeting"}),
        ("workspace_exec", {"command": "cat greeting", "timeout_seconds": 0}),
        ("workspace_exec", {"command": "cat greeting"}),
        ("workspace_exec", {"command": "seq 1 100000 | tee many"}),
        ("workspace_export", {"path": "greeting", "output_path": "/nowhere"}),
        ("workspace_exec", {}),
        ("workspace_diff", {}),
    )
    assert langchain_workspace.work(model, tools, "Greet.") == "It is done."
    _, refused, printed, long, unknown, incomplete, patch = results_of(model)
    assert refused.startswith("error (invalid_argument)")
    assert json.loads(printed)["stdout"] == "hello\n"
    assert unknown == "error (not_found): there are only workspace_exec, workspace_diff"
    assert "validation error" in incomplete
    assert "+hello" in patch
    for text in (long, patch):
        assert len(text) < 30_000 and "characters are left out" in text


@pytest.mark.usefixtures("examples")
def test_a_fake_model_that_never_ends_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    import langchain_vm_run
    import langchain_workspace

    monkeypatch.setattr(langchain_vm_run, "MOST_ROUNDS", 3)
    monkeypatch.setattr(langchain_workspace, "MOST_ROUNDS", 3)
    calls = [("vm_run", dict[str, Any]())] * 4
    assert langchain_vm_run.ask(model_that(*calls), "What?") == "ended after 3 rounds"
    assert langchain_workspace.work(model_that(*calls), [], "Do it.") == "ended after 3 rounds"


@pytest.mark.parametrize("example", ["langchain_vm_run.py", "langchain_workspace.py"])
def test_the_examples_run_with_a_real_model_class(run_example: RunExample, tmp_path: Path, example: str) -> None:
    """`ChatOpenAI` speaks to a stand-in."""
    in_workspace = example == "langchain_workspace.py"
    command = {"command": "echo $((6 * 7)) > answer; cat answer"}
    step = Step("workspace_exec", fixed(**command)) if in_workspace else Step("vm_run", fixed(**command))
    with ModelServer(Script([step], last_word="It is done.")) as model:
        settings = {"OPENAI_API_BASE": f"{model.url}/v1", "OPENAI_API_KEY": "none", "OPENAI_MODEL": "stand-in"}
        printed, told = run_example(example, [tmp_path] if in_workspace else [], settings)
    assert json.loads(model.script.results[0])["stdout"] == "42\n"
    assert (told if in_workspace else printed).endswith("It is done.\n")
    assert not in_workspace or "+42" in printed


def test_the_adapters_offer_the_tools_of_the_server(executable: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name.startswith("PYRO_") or name == "PATH"}
    started = {"transport": "stdio", "command": str(executable), "args": ["mcp", "serve"], "env": environment}

    async def story() -> None:
        client = MultiServerMCPClient({"pyro": started})  # type: ignore[dict-item]
        async with client.session("pyro") as session:
            from langchain_mcp_adapters.tools import load_mcp_tools

            tools = {tool.name: tool for tool in await load_mcp_tools(session)}
            assert len(tools) == 28

            async def shown(name: str, **arguments: Any) -> str:
                call = ToolCall(name=name, args=arguments, id="call_1")
                return str((await tools[name].ainvoke({**call, "type": "tool_call"})).text)

            created = json.loads(await shown("workspace_create", environment=BASE))
            of = {"workspace_id": created["workspace_id"]}
            printed = await shown("workspace_exec", **of, command="echo $((6 * 7))")
            assert json.loads(printed)["stdout"] == "42\n"
            assert "hint: " in await shown("workspace_export", **of, path="/etc", output_path="/nowhere")
            assert json.loads(await shown("workspace_delete", **of))["deleted"] is True

    asyncio.run(story())


def test_the_examples_need_nothing_but_what_they_say() -> None:
    """Nothing of LangChain beside its core is imported until the program is started."""
    for example in ("langchain_vm_run", "langchain_workspace"):
        lines = (EXAMPLES / f"{example}.py").read_text().splitlines()
        imported = {line.split()[1].split(".")[0] for line in lines if line.startswith(("import ", "from "))}
        assert imported <= {"langchain_core", "pyro_mcp"} | sys.stdlib_module_names
