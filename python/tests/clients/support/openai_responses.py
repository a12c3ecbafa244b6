"""The protocol of Codex and of the `openai` package: POST /v1/responses."""

from __future__ import annotations

from typing import Any

from clients.support.script import Call, Script
from clients.support.stream import events


def answer(body: dict[str, Any], script: Script) -> dict[str, Any] | str:
    """What the model answers."""
    namespaces = _offered(body.get("tools", []))
    item = _item(script.next(list(namespaces), _results(body)), namespaces)
    response = {
        "id": "resp_1",
        "object": "response",
        "created_at": 0,
        "model": body["model"],
        "status": "completed",
        "output": [item],
        "parallel_tool_calls": False,
        "tool_choice": "auto",
        "tools": [],
        "usage": _usage(),
    }
    return events(_stream(response, item)) if body.get("stream") else response


def _offered(tools: list[dict[str, Any]]) -> dict[str, str | None]:
    """The names of the tools, each with the namespace that it is in."""
    found: dict[str, str | None] = {}
    for tool in tools:
        if tool.get("type") == "namespace":
            found.update({inner["name"]: tool["name"] for inner in tool["tools"]})
        elif "name" in tool:
            found[tool["name"]] = None
    return found


def _results(body: dict[str, Any]) -> list[str]:
    items = body["input"] if isinstance(body["input"], list) else []
    return [_text(item["output"]) for item in items if item.get("type") == "function_call_output"]


def _text(output: str | list[dict[str, Any]]) -> str:
    return output if isinstance(output, str) else "".join(part.get("text", "") for part in output)


def _item(said: Call | str, namespaces: dict[str, str | None]) -> dict[str, Any]:
    if isinstance(said, str):
        content = [{"type": "output_text", "text": said, "annotations": []}]
        return {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": content}
    item = {
        "type": "function_call",
        "id": f"fc_{said.number}",
        "call_id": f"call_{said.number}",
        "name": said.tool,
        "arguments": said.arguments,
        "status": "completed",
    }
    namespace = namespaces.get(said.tool)
    return {**item, "namespace": namespace} if namespace else item


def _usage() -> dict[str, Any]:
    details = {"input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}}
    return {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2, **details}


def _stream(response: dict[str, Any], item: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"type": "response.created", "response": {**response, "output": [], "status": "in_progress"}},
        {"type": "response.output_item.added", "output_index": 0, "item": item},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": response},
    ]
