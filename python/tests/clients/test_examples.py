"""The examples of the Python package do what they say."""

from __future__ import annotations

import platform
import re

import pytest

from clients.conftest import EXAMPLES, RunExample
from support.home import BASE, FULL


def test_a_command_in_a_fresh_machine(run_example: RunExample) -> None:
    printed, _ = run_example("python_run.py", [BASE])
    system, user, end = printed.splitlines()
    assert system.startswith("Linux ") and platform.release() not in system
    assert user == "root"
    assert re.fullmatch(r"exit code 3 after [\d.]+ ms, run by (kvm|tcg)", end)


def test_the_life_of_a_machine(run_example: RunExample) -> None:
    printed, _ = run_example("python_lifecycle.py", [BASE])
    made, then, network, memory, now = printed.splitlines()
    assert (made, then, network) == ("made: created", "then: started", "network: False")
    total = re.fullmatch(r"it printed: MemTotal: +(\d+) kB", memory)
    assert total and 300_000 < int(total[1]) < 512 * 1024
    assert re.fullmatch(r"now: there is no VM `vm-\w+`", now)


def test_work_on_a_copy(run_example: RunExample) -> None:
    printed, _ = run_example("python_workspace.py", [BASE])
    lines = printed.splitlines()
    assert lines[:3] == ["seeded with 1 file", "pushed 1 more", "exit code 0, lines: 2"]
    assert {"-hello", "+goodbye", "+Ada", "+Noor"} <= set(lines)
    assert "exported: ['Ada', 'Noor']" in lines
    assert any(re.fullmatch(r"command 1 took [\d.]+ ms", line) for line in lines)
    assert lines[-1] == "the files here are as they were: hello"


def test_a_terminal(run_example: RunExample) -> None:
    printed, _ = run_example("python_shell.py", [BASE])
    assert "answer=42 in /workspace/deep" in printed
    assert printed.splitlines()[-2:] == ["interrupted", "the shell is closed"]


def test_a_web_server(run_example: RunExample) -> None:
    printed, _ = run_example("python_services.py", [FULL])
    started, answer, running, stopped, log = [line for line in printed.splitlines() if line]
    assert (started, answer) == ("web is running", "hello from the guest")
    assert (running, stopped) == ("running: 1", "stopped: stopped")
    assert re.fullmatch(r"its log has \d+ requests, the last is GET /page.txt HTTP/1.1", log)


@pytest.mark.parametrize("document", ["docs/integrations.md", "examples/README.md", "examples/mcp_client_config.md"])
def test_documents_point_at_what_is_there(document: str) -> None:
    path = EXAMPLES.parent / document
    links = re.findall(r"\]\(([^)#:]+)\)", path.read_text())
    commands = re.findall(r"`python (examples/\w+\.py)", path.read_text())
    targets = [path.parent / link for link in links] + [EXAMPLES.parent / command for command in commands]
    missing = [str(target) for target in targets if not target.exists()]
    assert not missing


def test_every_example_is_in_the_list() -> None:
    listed = set(re.findall(r"`([a-z_]+\.[a-z]+)`", (EXAMPLES / "README.md").read_text()))
    there = {path.name for path in EXAMPLES.iterdir() if path.is_file()} - {"README.md", "mcp_client_config.md"}
    assert there <= listed, f"not in the list: {there - listed}"
    assert {name for name in listed if (EXAMPLES / name).suffix in {".py", ".json", ".toml"}} <= there
