"""``python -m pyro_mcp …`` is ``pyro …``."""

import os
import sys

from ._executable import executable
from .errors import PyroError


def main() -> None:
    """Becomes the executable."""
    try:
        program = executable()
        os.execv(program, ["pyro", *sys.argv[1:]])
    except (PyroError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(125)


if __name__ == "__main__":
    main()
