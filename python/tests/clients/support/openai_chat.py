"""The protocol of OpenCode and of most local model servers: POST /v1/chat/completions."""

from __future__ import annotations

import json
from typing import Any

from clients.support.script import Call, Script


def answer(body: dict[str, Any], script: Script) -> dict[str, Any] | str:
    """What the model answers."""
    results = [_text(message["content"]) for message in body["messages"] if message["role"] == "tool"]
    message, reason = _message(script.next([tool["function"]["name"] for tool in body.get("tools", [])], results))
    about = {"id": "chat_1", "created": 0, "model": body["model"]}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    if not body.get("stream"):
        choice = {"index": 0, "message": message, "finish_reason": reason}
        return {**about, "object": "chat.completion", "choices": [choice], "usage": usage}
    about["object"] = "chat.completion.chunk"
    chunks = [
        {**about, "choices": [{"index": 0, "delta": message, "finish_reason": None}]},
        {**about, "choices": [{"index": 0, "delta": {}, "finish_reason": reason}], "usage": usage},
    ]
    return "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"


def _text(content: str | list[dict[str, Any]]) -> str:
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def _message(said: Call | str) -> tuple[dict[str, Any], str]:
    if isinstance(said, str):
        return {"role": "assistant", "content": said}, "stop"
    function = {"name": said.tool, "arguments": said.arguments}
    call = {"index": 0, "id": f"call_{said.number}", "type": "function", "function": function}
    return {"role": "assistant", "content": None, "tool_calls": [call]}, "tool_calls"
