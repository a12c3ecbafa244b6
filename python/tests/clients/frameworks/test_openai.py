"""The examples of the OpenAI Responses API, with the real client. Only the model is a stand-in."""

from __future__ import annotations

import json
import platform
import re
import subprocess
from pathlib import Path

from clients.conftest import RunExample
from clients.support.model_server import ModelServer
from clients.support.script import Script, Step, fixed
from support.home import BASE


def settings(model: ModelServer) -> dict[str, str]:
    """Where the client finds the stand-in."""
    return {"OPENAI_BASE_URL": f"{model.url}/v1", "OPENAI_API_KEY": "none", "OPENAI_MODEL": "stand-in"}


def test_a_model_runs_commands(run_example: RunExample) -> None:
    steps = [
        Step("vm_run", fixed(environment="debian:13", command="true")),  # There is none: it is told so.
        Step("vm_run", fixed(environment=BASE, cmd="true")),
        Step("vm_run", fixed(environment=BASE, command="echo $((6 * 7)) on $(uname -r); exit 3")),
        Step("vm_run", fixed(environment=BASE, command="seq 1 100000", timeout_seconds=120)),
    ]
    with ModelServer(Script(steps, last_word="The answer is 42.")) as model:
        printed, _ = run_example("openai_responses_vm_run.py", ["What is", "six times seven?"], settings(model))
    assert printed.endswith("\nThe answer is 42.\n")
    unknown, misnamed, result, long = model.script.results
    assert unknown.startswith("error (not_found): ") and "hint: did you mean `debian:12`?" in unknown
    assert misnamed.startswith("error (invalid_argument): ") and re.search("cmd|command", misnamed)
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
    assert len(calls) == 4 and calls == outputs


def test_a_model_works_in_a_workspace(run_example: RunExample, tmp_path: Path) -> None:
    (tmp_path / "greeting.txt").write_text("hello\n")
    service = "touch served; echo serving; exec sleep 100000"
    steps = [
        Step("workspace_exec", fixed(command="cat greeting.txt && echo bye > greeting.txt")),
        Step("service_start", fixed(service_name="Not a name", command=service)),
        Step("service_start", fixed(service_name="web", command=service)),
        Step("service_logs", fixed(service_name="web")),
        Step("workspace_diff", fixed()),
    ]
    with ModelServer(Script(steps, last_word="It is done.")) as model:
        patch, told = run_example("openai_responses_workspace.py", [tmp_path], settings(model))
    assert told.endswith("\nIt is done.\n")
    executed, refused, started, _, diff = model.script.results
    assert json.loads(executed)["stdout"] == "hello\n"
    assert refused.startswith("error (invalid_argument): ") and "hint: " in refused
    assert json.loads(started)["state"] == "running"
    assert "-hello\n+bye\n" in json.loads(diff)["patch"]
    subprocess.run(["git", "apply"], input=patch, cwd=tmp_path, text=True, check=True)
    assert (tmp_path / "greeting.txt").read_text() == "bye\n"
