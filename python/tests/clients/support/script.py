"""What a stand-in model does: one tool call after another, then a last word.

Nothing is remembered from one request to the next: how far the conversation is stands in the conversation itself, in
the results of the tools that it holds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

#: The arguments of a call, made from the results of the calls before it, as a model would.
Arguments = Callable[[list[str]], dict[str, Any]]


@dataclass(frozen=True)
class Step:
    """One call of a tool."""

    tool: str
    arguments: Arguments


@dataclass(frozen=True)
class Call:
    """A call as it is sent: of the tool under the name that the client gave it."""

    number: int
    tool: str
    arguments: str


@dataclass
class Script:
    """The steps, and what came back of them."""

    steps: Sequence[Step]
    last_word: str = "That is all."
    results: list[str] = field(default_factory=list)
    offered: set[str] = field(default_factory=set)

    def next(self, offered: Sequence[str], results: Sequence[str]) -> Call | str:
        """What the model answers to a conversation that has these results so far."""
        if not any(self._is(step, name) for step in self.steps for name in offered):
            return "A title."  # Clients also ask for summaries, and offer no tools then.
        self.offered.update(offered)
        if len(results) > len(self.results):
            self.results = list(results)
        if len(results) >= len(self.steps):
            return self.last_word
        step = self.steps[len(results)]
        name = next((name for name in offered if self._is(step, name)), step.tool)
        return Call(len(results), name, json.dumps(step.arguments(list(results))))

    @staticmethod
    def _is(step: Step, name: str) -> bool:
        """Clients put the name of the server in front of the tool's."""
        return name == step.tool or name.endswith(f"_{step.tool}")


def fixed(**arguments: Any) -> Arguments:
    """Arguments that do not depend on anything."""
    return lambda _: arguments


def found(result: str, key: str) -> Any:
    """The value of a field in what a model was shown of a result: JSON, maybe with some words around it."""
    begin = result.index("{")
    return json.JSONDecoder().raw_decode(result[begin:])[0][key]
