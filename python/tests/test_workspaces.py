"""Workspaces: machines that stay, with files to work on."""

from __future__ import annotations

import os
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from pyro_mcp import InvalidArgumentError, NotFoundError, Pyro, PyroError
from support.home import BASE
from support.shape import Checked


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A small project on this host."""
    folder = tmp_path / "project"
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "greet.sh").write_text("echo hello\n")
    (folder / "README").write_text("one\ntwo\n")
    (folder / "link").symlink_to("README")
    return folder


def test_a_workspace_lives_from_its_creation_to_its_deletion(checked: Checked) -> None:
    made = checked.create_workspace(BASE, ttl_seconds=1000, mem_mib=512)
    workspace = made["workspace_id"]
    expected = {"state": "started", "workspace_path": "/workspace", "mem_mib": 512, "command_count": 0}
    assert expected.items() <= made.items()
    assert made["workspace_seed"]["mode"] == "empty" and made["last_command"] is None
    assert workspace in [one["workspace_id"] for one in checked.list_workspaces()["workspaces"]]

    first = checked.exec_workspace(workspace, command="pwd; echo kept > file; exit 2")
    assert (first["sequence"], first["stdout"], first["exit_code"]) == (1, "/workspace\n", 2)
    second = checked.exec_workspace(workspace, command=["cat", "file"], timeout_seconds=60)
    assert (second["sequence"], second["stdout"], second["command"]) == (2, "kept\n", ["cat", "file"])

    status = checked.status_workspace(workspace)
    assert status["command_count"] == 2 and status["last_command"]["command"] == ["cat", "file"]
    assert [entry["exit_code"] for entry in checked.logs_workspace(workspace)["entries"]] == [2, 0]
    only = checked.logs_workspace(workspace, sequence=2)
    assert [entry["stdout"] for entry in only["entries"]] == ["kept\n"]

    assert checked.stop_workspace(workspace)["state"] == "stopped"
    with pytest.raises(PyroError) as caught:
        checked.exec_workspace(workspace, command="true")
    assert caught.value.kind == "wrong_state" and caught.value.hint
    assert checked.start_workspace(workspace)["state"] == "started"
    assert checked.exec_workspace(workspace, command="cat file")["stdout"] == "kept\n"

    deleted = checked.delete_workspace(workspace)
    assert deleted["deleted"] is True and deleted["workspace_id"] == workspace
    with pytest.raises(NotFoundError):
        checked.status_workspace(workspace)


def test_a_command_that_takes_too_long_is_a_result(checked: Checked, workspace: Any) -> None:
    result = checked.exec_workspace(workspace["workspace_id"], command="echo begun; sleep 1000", timeout_seconds=1)
    assert (result["stdout"], result["exit_code"], result["timed_out"]) == ("begun\n", 124, True)


def test_a_workspace_is_seeded_from_a_directory(checked: Checked, project: Path) -> None:
    made = checked.create_workspace(BASE, seed_path=project)
    try:
        seed = made["workspace_seed"]
        assert (seed["mode"], seed["seed_path"], seed["bytes_written"]) == ("directory", str(project), 19)
        result = checked.exec_workspace(made["workspace_id"], command="sh src/greet.sh; cat link")
        assert result["stdout"] == "hello\none\ntwo\n"
    finally:
        checked.delete_workspace(made["workspace_id"])


def test_a_workspace_is_seeded_from_an_archive_of_the_working_directory(
    checked: Checked, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tarfile.open(tmp_path / "project.tar.gz", "w:gz") as archive:
        archive.add(project, arcname=".")
    monkeypatch.chdir(tmp_path)
    made = checked.create_workspace(BASE, seed_path="project.tar.gz")
    try:
        seed = made["workspace_seed"]
        assert (seed["mode"], seed["seed_path"]) == ("tar_archive", str(tmp_path / "project.tar.gz"))
        assert checked.exec_workspace(made["workspace_id"], command="cat README")["stdout"] == "one\ntwo\n"
    finally:
        checked.delete_workspace(made["workspace_id"])


def test_files_go_in_are_changed_and_come_out(checked: Checked, project: Path, tmp_path: Path) -> None:
    made = checked.create_workspace(BASE, seed_path=str(project))
    workspace = made["workspace_id"]
    try:
        assert checked.diff_workspace(workspace) == {
            "changed": False,
            "summary": dict.fromkeys(
                ["total", "added", "modified", "deleted", "type_changed", "text_patched", "non_text"], 0
            ),
            "entries": [],
            "patch": "",
        }
        (tmp_path / "more").mkdir()
        (tmp_path / "more" / "added").write_text("new\n")
        pushed = checked.push_workspace_sync(workspace, tmp_path / "more", dest="/workspace/src")
        assert (pushed["mode"], pushed["destination"], pushed["bytes_written"]) == ("directory", "/workspace/src", 4)
        checked.exec_workspace(workspace, command="echo three >> README; rm link; printf '\\0' > binary")

        diff = checked.diff_workspace(workspace)
        found = {entry["path"]: entry["status"] for entry in diff["entries"]}
        assert found == {"README": "modified", "binary": "added", "link": "deleted", "src/added": "added"}
        assert (diff["summary"]["total"], diff["summary"]["non_text"]) == (4, 1)
        subprocess.run(["git", "apply"], input=diff["patch"], text=True, cwd=project, check=True)
        assert (project / "README").read_text() == "one\ntwo\nthree\n"
        assert not (project / "link").is_symlink()

        exported = checked.export_workspace(workspace, "src", output_path=tmp_path / "out")
        assert (exported["artifact_type"], exported["output_path"]) == ("directory", str(tmp_path / "out"))
        assert (tmp_path / "out" / "added").read_text() == "new\n"
        with pytest.raises(PyroError) as caught:
            checked.export_workspace(workspace, "README", output_path=str(tmp_path / "out"))
        assert caught.value.kind == "already_exists"
        exported = checked.export_workspace(workspace, "/workspace/src", output_path=tmp_path / "out", force=True)
        assert exported["entry_count"] == 2
    finally:
        checked.delete_workspace(workspace)


def test_paths_are_taken_as_the_system_has_them(checked: Checked, workspace: Any, tmp_path: Path) -> None:
    name = os.fsdecode(b"not-\xff-utf8")
    (tmp_path / name).mkdir()
    (tmp_path / name / "file").write_text("in it")
    checked.push_workspace_sync(workspace["workspace_id"], tmp_path / name)
    checked.export_workspace(workspace["workspace_id"], "file", output_path=tmp_path / name / "back")
    assert (tmp_path / name / "back").read_text() == "in it"


def test_a_source_that_is_not_there_is_told(pyro: Pyro, workspace: Any, tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    with pytest.raises(NotFoundError, match=str(missing)):
        pyro.push_workspace_sync(workspace["workspace_id"], missing)
    with pytest.raises(NotFoundError, match=str(missing)):
        pyro.create_workspace(BASE, seed_path=missing)
    with pytest.raises(InvalidArgumentError, match="/etc") as caught:
        pyro.push_workspace_sync(workspace["workspace_id"], tmp_path, dest="/etc")
    assert caught.value.kind == "unsafe_path"


def test_other_processes_and_folders_are_other_workspaces(pyro: Pyro, workspace: Any, tmp_path: Path) -> None:
    assert Pyro().status_workspace(workspace["workspace_id"])["state"] == "started"
    elsewhere = Pyro(state_dir=tmp_path)
    assert elsewhere.list_workspaces()["workspaces"] == []
    with pytest.raises(NotFoundError):
        elsewhere.status_workspace(workspace["workspace_id"])
