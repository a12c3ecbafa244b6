"""Run one command in one fresh machine.

    python examples/python_run.py [ENVIRONMENT]
"""

import sys

from pyro_mcp import Pyro

environment = sys.argv[1] if len(sys.argv) > 1 else "debian:12"

result = Pyro().run_in_vm(environment=environment, command="uname -sr; id -un; exit 3", timeout_seconds=60)

print(result["stdout"], end="")
print(f"exit code {result['exit_code']} after {result['duration_ms']} ms, run by {result['accelerator']}")
