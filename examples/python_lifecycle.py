"""Make a machine, start it, look at it, and run its one command. The machine is gone afterwards.

    python examples/python_lifecycle.py [ENVIRONMENT]
"""

import sys

from pyro_mcp import NotFoundError, Pyro

environment = sys.argv[1] if len(sys.argv) > 1 else "debian:12"
pyro = Pyro()

vm_id = pyro.create_vm(environment=environment, mem_mib=512, ttl_seconds=300)["vm_id"]
try:
    print(f"made: {pyro.status_vm(vm_id)['state']}")
    print(f"then: {pyro.start_vm(vm_id)['state']}")
    print(f"network: {pyro.network_info_vm(vm_id)['network_enabled']}")
    result = pyro.exec_vm(vm_id, command="grep MemTotal /proc/meminfo")
    print(f"it printed: {result['stdout']}", end="")
except BaseException:
    pyro.delete_vm(vm_id)
    raise

try:
    pyro.status_vm(vm_id)
except NotFoundError as error:
    print(f"now: {error.message}")
