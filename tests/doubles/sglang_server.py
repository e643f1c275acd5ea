"""SGLang's sessions on the loopback, held to their published form; no model answers, a script does.

After sgl-project/sglang: entrypoints/http_server.py, managers/io_struct.py (the fields),
session/session_controller.py at 008b79d2 (what a request goes on from, what is aborted and with
which words), test/registered/sessions/test_session_control.py and test_session_mrope.py (texts,
pictures, `max_new_tokens: 0` for reading alone).
"""

import asyncio
import json
import threading
import uuid
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

FIELDS = {"text", "image_data", "session_params", "sampling_params", "stream"}
SESSION = {"id", "rid", "offset", "replace"}
TOKENS_OF_PICTURE = 64


@dataclass
class Read:
    """A finished request of a session."""

    text: str  # all that the model has before it, and what it wrote
    pictures: tuple[str, ...]


@dataclass
class SglangServer:
    """What is asked is kept; `answers` are given in turn, a few characters an event."""

    token: str = "<|vision_start|><|image_pad|><|vision_end|>"
    answers: deque[str] = field(default_factory=deque)
    sessions: dict[str, dict[str, Read]] = field(default_factory=dict)
    requests: list[tuple[str, dict[str, Any]]] = field(default_factory=list)  # path, body
    prompts: list[Read] = field(default_factory=list)  # what the model had before each answer
    routes: bool = True  # whether it is SGLang at all
    incremental: bool = False
    breaks_after: int | None = None  # characters of an answer after which the connection ends
    old_aborts: bool = False  # an abort has no status of its own, as before 2025
    max_req_input_len: int = 32_000
    holds: threading.Event | None = None  # an append waits for it
    url: str = ""

    def restart(self) -> None:
        """All sessions are gone."""
        self.sessions.clear()

    def bodies(self, path: str) -> list[dict[str, Any]]:
        """What was asked at a path."""
        return [body for asked, body in list(self.requests) if asked == path]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.json() if request.can_read_body else {}
        self.requests.append((request.path, body))
        if request.path == "/v1/chat/completions":
            return await self._chat(request)
        if not self.routes:
            return web.json_response({"detail": "Not Found"}, status=404)
        if request.path == "/server_info":
            told = {"incremental_streaming_output": self.incremental}
            return web.json_response({**told, "max_req_input_len": self.max_req_input_len})
        if request.path == "/open_session":
            return self._open(body)
        if request.path == "/close_session":
            self.sessions.pop(body["session_id"], None)  # an unknown one is logged, no more
            return web.Response()
        return await self._generate(request, body)

    def _open(self, body: dict[str, Any]) -> web.Response:
        assert isinstance(body["capacity_of_str_len"], int)
        name = body.get("session_id") or uuid.uuid4().hex
        if name in self.sessions:
            return _error("Failed to open the session. Check if a session with the same id …")
        self.sessions[name] = {}
        return web.json_response(name)

    async def _generate(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        assert set(body) <= FIELDS and set(body["session_params"]) <= SESSION, body
        name, parent = body["session_params"]["id"], body["session_params"].get("rid")
        streamed = bool(body.get("stream"))
        session = self.sessions.get(name)
        if session is None:
            message = f"Invalid request: session id {name} does not exist"
            return await self._abort(request, message, streamed)
        if parent is not None and parent not in session:
            return await self._abort(request, "Invalid request session id", streamed)
        if self.holds is not None and not streamed:
            await asyncio.get_running_loop().run_in_executor(None, self.holds.wait, 10)
        before = session[parent] if parent else Read("", ())
        given = tuple(body.get("image_data") or ())
        if body["text"].count(self.token) != len(given):
            return _error("Mismatch between the pictures and their tokens")
        prompt = Read(before.text + body["text"], before.pictures + given)
        most = body["sampling_params"]["max_new_tokens"]
        answer = "" if most == 0 else self.answers.popleft()
        if most:
            self.prompts.append(prompt)
        rid = uuid.uuid4().hex
        session[rid] = Read(prompt.text + answer, prompt.pictures)
        tokens = len(prompt.text) // 4 + TOKENS_OF_PICTURE * len(prompt.pictures)
        meta = {"id": rid, "prompt_tokens": tokens, "completion_tokens": len(answer)}
        if not streamed:
            ended = {"type": "length", "length": most}
            return web.json_response({"text": answer, "meta_info": meta | {"finish_reason": ended}})
        return await self._stream(request, answer, meta)

    async def _stream(
        self, request: web.Request, answer: str, meta: dict[str, Any]
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for start in range(0, max(1, len(answer)), 5):
            if self.breaks_after is not None and start >= self.breaks_after:
                assert request.transport is not None
                request.transport.abort()
                return response
            end = min(start + 5, len(answer))
            finish = {"type": "stop", "matched": 151645} if end == len(answer) else None
            words = answer[start:end] if self.incremental else answer[:end]
            event = {"text": words, "meta_info": meta | {"finish_reason": finish}}
            await response.write(f"data: {json.dumps(event)}\n\n".encode())
        await response.write(b"data: [DONE]\n\n")
        return response

    async def _abort(
        self, request: web.Request, message: str, streamed: bool
    ) -> web.StreamResponse:
        finish = {"type": "abort", "message": message}
        event: dict[str, Any] = {"error": {"message": message}}
        if self.old_aborts:
            event = {"text": "", "meta_info": {"id": "x", "finish_reason": finish}}
        if not streamed:
            return web.json_response(event) if self.old_aborts else _error(message)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(f"data: {json.dumps(event)}\n\ndata: [DONE]\n\n".encode())
        return response

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        answer = self.answers.popleft()
        for delta, reason in (({"content": answer}, None), ({}, "stop")):
            event = {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}
            await response.write(f"data: {json.dumps(event)}\n\n".encode())
        await response.write(b"data: [DONE]\n\n")
        return response


def _error(message: str) -> web.Response:
    return web.json_response({"error": {"message": message}}, status=400)


@contextmanager
def served(server: SglangServer) -> Iterator[SglangServer]:
    """The server on a free port, in a thread of its own."""
    loop = asyncio.new_event_loop()
    app = web.Application(client_max_size=1 << 24)
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)

    async def start() -> int:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port: int = runner.addresses[0][1]
        return port

    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        port = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
        server.url = f"http://127.0.0.1:{port}/v1"
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
