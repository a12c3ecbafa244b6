"""Coding agents, as they come from the npm registry, use pyro in real guests. Only their model is a stand-in.

What they show to the model is what counts: it has to hold what only the guest can know.
"""

from __future__ import annotations

import json
import platform
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from clients.support import node
from clients.support.model_server import ModelServer
from clients.support.script import Script, Step, fixed, found
from support import toml
from support.home import BASE

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"

#: A number that the host does not say, and the kernel of the guest, which is not the host's.
COMMAND = "echo $((123456789 * 8)) on $(uname -r)"

RUN_ONCE = [Step("vm_run", fixed(environment=BASE, command=COMMAND, timeout_seconds=120))]

#: What agents are asked not to send anywhere.
QUIET = {
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_TELEMETRY": "1",
    "DISABLE_AUTOUPDATER": "1",
    "DISABLE_ERROR_REPORTING": "1",
    "DO_NOT_TRACK": "1",
    "OPENCODE_DISABLE_AUTOUPDATE": "1",
    "OPENCODE_DISABLE_MODELS_FETCH": "1",
    "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
    "OPENCODE_DISABLE_DEFAULT_PLUGINS": "1",
    "OPENCODE_DISABLE_SHARE": "1",
}


@pytest.fixture
def home(tmp_path: Path, executable: Path) -> Path:
    """An empty home, on whose path `pyro` is the one that is tested."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "pyro").symlink_to(executable)
    return tmp_path


def environment(home: Path, **more: str) -> dict[str, str]:
    """What agents find: the `pyro` that is tested, before all others."""
    return {**QUIET, "PATH": f"{home / 'bin'}:{node.environment(home)['PATH']}", **more}


def claude(home: Path, model: ModelServer, *arguments: str | Path) -> str:
    """Runs Claude Code on its example configuration."""
    shutil.copy(EXAMPLES / "claude_code_mcp.json", home / "pyro.json")
    options = ["-p", "Use pyro.", "--mcp-config", "pyro.json", "--strict-mcp-config", *arguments]
    # Without this setting the tools of MCP servers are behind a search, which the stand-in does not make.
    env = environment(home, ANTHROPIC_BASE_URL=model.url, ANTHROPIC_API_KEY="none", ENABLE_TOOL_SEARCH="false")
    done = node.run("claude", options, home, env)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def codex(home: Path, model: ModelServer) -> str:
    """Runs Codex on its example configuration, and a provider that is the stand-in."""
    provider = f'model_providers.stand_in={{name="stand-in", base_url="{model.url}/v1", wire_api="responses"}}'
    shutil.copy(EXAMPLES / "codex_config.toml", home / ".codex" / "config.toml")
    settings = [provider, 'model_provider="stand_in"', 'model="stand-in"', "analytics.enabled=false"]
    settings.append('mcp_servers.pyro.default_tools_approval_mode="approve"')
    pyro_settings = {name: value for name, value in node.environment(home).items() if name.startswith("PYRO_")}
    settings += [f"mcp_servers.pyro.env.{name}={json.dumps(value)}" for name, value in pyro_settings.items()]
    options = [word for setting in settings for word in ("-c", setting)]
    done = node.run("codex", ["exec", "--skip-git-repo-check", *options, "Use pyro."], home, environment(home))
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def opencode(home: Path, model: ModelServer) -> str:
    """Runs OpenCode on its example configuration, and a provider that is the stand-in."""
    config: dict[str, Any] = json.loads((EXAMPLES / "opencode.json").read_text())
    config["provider"] = {
        "stand-in": {
            "npm": "@ai-sdk/openai-compatible",
            "options": {"baseURL": f"{model.url}/v1", "apiKey": "none"},
            "models": {"stand-in": {"tool_call": True, "limit": {"context": 100_000, "output": 10_000}}},
        }
    }
    config |= {"model": "stand-in/stand-in", "small_model": "stand-in/stand-in", "share": "disabled"}
    (home / "opencode.json").write_text(json.dumps(config))
    done = node.run("opencode", ["run", "Use pyro."], home, environment(home))
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def assert_of_a_guest(shown: str) -> None:
    """What the model was shown comes from a guest."""
    assert "987654312 on " in shown, shown
    assert platform.release() not in shown
    assert "guest" in shown


@pytest.mark.parametrize("agent", [codex, opencode], ids=["Codex", "OpenCode"])
def test_an_agent_runs_a_command(home: Path, agent: Any) -> None:
    node.environment(home)
    with ModelServer(Script(RUN_ONCE, last_word="It is done.")) as model:
        assert "It is done." in agent(home, model)
    assert_of_a_guest(model.script.results[0])
    assert any(name.endswith("shell_close") for name in model.script.offered), model.script.offered


def test_claude_code_runs_a_command(home: Path) -> None:
    with ModelServer(Script(RUN_ONCE, last_word="It is done.")) as model:
        assert "It is done." in claude(home, model, "--allowedTools", "mcp__pyro__vm_run")
    assert_of_a_guest(model.script.results[0])
    assert "mcp__pyro__shell_close" in model.script.offered


def test_claude_code_works_in_a_workspace(home: Path, tmp_path: Path) -> None:
    seed = tmp_path / "seed"
    seed.mkdir()
    (seed / "number").write_text("6\n")

    def of(results: list[str]) -> dict[str, Any]:
        return {"workspace_id": found(results[0], "workspace_id")}

    steps = [
        Step("workspace_create", fixed(environment=BASE, seed_path=str(seed))),
        Step("workspace_exec", lambda results: {**of(results), "command": "echo $(($(cat number) * 7)) > answer"}),
        Step("workspace_exec", lambda results: {**of(results), "command": "cat answer; uname -r"}),
        Step("workspace_diff", of),
        Step("workspace_delete", of),
        Step("workspace_status", of),
    ]
    with ModelServer(Script(steps, last_word="It is done.")) as model:
        assert "It is done." in claude(home, model, "--allowedTools", "mcp__pyro")
    _, _, printed, diff, deleted, gone = model.script.results
    assert found(printed, "stdout").startswith("42\n") and platform.release() not in printed
    assert "+42" in found(diff, "patch")
    assert found(deleted, "deleted") is True
    assert "not_found" in gone and "hint" in gone


@pytest.mark.parametrize("agent", ["claude", "codex"])
def test_the_documented_command_adds_the_server(home: Path, agent: str) -> None:
    words = ["mcp", "add", "pyro", "--", "pyro", "mcp", "serve"]
    assert " ".join([agent, *words]) in (EXAMPLES / "mcp_client_config.md").read_text()
    added = node.run(agent, words, home, environment(home))
    assert added.returncode == 0, added.stdout + added.stderr
    listed = node.run(agent, ["mcp", "list"], home, environment(home)).stdout
    assert re.search(r"pyro:? +pyro +mcp serve", listed), listed
    assert agent != "claude" or "Connected" in listed, listed


def test_claude_code_connects(home: Path) -> None:
    shutil.copy(EXAMPLES / "claude_code_mcp.json", home / ".mcp.json")
    node.environment(home)
    settings = {"enableAllProjectMcpServers": True}
    (home / ".claude" / "settings.json").write_text(json.dumps(settings))
    done = node.run("claude", ["mcp", "list"], home, environment(home))
    assert "pyro mcp serve" in done.stdout and "Connected" in done.stdout, done.stdout + done.stderr


def test_codex_reads_its_configuration(home: Path) -> None:
    node.environment(home)
    shutil.copy(EXAMPLES / "codex_config.toml", home / ".codex" / "config.toml")
    done = node.run("codex", ["mcp", "list", "--json"], home, environment(home))
    assert done.returncode == 0, done.stderr
    (listed,) = json.loads(done.stdout)
    written = toml.loads((EXAMPLES / "codex_config.toml").read_text())["mcp_servers"]["pyro"]
    assert (listed["name"], listed["transport"]["command"], listed["transport"]["args"]) == (
        "pyro", written["command"], written["args"])  # fmt: skip


def test_opencode_connects(home: Path) -> None:
    shutil.copy(EXAMPLES / "opencode.json", home / "opencode.json")
    done = node.run("opencode", ["mcp", "list"], home, environment(home))
    assert "connected" in done.stdout + done.stderr, done.stdout + done.stderr
