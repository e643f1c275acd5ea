"""A chat server on the loopback that replays recorded answers and keeps what it was asked."""

import asyncio
import json
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from reasoning.vlm.endpoint import Endpoint
from reasoning.vlm.openai_client import ChatClient


@dataclass
class Replay:
    """What will be answered, in order, and what was asked.

    A text is streamed (or completed) in pieces of `chunk` characters; a dict is a function call; a
    number is an HTTP status.
    """

    answers: deque[str | dict[str, Any] | int]
    chunk: int = 7
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.requests.append(body)
        self.headers.append(dict(request.headers))
        answer = self.answers.popleft() if self.answers else ""
        if isinstance(answer, int):
            return web.Response(status=answer, text="the server says no")
        if not body.get("stream"):
            message = {"role": "assistant", "content": answer}
            choices = [{"index": n, "message": message} for n in range(body.get("n", 1))]
            return web.json_response({"choices": choices})
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for delta in self._deltas(answer):
            event = {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
            await response.write(f"data: {json.dumps(event)}\n\n".encode())
        await response.write(b": a comment\n\ndata: [DONE]\n\n")
        return response

    def _deltas(self, answer: str | dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield {"role": "assistant", "content": ""}
        if isinstance(answer, str):
            for start in range(0, len(answer), self.chunk):
                yield {"content": answer[start : start + self.chunk]}
            return
        if answer.get("said"):
            yield {"content": answer["said"]}
        name, words = answer["name"], answer["arguments"]
        yield {"tool_calls": [{"index": 0, "id": "call-1", "function": {"name": name}}]}
        for start in range(0, len(words), self.chunk):
            piece = {"arguments": words[start : start + self.chunk]}
            yield {"tool_calls": [{"index": 0, "function": piece}]}


@contextmanager
def chat_server(
    answers: Sequence[str | dict[str, Any] | int], chunk: int = 7
) -> Iterator[tuple[ChatClient, Replay]]:
    """A client of a server that runs in a thread of its own while the block does."""
    replay = Replay(deque(answers), chunk)
    loop = asyncio.new_event_loop()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", replay.handle)
    runner = web.AppRunner(app)

    async def start() -> int:
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port: int = runner.addresses[0][1]
        return port

    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        port = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
        endpoint = Endpoint.parse(f"openai:http://127.0.0.1:{port}/v1#tiny")
        yield ChatClient(endpoint), replay
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
