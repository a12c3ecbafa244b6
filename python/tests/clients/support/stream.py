"""Server-sent events, in which models stream their answers."""

from __future__ import annotations

import json
from typing import Any


def events(items: list[dict[str, Any]]) -> str:
    """A stream of events that have names."""
    return "".join(f"event: {item['type']}\ndata: {json.dumps(item)}\n\n" for item in items)
