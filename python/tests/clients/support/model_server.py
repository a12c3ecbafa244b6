"""A stand-in for the servers of models on this computer: real clients talk to it instead, without a network."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from clients.support import anthropic_messages, openai_chat, openai_responses
from clients.support.script import Script

#: What is answered to a request: JSON, or the events of a stream as they are sent.
Answer = dict[str, Any] | str

PROTOCOLS: dict[str, Callable[[dict[str, Any], Script], Answer]] = {
    "/v1/messages": anthropic_messages.answer,
    "/v1/messages/count_tokens": lambda body, script: {"input_tokens": 1},
    "/v1/responses": openai_responses.answer,
    "/v1/chat/completions": openai_chat.answer,
}


class ModelServer:
    """Serves a script under all protocols, on a port that is free, as long as the `with` block lasts."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.requests: list[dict[str, Any]] = []
        self.failures: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> ModelServer:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        assert error is not None or not self.failures, self.failures

    def answer(self, path: str, body: dict[str, Any]) -> Answer:
        """The answer to a request."""
        self.requests.append(body)
        protocol = PROTOCOLS.get(path.partition("?")[0])
        try:
            return protocol(body, self.script) if protocol else {}
        except Exception as error:
            self.failures.append(f"{path}: {error!r}, after {self.script.results}")
            raise


def _handler(server: ModelServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._send("application/json", b"")

        def do_GET(self) -> None:
            self._send("application/json", b'{"data": [], "models": []}')

        def do_POST(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            answer = server.answer(self.path, json.loads(self.rfile.read(length) or b"{}"))
            if isinstance(answer, str):
                self._send("text/event-stream", answer.encode())
            else:
                self._send("application/json", json.dumps(answer).encode())

        def _send(self, kind: str, content: bytes) -> None:
            self.send_response(200)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *arguments: Any) -> None:
            """Says nothing: the test tells what matters."""

    return Handler
