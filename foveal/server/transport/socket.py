"""The messages of a session over a WebSocket: the same as on the data channel."""

import asyncio
import logging
from dataclasses import dataclass
from typing import Protocol

from aiohttp import WSMsgType, web

from devices.http.admission import Grant
from devices.http.gate import Gate
from devices.http.problems import Problem
from foveal.live.access import Access, Right
from foveal.live.message_log import VOLATILE, Message
from foveal.live.protocol.client import MAX_MESSAGE_CHARS
from foveal.live.protocol.wire import encode
from foveal.live.registry import Rooms
from foveal.live.room import Room

logger = logging.getLogger(__name__)

PROTOCOL = "foveal.v1"
BEARER = "bearer."  # browsers cannot set headers: the token comes as a second sub-protocol
MAX_QUEUED = 512  # messages that wait for a slow client; then it is gone
MAX_VOLATILE = 16  # with so many waiting, masks are left out
HEARTBEAT_S = 20.0


class SocketHost(Protocol):
    """What the endpoint needs of its server."""

    rooms: Rooms

    def admit(self, name: str | None, grant: Grant, right: Right) -> tuple[Room, Access]:
        """The session of that name, or a new one, and what may be done there; or Problem."""

    def hello(self) -> Message:
        """What every client is told first."""

    async def barred(self, grant: Grant) -> None:
        """Return once that token is revoked or has expired."""


@dataclass(frozen=True, slots=True)
class Visit:
    """One client: by which token, what it may do, and the last message that it has."""

    grant: Grant
    access: Access
    after: int | None


class EventSocket:
    """The endpoint."""

    def __init__(
        self,
        gate: Gate,
        host: SocketHost,
    ) -> None:
        """`gate` throttles, and knows tokens and origins."""
        self._gate, self._host = gate, host

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """GET /events?conversation=ID&after=SEQ."""
        try:
            self._gate.throttle(request)
            self._gate.check_origin(request)
            grant = self._gate.check(_authorization(request))
            after = after_of(request.query.get("after"))
            room, access = self._host.admit(request.query.get("conversation"), grant, "view")
        except Problem as problem:
            return problem.response()
        room.enter()
        try:
            return await self._open(request, room, Visit(grant, access, after))
        finally:
            await self._host.rooms.leave(room)

    async def _open(self, request: web.Request, room: Room, visit: Visit) -> web.StreamResponse:
        socket = web.WebSocketResponse(
            protocols=(PROTOCOL,), heartbeat=HEARTBEAT_S, max_msg_size=4 * MAX_MESSAGE_CHARS
        )
        await socket.prepare(request)
        await self._live(socket, room, visit)
        return socket

    async def _live(self, socket: web.WebSocketResponse, room: Room, visit: Visit) -> None:
        queue: asyncio.Queue[Message | None] = asyncio.Queue(MAX_QUEUED)

        def send(message: Message) -> None:
            if message["type"] in VOLATILE and queue.qsize() >= MAX_VOLATILE:
                return
            queue.put_nowait(message)  # QueueFull: the log lets go of this client

        try:
            link = room.attach(send, visit.after, self._host.hello(), visit.access)
        except Problem as problem:
            await socket.close(code=1013, message=problem.detail.encode())
            return
        writer = asyncio.create_task(_write(socket, queue))
        ended = asyncio.create_task(_end(socket, room, queue))
        barred = asyncio.create_task(self._bar(socket, visit.grant))
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    room.receive(message.data, send, access=visit.access)
                elif message.type is not WSMsgType.PING:
                    break
        finally:
            room.detach(link)
            tasks = writer, ended, barred
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _bar(self, socket: web.WebSocketResponse, grant: Grant) -> None:
        await self._host.barred(grant)
        await socket.close(code=1008, message=b"this token was revoked, or has expired")


async def _write(socket: web.WebSocketResponse, queue: asyncio.Queue[Message | None]) -> None:
    while (message := await queue.get()) is not None:
        await socket.send_str(encode(message))


async def _end(
    socket: web.WebSocketResponse, room: Room, queue: asyncio.Queue[Message | None]
) -> None:
    """When the session ends, say what is left to say and hang up."""
    await room.closed.wait()
    while not queue.empty():
        await asyncio.sleep(0.01)
    await socket.close(code=1001, message=b"the session has ended")


def after_of(text: str | None) -> int | None:
    """The number of the last message that a client has; raises Problem 400."""
    if text is None or text == "":
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 15:
        raise Problem(400, "expected after=NUMBER of the last message")
    return int(text)


def _authorization(request: web.Request) -> str | None:
    header = request.headers.get("Authorization")
    if header is not None:
        return header
    offered = request.headers.get("Sec-WebSocket-Protocol", "").split(",")
    for protocol in map(str.strip, offered):
        if protocol.startswith(BEARER):
            return f"Bearer {protocol.removeprefix(BEARER)}"
    return None
