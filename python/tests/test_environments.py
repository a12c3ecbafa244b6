"""Environments, and what this host can do."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from pyro_mcp import NotFoundError, Pyro
from support.home import BASE, FULL
from support.shape import Checked


def test_environments_are_listed(checked: Checked) -> None:
    environments = {one["name"]: one for one in checked.list_environments()}
    assert {BASE, FULL, "debian:12-build"} <= set(environments)
    assert environments[BASE]["installed"] is True
    assert environments[BASE]["digest"].startswith("sha256-")


def test_an_environment_is_inspected_installed_or_not(checked: Checked, tmp_path: Path) -> None:
    here = checked.inspect_environment(FULL)
    assert here["installed"] and "git" in {package["name"] for package in here["packages"]}
    assert Path(here["paths"]["root_image"]).stat().st_size == here["sizes"]["root_image_bytes"]
    elsewhere = Checked(Pyro(cache_dir=tmp_path)).inspect_environment(FULL)
    assert (elsewhere["installed"], elsewhere["digest"], elsewhere["packages"]) == (False, None, [])


def test_templates_are_part_of_the_inspection(checked: Checked) -> None:
    checked.run_in_vm(BASE, "true")
    templates = checked.inspect_environment(BASE)["templates"]
    assert {"vcpu_count": 1, "mem_mib": 1024}.items() <= templates[0].items()


def test_what_is_installed_is_not_pulled_again(checked: Checked) -> None:
    before = checked.inspect_environment(BASE)
    after = checked.pull_environment(BASE)
    assert (after["digest"], after["provenance"]) == (before["digest"], before["provenance"])


def test_unknown_environments_are_not_found(pyro: Pyro) -> None:
    for method in (pyro.pull_environment, pyro.inspect_environment):
        with pytest.raises(NotFoundError, match="windows") as caught:
            method("windows:11")
        assert caught.value.hint and BASE in caught.value.hint


def test_an_environment_without_a_name_is_pruned(checked: Checked, tmp_path: Path) -> None:
    folder = Path(checked.inspect_environment(BASE)["paths"]["folder"])
    (tmp_path / "environments").mkdir()
    subprocess.run(["cp", "--archive", "--reflink=auto", folder, tmp_path / "environments"], check=True)
    other = Pyro(cache_dir=tmp_path)
    checked_other = Checked(other)
    pruned = checked_other.prune_environments()
    assert [one["kind"] for one in pruned["deleted"]] == ["environment"]
    assert pruned["count"] == 1 and pruned["freed_bytes"] > 0
    assert checked_other.prune_environments() == {"deleted": [], "count": 0, "freed_bytes": 0}
    shutil.rmtree(tmp_path / "environments", ignore_errors=True)


def test_what_is_used_survives_pruning(checked: Checked) -> None:
    digest = checked.inspect_environment(BASE)["digest"]
    checked.prune_environments()
    assert checked.inspect_environment(BASE)["digest"] == digest


def test_the_host_is_examined(checked: Checked) -> None:
    report = checked.doctor(environment=BASE, boot=True)
    assert report["runtime_ok"] and report["boot"]["guest"].startswith("Linux ")
    assert checked.doctor()["boot"] is None
