"""A chat server on the loopback that replays recorded answers and keeps what it was asked."""

import asyncio
import contextlib
import json
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp import web

from reasoning.vlm.openai_client import ChatClient
from reasoning.vlm.wire.endpoint import Endpoint
from stream.outgoing import OutgoingLog


@dataclass(frozen=True)
class Raw:
    """Bytes as they go over the wire, and what happens behind them."""

    body: bytes | str = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    then: Literal["end", "cut", "stall"] = "end"  # the connection is cut, or nothing more comes
    times: int = 1  # that the body is sent


Script = str | dict[str, Any] | int | Raw


@dataclass
class Replay:
    """What will be answered, in order, and what was asked.

    A text is streamed (or completed) in pieces of `chunk` characters; a dict is a function call; a
    number is an HTTP status.
    """

    answers: deque[Script]
    chunk: int = 7
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    peers: list[object] = field(default_factory=list)  # address of each request's connection
    stalling: asyncio.Event = field(default_factory=asyncio.Event)
    gone: threading.Event = field(default_factory=threading.Event)  # a stalled client left

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.requests.append(body)
        self.headers.append(request.headers.copy())
        self.peers.append(request.transport and request.transport.get_extra_info("peername"))
        answer = self.answers.popleft() if self.answers else ""
        if isinstance(answer, Raw):
            return await self._raw(request, answer)
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
        reason = "stop" if isinstance(answer, str) else "tool_calls"
        event = {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}
        await response.write(f"data: {json.dumps(event)}\n\n".encode())
        await response.write(b": a comment\n\ndata: [DONE]\n\n")
        return response

    async def _raw(self, request: web.Request, answer: Raw) -> web.StreamResponse:
        head = {"Content-Type": "text/event-stream", **answer.headers}
        response = web.StreamResponse(status=answer.status, headers=head)
        await response.prepare(request)
        body = answer.body.encode() if isinstance(answer.body, str) else answer.body
        with contextlib.suppress(ConnectionError):
            for _ in range(answer.times):
                await response.write(body)
        if answer.then == "cut" and request.transport is not None:
            request.transport.abort()
        if answer.then == "stall":
            try:
                await self.stalling.wait()
            except asyncio.CancelledError:
                self.gone.set()
                raise
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
    answers: Sequence[Script],
    chunk: int = 7,
    model: str = "tiny",
    log: OutgoingLog | None = None,
    **endpoint: Any,
) -> Iterator[tuple[ChatClient, Replay]]:
    """A client of a server that runs in a thread of its own while the block does.

    `log`: told of every request; `endpoint`: more fields of the client's Endpoint.
    """
    replay = Replay(deque(answers), chunk)
    loop = asyncio.new_event_loop()
    app = web.Application(client_max_size=1 << 24)
    app.router.add_post("/v1/chat/completions", replay.handle)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)

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
        served = Endpoint(f"http://127.0.0.1:{port}/v1", model, **endpoint)
        yield ChatClient(served, log), replay
    finally:
        loop.call_soon_threadsafe(replay.stalling.set)
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
