"""A model that makes mistakes and then does what it is told, to the letter.

It knows nothing of pyro but what every model is given: the tools with their schemas, and the text of each result. What
it does next stands in that text, or it gives up. So a failure that does not say what to do next fails the test.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from clients.support.tools import Tools, text_of

#: How often it tries before it gives up.
PATIENCE = 4

FAILURE = re.compile(r"error \((?P<kind>[a-z_]+)\): (?P<message>.+)\nhint: (?P<hint>.+)", re.DOTALL)
EXAMPLE = re.compile(r"(?:did you mean|such as|for example:?) `?([^`\s,]+)")
RANGE = re.compile(r"([a-z_]+) is \S+, which is not in \d+ to (\d+)")
ADVICE = re.compile(r"run `([^`]+)`")
LEFT_OUT = re.compile(r"\n\[\.\.\. \d+ bytes are left out here, from byte (\d+) on: ([a-z_]+) with sequence=(\d+) .*")

Arguments = dict[str, Any]


@dataclass
class Pupil:
    """The tools, what it knows to begin with, which calls it made, and what it was told when one failed."""

    tools: Tools
    knows: Arguments
    used: list[str] = field(default_factory=list)
    failures: list[dict[str, str]] = field(default_factory=list)

    async def pursue(self, tool: str, **arguments: Any) -> Arguments:
        """Makes a call. As long as it fails, does what the answer says, and makes it again."""
        for _ in range(PATIENCE):
            failed, text = await self._call(tool, arguments)
            if failed:
                arguments = await self._obey(text, tool, arguments)
            elif not (result := json.loads(text)).get("exit_code"):
                return dict(result)
            else:
                await self._take_advice(result, arguments)
        raise AssertionError(f"{tool} went wrong {PATIENCE} times: {self.failures}")

    async def read_on(self, shown: str, arguments: Arguments, n_pages: int) -> str:
        """Reads an output from its beginning, of which it was shown the two ends. At each place where something is left out
        it calls the tool that is named there, with the numbers that stand there, and gives what it has read so far."""
        pages = ""
        for _ in range(n_pages):
            left_out = LEFT_OUT.search(shown)
            assert left_out, f"the model is not shown how to read on: {shown[-1000:]}"
            pages += shown[: left_out.start()]
            self.used.append(left_out[2])
            offset = {"sequence": int(left_out[3]), "offset": int(left_out[1])}
            result = await self.tools.call(left_out[2], **arguments, **offset)
            assert not result.is_error, text_of(result)
            shown = json.loads(text_of(result))["entries"][0]["stdout"]
        return pages

    async def _call(self, tool: str, arguments: Arguments) -> tuple[bool, str]:
        self.used.append(tool)
        result = await self.tools.call(tool, **arguments)
        return bool(result.is_error), text_of(result)

    async def _obey(self, text: str, tool: str, arguments: Arguments) -> Arguments:
        """The arguments of the next attempt."""
        failure = FAILURE.fullmatch(text)
        assert failure, f"no kind, message and hint: {text}"
        self.failures.append(failure.groupdict())
        message, hint = failure["message"], failure["hint"]
        if allowed := RANGE.search(message):
            return {**arguments, allowed[1]: int(allowed[2])}
        wrong = next((name for name, value in arguments.items() if f"`{value}`" in message), None)
        if wrong and (example := EXAMPLE.search(hint)):
            return {**arguments, wrong: example[1]}
        if others := [word for word in re.findall("[a-z_]+", hint) if word in self.tools.schemas and word != tool]:
            return await self._ask(others[0], arguments, wrong)
        misnamed, missing = self._unfitting(tool, arguments)
        assert misnamed and all(name in hint for name in missing), f"this does not say what to do next: {text}"
        renamed = dict(zip(misnamed, missing, strict=True))
        return {renamed.get(name, name): value for name, value in arguments.items()}

    async def _ask(self, tool: str, arguments: Arguments, wrong: str | None) -> Arguments:
        """Calls the tool that a hint names, and takes from its answer what was wrong or what it advises."""
        known = {**self.knows, **arguments}
        failed, text = await self._call(tool, {name: known[name] for name in self._required(tool)})
        assert not failed, text
        answer = json.loads(text)
        if advice := ADVICE.search(answer.get("stdout", "") + answer.get("stderr", "")):
            return {**arguments, "command": advice[1]}
        assert wrong and wrong in answer, f"{tool} does not tell about {wrong}: {text}"
        return {**arguments, wrong: answer[wrong]}

    async def _take_advice(self, result: Arguments, arguments: Arguments) -> None:
        """A command has failed: does first what the program printed."""
        advice = ADVICE.search(result["stderr"])
        assert advice, f"the model is not shown why the command failed: {result}"
        failed, text = await self._call("workspace_exec", {**arguments, "command": advice[1]})
        assert not failed, text

    def _unfitting(self, tool: str, arguments: Arguments) -> tuple[list[str], list[str]]:
        """Arguments that the tool does not take, and those that it wants instead."""
        misnamed = [name for name in arguments if name not in self._schema(tool)["properties"]]
        return misnamed, [name for name in self._required(tool) if name not in arguments]

    def _schema(self, tool: str) -> Arguments:
        return next(it.input_schema for it in self.tools.listed.tools if it.name == tool)

    def _required(self, tool: str) -> list[str]:
        return list(self._schema(tool).get("required", []))
