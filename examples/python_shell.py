"""Type into a terminal: what a shell knows stays from one line to the next.

    python examples/python_shell.py [ENVIRONMENT]
"""

import sys

from pyro_mcp import Pyro
from pyro_mcp.results import ShellStatus


def read_until(pyro: Pyro, shell: ShellStatus, text: str, cursor: int = 0) -> tuple[str, int]:
    """Reads from a cursor on until the terminal has shown something. Gives all that it showed, and the next cursor."""
    shown = ""
    while text not in shown:
        read = pyro.read_shell(
            shell["workspace_id"], shell["shell_id"], cursor=cursor, plain=True, wait_for_idle_ms=200
        )
        shown, cursor = shown + read["output"], read["next_cursor"]
        if read["state"] != "running" and not read["output"]:
            raise RuntimeError(f"the shell has ended: {shown}")
    return shown, cursor


def main(environment: str) -> None:
    pyro = Pyro()
    workspace_id = pyro.create_workspace(environment=environment)["workspace_id"]
    try:
        shell = pyro.open_shell(workspace_id, cols=80)
        shell_id = shell["shell_id"]
        pyro.write_shell(workspace_id, shell_id, input="answer=$((6 * 7)); mkdir deep; cd deep")
        pyro.write_shell(workspace_id, shell_id, input='echo "answer=$answer in $PWD"')
        shown, cursor = read_until(pyro, shell, "answer=42 in /workspace/deep")
        print(shown)

        pyro.write_shell(workspace_id, shell_id, input="echo waiting for ''ever; sleep 100000")
        _, cursor = read_until(pyro, shell, "waiting for ever", cursor)
        pyro.signal_shell(workspace_id, shell_id, signal_name="INT")
        pyro.write_shell(workspace_id, shell_id, input="echo not for ''ever")
        read_until(pyro, shell, "not for ever", cursor)
        print("interrupted")
        print(f"the shell is {pyro.close_shell(workspace_id, shell_id)['state']}")
    finally:
        pyro.delete_workspace(workspace_id)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "debian:12")
