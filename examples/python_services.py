"""Keep a web server running in a workspace, and talk to it from a command.

    python examples/python_services.py [ENVIRONMENT]

The environment needs Python: debian:12 has it.
"""

import sys

from pyro_mcp import Pyro

URL = "http://127.0.0.1:8080/"
GET = f"import urllib.request as it; print(it.urlopen('{URL}page.txt').read().decode())"

environment = sys.argv[1] if len(sys.argv) > 1 else "debian:12"
pyro = Pyro()

workspace_id = pyro.create_workspace(environment=environment)["workspace_id"]
try:
    pyro.exec_workspace(workspace_id, command="echo hello from the guest > page.txt")
    web = pyro.start_service(
        workspace_id,
        "web",
        command=["python3", "-u", "-m", "http.server", "8080", "--bind", "127.0.0.1"],
        readiness={"type": "http", "url": URL},
        ready_timeout_seconds=60,
    )
    print(f"{web['service_name']} is {web['state']}")
    print(pyro.exec_workspace(workspace_id, command=["python3", "-c", GET])["stdout"], end="")
    print(f"running: {pyro.list_services(workspace_id)['running_count']}")
    print(f"stopped: {pyro.stop_service(workspace_id, 'web')['state']}")
    requests = [line for line in pyro.logs_service(workspace_id, "web")["stderr"].splitlines() if "GET" in line]
    print(f"its log has {len(requests)} requests, the last is {requests[-1].split(chr(34))[1]}")
finally:
    pyro.delete_workspace(workspace_id)
