"""The examples of the OpenAI Responses API, with the real client. Only the model is a stand-in."""

from __future__ import annotations

import importlib
import json
import platform
import re
import subprocess
from pathlib import Path

import pytest

from clients.conftest import EXAMPLES, RunExample
from clients.support.model_server import ModelServer
from clients.support.script import Script, Step, fixed, found
from pyro_mcp import Pyro
from support.home import BASE


def settings(model: ModelServer) -> dict[str, str]:
    """Where the client finds the stand-in."""
    return {"OPENAI_BASE_URL": f"{model.url}/v1", "OPENAI_API_KEY": "none", "OPENAI_MODEL": "stand-in"}


def test_a_model_runs_commands(run_example: RunExample) -> None:
    steps = [
        Step("vm_run", fixed(environment="debian:13", command="true")),  # There is none: it is told so.
        Step("vm_run", fixed(environment=BASE, cmd="true")),
        Step("vm_run", fixed(environment=BASE, command="true", allow_host_compat=True)),
        Step("vm_run", fixed(environment=BASE, command="echo $((6 * 7)) on $(uname -r); exit 3")),
        Step("vm_run", fixed(environment=BASE, command="seq 1 100000", timeout_seconds=120)),
    ]
    with ModelServer(Script(steps, last_word="The answer is 42.")) as model:
        printed, _ = run_example("openai_responses_vm_run.py", ["What is", "six times seven?"], settings(model))
    assert printed.endswith("\nThe answer is 42.\n")
    unknown, misnamed, on_host, result, long = model.script.results
    assert unknown.startswith("error (not_found): ") and "hint: did you mean `debian:12`?" in unknown
    assert misnamed.startswith("error (invalid_argument): ") and re.search("cmd|command", misnamed)
    assert on_host.startswith("error (invalid_argument): ") and "allow_host_compat" in on_host
    assert json.loads(result)["exit_code"] == 3
    assert json.loads(result)["stdout"].startswith("42 on ") and platform.release() not in result
    assert len(long) < 30_000 and "characters are left out" in long and "99999\\n100000" in long

    first, *_, last = model.requests
    assert first["model"] == "stand-in"
    assert first["input"] == [{"role": "user", "content": "What is six times seven?"}]
    (tool,) = first["tools"]
    assert (tool["type"], tool["name"], tool["parameters"]["required"]) == (
        "function", "vm_run", ["environment", "command"])  # fmt: skip
    calls = {item["call_id"] for item in last["input"] if item.get("type") == "function_call"}
    outputs = {item["call_id"] for item in last["input"] if item.get("type") == "function_call_output"}
    assert len(calls) == 5 and calls == outputs


def test_a_model_works_in_a_workspace(run_example: RunExample, tmp_path: Path) -> None:
    (tmp_path / "greeting.txt").write_text("hello\n")
    steps = [
        Step("workspace_exec", fixed(command="cat greeting.txt && echo bye > greeting.txt")),
        Step("workspace_exec", fixed(command="true", workspace_id="ws-000000000000")),
        Step("workspace_export", fixed(path="greeting.txt", output_path=str(tmp_path / "out"))),
        Step("workspace_exec", fixed(command="seq 1 100000")),
        Step("workspace_diff", fixed()),
    ]
    with ModelServer(Script(steps, last_word="It is done.")) as model:
        patch, told = run_example("openai_responses_workspace.py", [tmp_path], settings(model))
    assert told.endswith("\nIt is done.\n")
    executed, misnamed, unknown, long, diff = model.script.results
    assert json.loads(executed)["stdout"] == "hello\n"
    assert misnamed.startswith("error (invalid_argument): ") and "workspace_id" in misnamed
    assert unknown.startswith("error (invalid_argument): ") and "workspace_export" in unknown
    assert len(long) < 30_000 and "characters are left out" in long
    assert "-hello\n+bye\n" in json.loads(diff)["patch"]
    subprocess.run(["git", "apply"], input=patch, cwd=tmp_path, text=True, check=True)
    assert (tmp_path / "greeting.txt").read_text() == "bye\n"


def test_a_model_keeps_services_and_types_into_shells(run_example: RunExample, tmp_path: Path) -> None:
    (tmp_path / "page.txt").write_text("hello from the service\n")
    web = "python3 -u -m http.server 8000"
    steps = [
        Step("service_start", fixed(service_name="Not a name", command=web)),
        Step("service_start", fixed(service_name="web", command=web, cwd="/")),
        Step("service_start", fixed(service_name="web", command=web, port=8000)),
        Step("shell_open", fixed()),
        Step("shell_write", lambda told: _typed(told, "page=$(curl -s http://127.0.0.1:8000/page.txt); cd /usr")),
        Step("shell_write", lambda told: _typed(told, 'echo "$PWD has: $page"')),
        *[Step("shell_read", lambda told: {"shell_id": found(told[3], "shell_id")})] * 2,
        Step("service_status", fixed(service_name="web")),
        Step("service_logs", fixed(service_name="web")),
        Step("service_stop", fixed(service_name="web")),
        Step("service_list", fixed()),
        Step("workspace_exec", fixed(command="seq 1 100000")),
    ]
    with ModelServer(Script(steps, last_word="It answers.")) as model:
        printed, _ = run_example("openai_responses_session.py", [tmp_path], settings(model))
    assert printed == "It answers.\n"
    refused, superfluous, started, _, _, _, shown, again, status, logs, stopped, listed, long = model.script.results
    assert refused.startswith("error (invalid_argument): ") and "hint: " in refused
    assert superfluous.startswith("error (invalid_argument): ") and "cwd" in superfluous
    assert json.loads(started)["state"] == json.loads(status)["state"] == "running"
    assert json.loads(started)["readiness"] == {"type": "tcp", "address": "127.0.0.1:8000"}
    both = json.loads(shown)["output"] + json.loads(again)["output"]
    assert both.count("/usr has: hello from the service") == 1
    assert json.loads(again)["cursor"] == json.loads(shown)["next_cursor"] > 0
    assert "GET /page.txt" in json.loads(logs)["stdout"] + json.loads(logs)["stderr"]
    assert json.loads(stopped)["state"] == "stopped"
    assert json.loads(listed)["running_count"] == 0
    assert len(long) < 30_000 and "characters are left out" in long
    start = next(tool for tool in model.requests[0]["tools"] if tool["name"] == "service_start")
    assert start["parameters"]["required"] == ["service_name", "command"]
    assert start["parameters"]["properties"]["port"] == {"type": "integer"}


def _typed(told: list[str], line: str) -> dict[str, str]:
    return {"shell_id": found(told[3], "shell_id"), "line": line}


@pytest.mark.parametrize("name", ["vm_run", "workspace", "session"])
def test_a_model_that_never_ends_is_ended(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.syspath_prepend(EXAMPLES)
    with ModelServer(Script([Step("workspace_exec", fixed())] * 100)) as model:
        for variable, value in settings(model).items():
            monkeypatch.setenv(variable, value)
        example = importlib.import_module(f"openai_responses_{name}")
        monkeypatch.setattr(example, "MOST_ROUNDS", 3)
        if name == "vm_run":
            model.script.steps = [Step("vm_run", fixed())] * 100
            said = example.ask("What?")
        else:
            of = example.Workspace if name == "workspace" else example.Session
            said = example.work(of(Pyro(), "ws-000000000000"), "Do it.")
    assert said == "ended after 3 rounds"
    assert len(model.requests) == 3
