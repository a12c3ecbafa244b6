"""Machines: for one command, or made, started, looked at, used once and deleted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from pyro_mcp import InvalidArgumentError, NotFoundError, Pyro, PyroError
from support.home import BASE
from support.shape import Checked
from support.wait import wait_until


@pytest.fixture
def vm(pyro: Pyro) -> Iterator[Any]:
    made = pyro.create_vm(BASE)
    yield made["vm_id"]
    try:
        pyro.delete_vm(made["vm_id"])
    except NotFoundError:
        pass


def test_a_command_runs_in_a_machine_of_its_own(checked: Checked) -> None:
    result = checked.run_in_vm(BASE, "echo out; echo err >&2; exit 7")
    assert (result["stdout"], result["stderr"], result["exit_code"]) == ("out\n", "err\n", 7)
    assert (result["environment"], result["execution_mode"]) == (BASE, "guest")
    assert result["command"] == "echo out; echo err >&2; exit 7"
    assert (result["timed_out"], result["truncated"]) == (False, False)


def test_arguments_keep_their_boundaries(checked: Checked) -> None:
    words = ["printf", "[%s]", "a b", "", "$HOME", "ä\n"]
    for command in (words, tuple(words)):
        result = checked.run_in_vm(environment=BASE, command=command)
        assert (result["stdout"], result["command"]) == ("[a b][][$HOME][ä\n]", words)


def test_the_machine_is_of_the_size_that_was_asked_for(checked: Checked) -> None:
    result = checked.run_in_vm(BASE, "nproc; grep MemTotal /proc/meminfo", vcpu_count=2, mem_mib=256)
    cpus, memory = result["stdout"].splitlines()
    assert cpus == "2" and int(memory.split()[1]) < 256 * 1024


def test_a_command_that_takes_too_long_is_a_result(checked: Checked) -> None:
    result = checked.run_in_vm(BASE, "echo before; sleep 1000", timeout_seconds=1)
    assert (result["stdout"], result["exit_code"], result["timed_out"]) == ("before\n", 124, True)


def test_the_output_is_not_cut_for_a_model(checked: Checked) -> None:
    result = checked.run_in_vm(BASE, "seq 300000; echo end")
    assert result["stdout"] == "".join(f"{number}\n" for number in range(1, 300001)) + "end\n"
    assert result["truncated"] is False


def test_a_vm_goes_through_its_states(checked: Checked, vm: str) -> None:
    assert checked.status_vm(vm)["state"] == "created"
    assert checked.start_vm(vm)["state"] == "started"
    assert checked.start_vm(vm)["state"] == "started"
    none = {"network_enabled": False, "policy": None, "published": [], "status": None, "denials": []}
    assert checked.network_info_vm(vm) == {"vm_id": vm, **none}
    assert checked.stop_vm(vm)["state"] == "stopped"
    assert checked.start_vm(vm)["state"] == "started"
    result = checked.exec_vm(vm, command="cat /proc/uptime >&2; echo done; exit 3")
    assert (result["vm_id"], result["stdout"], result["exit_code"]) == (vm, "done\n", 3)
    with pytest.raises(NotFoundError):
        checked.status_vm(vm)


def test_a_vm_is_made_as_it_was_asked_for(checked: Checked) -> None:
    made = checked.create_vm(BASE, vcpu_count=2, mem_mib=256, ttl_seconds=1000, allow_host_compat=True)
    expected = {"state": "created", "vcpu_count": 2, "mem_mib": 256, "ttl_seconds": 1000, "allow_host_compat": True}
    assert expected.items() <= made.items()
    assert made["expires_at"] == pytest.approx(made["created_at"] + 1000)
    assert checked.delete_vm(made["vm_id"]) == {"vm_id": made["vm_id"], "deleted": True}
    with pytest.raises(NotFoundError, match=made["vm_id"]):
        checked.delete_vm(made["vm_id"])


def test_a_vm_that_is_not_started_runs_nothing(pyro: Pyro, vm: str) -> None:
    with pytest.raises(PyroError) as caught:
        pyro.exec_vm(vm, command="true")
    assert caught.value.kind == "wrong_state"
    assert pyro.status_vm(vm)["state"] == "created"


def test_what_has_expired_is_reaped(checked: Checked) -> None:
    vm = checked.create_vm(BASE, ttl_seconds=1)["vm_id"]
    reaped: list[str] = []

    def is_gone() -> bool:
        reaped.extend(checked.reap_expired()["vms"])
        return vm in reaped

    wait_until("the VM is reaped", is_gone)
    with pytest.raises(NotFoundError):
        checked.status_vm(vm)


def test_a_guest_has_a_network_only_where_that_is_asked_for(pyro: Pyro) -> None:
    devices = "ls /sys/class/net"
    assert pyro.run_in_vm(BASE, devices)["stdout"] == "lo\n"
    result = pyro.run_in_vm(BASE, devices, network=True)
    assert (result["stdout"].split(), result["network_denials"]) == (["eth0", "lo"], [])


def test_as_many_are_started_as_is_allowed(vm: str) -> None:
    strict = Pyro(max_active_vms=1)
    workspace = strict.create_workspace(BASE)["workspace_id"]
    try:
        other = Pyro(max_active_vms=2)
        strict.stop_workspace(workspace)
        other.start_vm(vm)
        other.start_workspace(workspace)
        with pytest.raises(PyroError) as caught:
            Pyro(max_active_vms=1).create_workspace(BASE)
        assert caught.value.kind == "limit_reached"
    finally:
        strict.delete_workspace(workspace)


def test_a_machine_that_cannot_be_is_refused(pyro: Pyro) -> None:
    for wrong in ({"vcpu_count": 0}, {"vcpu_count": 65}, {"mem_mib": 127}, {"ttl_seconds": 0}, {"ttl_seconds": 604801}):
        with pytest.raises(InvalidArgumentError, match=next(iter(wrong))):
            pyro.create_vm(BASE, **wrong)


def test_the_environment_says_what_runs_the_guests(pyro: Pyro, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYRO_ACCEL", "tcg")
    assert pyro.run_in_vm(BASE, "true")["accelerator"] == "tcg"
    assert "PYRO_ACCEL" in pyro.doctor()["accelerator"]["reason"]  # type: ignore[index]
    monkeypatch.setenv("PYRO_ACCEL", "steam")
    for call in (lambda: pyro.run_in_vm(BASE, "true"), lambda: pyro.create_vm(BASE), pyro.doctor):
        with pytest.raises(InvalidArgumentError, match="steam"):
            call()
