"""The protocol of Claude Code: POST /v1/messages."""

from __future__ import annotations

from typing import Any

from clients.support.script import Call, Script
from clients.support.stream import events


def answer(body: dict[str, Any], script: Script) -> dict[str, Any] | str:
    """What the model answers."""
    said = script.next([tool["name"] for tool in body.get("tools", []) if "name" in tool], _results(body))
    block, stop_reason = _block(said)
    message: dict[str, Any] = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }
    if not body.get("stream"):
        return {**message, "content": [block], "stop_reason": stop_reason, "stop_sequence": None}
    return events(_stream(message, said, block, stop_reason))


def _results(body: dict[str, Any]) -> list[str]:
    contents = [message["content"] for message in body["messages"] if isinstance(message["content"], list)]
    blocks = [block for content in contents for block in content if block.get("type") == "tool_result"]
    return [_text(block["content"]) for block in blocks]


def _text(content: str | list[dict[str, Any]]) -> str:
    return content if isinstance(content, str) else "".join(block.get("text", "") for block in content)


def _block(said: Call | str) -> tuple[dict[str, Any], str]:
    if isinstance(said, str):
        return {"type": "text", "text": said}, "end_turn"
    return {"type": "tool_use", "id": f"toolu_{said.number}", "name": said.tool, "input": {}}, "tool_use"


def _stream(
    message: dict[str, Any], said: Call | str, block: dict[str, Any], stop_reason: str
) -> list[dict[str, Any]]:
    if isinstance(said, str):
        block, delta = {"type": "text", "text": ""}, {"type": "text_delta", "text": said}
    else:
        delta = {"type": "input_json_delta", "partial_json": said.arguments}
    begun = {**message, "content": [], "stop_reason": None, "stop_sequence": None}
    ended = {"stop_reason": stop_reason, "stop_sequence": None}
    return [
        {"type": "message_start", "message": begun},
        {"type": "content_block_start", "index": 0, "content_block": block},
        {"type": "content_block_delta", "index": 0, "delta": delta},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": ended, "usage": {"output_tokens": 1}},
        {"type": "message_stop"},
    ]
