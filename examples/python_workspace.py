"""Work on a copy of some files: run commands, bring in more, see what changed, bring something out.

    python examples/python_workspace.py [ENVIRONMENT]
"""

import sys
import tempfile
from pathlib import Path

from pyro_mcp import Pyro

PROGRAM = "sort names.txt > sorted.txt; sed -i s/hello/goodbye/ greeting.txt; wc -l < sorted.txt"


def main(environment: str, folder: Path) -> None:
    project, update, output = folder / "project", folder / "update", folder / "sorted.txt"
    project.mkdir()
    (project / "greeting.txt").write_text("hello\n")
    update.mkdir()
    (update / "names.txt").write_text("Noor\nAda\n")

    pyro = Pyro()
    workspace = pyro.create_workspace(environment=environment, seed_path=project, ttl_seconds=900)
    workspace_id = workspace["workspace_id"]
    try:
        print(f"seeded with {workspace['workspace_seed']['entry_count']} file")
        pushed = pyro.push_workspace_sync(workspace_id, update)
        print(f"pushed {pushed['entry_count']} more")
        result = pyro.exec_workspace(workspace_id, command=PROGRAM)
        print(f"exit code {result['exit_code']}, lines: {result['stdout']}", end="")
        print(pyro.diff_workspace(workspace_id)["patch"], end="")
        pyro.export_workspace(workspace_id, "sorted.txt", output_path=output)
        print(f"exported: {output.read_text().split()}")
        for entry in pyro.logs_workspace(workspace_id)["entries"]:
            print(f"command {entry['sequence']} took {entry['duration_ms']} ms")
    finally:
        pyro.delete_workspace(workspace_id)
    print(f"the files here are as they were: {(project / 'greeting.txt').read_text()}", end="")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        main(sys.argv[1] if len(sys.argv) > 1 else "debian:12", Path(folder))
