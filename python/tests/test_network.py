"""The networks of guests: whom they may talk to, and which of their ports are published."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator

import pytest

from pyro_mcp import InvalidArgumentError, NotFoundError, Pyro, PyroError
from support.home import BASE
from support.shape import Checked
from support.wait import wait_until

#: Serves one line over HTTP, in perl, which is in every environment.
SERVER = """
use IO::Socket::INET;
my $server = IO::Socket::INET->new(LocalPort => 8000, Listen => 5, ReuseAddr => 1) or die;
while (my $client = $server->accept) {
    while (<$client>) { last if /^\\r?\\n$/ }
    print $client "HTTP/1.0 200 OK\\r\\nContent-Length: 5\\r\\n\\r\\nguest";
    close $client;
}
"""


@pytest.fixture
def workspace_id(pyro: Pyro) -> Iterator[str]:
    """A workspace that may talk to nobody but what is published."""
    made = pyro.create_workspace(BASE, allow=["none"])["workspace_id"]
    yield made
    pyro.delete_workspace(made)


def fetched(port: int) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=60) as answer:
        return bytes(answer.read())


def test_a_guest_is_refused_what_no_rule_names_and_told_so(checked: Checked, workspace_id: str) -> None:
    result = checked.exec_workspace(workspace_id, command="getent hosts example.org")
    assert result["exit_code"] != 0
    [denial] = result["network_denials"]
    assert (denial["kind"], denial["name"]) == ("dns", "example.org")
    assert denial["hint"] and denial["rule"]
    network = checked.network_workspace(workspace_id)
    assert network["policy"] == {"mode": "allowlist", "allow": ["none"]}
    assert network["denials"] == [denial]
    assert network["status"]["counters"]["dns_queries"] > 0
    status = checked.status_workspace(workspace_id)
    assert (status["network_enabled"], status["network_allow"]) == (True, ["none"])


def test_rules_are_changed_while_it_runs(checked: Checked, workspace_id: str) -> None:
    changed = checked.change_network_workspace(workspace_id, allow=["example.org:443"], remove=["none"])
    assert changed["policy"] == {"mode": "allowlist", "allow": ["example.org:443"]}
    changed = checked.change_network_workspace(workspace_id, reset=True)
    assert changed["policy"] == {"mode": "open", "allow": []}
    with pytest.raises(InvalidArgumentError, match="https://"):
        checked.change_network_workspace(workspace_id, allow=["https://example.org/"])
    with pytest.raises(NotFoundError, match="@pypi"):
        checked.change_network_workspace(workspace_id, remove=["@pypi"])


def test_a_port_is_published_and_taken_back(checked: Checked, workspace_id: str) -> None:
    checked.start_service(
        workspace_id, "web", command=["perl", "-e", SERVER], readiness={"type": "tcp", "address": "127.0.0.1:8000"}
    )
    published = checked.publish_workspace(workspace_id, "0:8000")
    port = published["host_port"]
    assert (port > 0, published["guest_port"]) == (True, 8000)
    assert fetched(port) == b"guest"
    assert checked.status_workspace(workspace_id)["published"] == [{"host_port": port, "guest_port": 8000}]
    with pytest.raises(PyroError) as caught:
        checked.publish_workspace(workspace_id, f"{port}:8000")
    assert caught.value.kind == "already_exists" and caught.value.hint
    assert checked.unpublish_workspace(workspace_id, port)["host_port"] == port
    with pytest.raises(OSError):
        fetched(port)
    with pytest.raises(NotFoundError):
        checked.unpublish_workspace(workspace_id, port)


def test_a_port_of_a_service_lives_as_long_as_the_service(checked: Checked, workspace_id: str) -> None:
    readiness = {"type": "tcp", "address": "127.0.0.1:8000"}
    command = ["perl", "-e", SERVER]
    started = checked.start_service(workspace_id, "web", command=command, readiness=readiness, publish=["0:8000"])
    [port] = started["published"]
    assert fetched(port["host_port"]) == b"guest"
    assert checked.stop_service(workspace_id, "web")["published"] == []
    with pytest.raises(OSError):
        fetched(port["host_port"])
    again = [f"{port['host_port']}:8000"]
    checked.start_service(workspace_id, "web", command=command, readiness=readiness, publish=again)
    wait_until("it answers", lambda: fetched(port["host_port"]) == b"guest")


def test_what_would_become_of_a_connection_is_told(checked: Checked) -> None:
    assert checked.explain_network("203.0.113.7", 443)["allowed"] is True
    refused = checked.explain_network("203.0.113.7", 443, allow=["203.0.113.0/24:80"])
    assert refused["allowed"] is False and refused["steps"][-1]["hint"]
    assert checked.explain_network("127.0.0.1", 80)["allowed"] is False


def test_rules_and_ports_that_are_none_are_refused(pyro: Pyro, workspace_id: str) -> None:
    for wrong in ("*.", "a b", "pypi.org:0", "@nowhere", "127.0.0.1:80"):
        with pytest.raises(InvalidArgumentError):
            pyro.run_in_vm(BASE, "true", allow=[wrong])
    with pytest.raises(TypeError):
        pyro.run_in_vm(BASE, "true", allow="pypi.org")  # type: ignore[arg-type]
    for wrong in ("", "0", "80:0", "x", "65536"):
        with pytest.raises(InvalidArgumentError):
            pyro.publish_workspace(workspace_id, wrong)
    with pytest.raises(InvalidArgumentError):
        pyro.run_in_vm(BASE, "true", require_isolation="some")
