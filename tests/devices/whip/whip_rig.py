"""WHIP and WHEP endpoints over real HTTP; tests import its fixtures start and camera_offer."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest_asyncio
from aiohttp import web
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from devices.http.admission import hash_token
from devices.http.gate import GateConfig
from devices.whip.endpoint import (
    FRAGMENT,
    SDP,
    SessionHandler,
    SignalConfig,
    SignalServer,
    TrackMaker,
    build_app,
)
from devices.whip.sdp import Role
from devices.whip.session import PeerSession
from stream.clock import MonotonicClock
from tests.doubles.webrtc import NumberCamera, read_number

ROOT = Path(__file__).resolve().parents[3]
TOKEN = "let-me-in"
GATE = {field.name for field in dataclasses.fields(GateConfig)}
AUTH = {"Authorization": f"Bearer {TOKEN}"}


class Endpoint:
    """A running server, an HTTP client, and what the sessions' handlers saw."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self.url = url
        self.http = http
        self.numbers: list[int] = []
        self.sessions: list[PeerSession] = []
        self.ended = asyncio.Event()

    async def watch(self, session: PeerSession) -> None:
        """The handler: read the number in every frame."""
        self.sessions.append(session)
        assert session.video is not None
        async for frame in session.video.frames():
            self.numbers.append(read_number(frame.image))
        self.ended.set()

    async def post(self, body: str | bytes, **headers: str) -> aiohttp.ClientResponse:
        return await self.http.post(
            f"{self.url}/whip", data=body, headers={"Content-Type": SDP, **AUTH, **headers}
        )

    async def patch(self, location: str, body: str, **headers: str) -> int:
        sent = {"Content-Type": FRAGMENT, **AUTH, **headers}
        response = await self.http.patch(self.url + location, data=body, headers=sent)
        return response.status


Start = Callable[..., Any]


@pytest_asyncio.fixture
async def start() -> AsyncIterator[Start]:
    """Starts endpoints; they stop with the test."""
    cleanups: list[Any] = []

    async def run(
        handler: SessionHandler | None = None,
        role: Role = Role.PUBLISH,
        make_tracks: TrackMaker | None = None,
        **config: Any,
    ) -> Endpoint:
        http = aiohttp.ClientSession()
        endpoint = Endpoint("", http)
        gate: dict[str, Any] = {"token_digests": (hash_token(TOKEN),), "burst": 100}
        gate |= {name: config.pop(name) for name in GATE & config.keys()}
        settings = SignalConfig(gate=GateConfig(**gate), **config)
        handler = handler or endpoint.watch
        server = SignalServer(settings, handler, MonotonicClock(), role, make_tracks)
        app = build_app(server)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        endpoint.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        cleanups.extend([http.close, runner.cleanup])
        return endpoint

    yield run
    for cleanup in cleanups:
        await cleanup()


@pytest_asyncio.fixture
async def camera_offer() -> AsyncIterator[tuple[Any, str]]:
    """(a stock aiortc connection with a camera, its offer)."""
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    connection.addTransceiver(NumberCamera(fps=30), direction="sendonly")
    await connection.setLocalDescription(await connection.createOffer())
    yield connection, connection.localDescription.sdp
    await connection.close()


async def until(condition: Callable[[], bool], timeout_s: float = 8.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.01)


async def connect(endpoint: Endpoint, connection: Any, path: str = "/whip") -> None:
    await connection.setLocalDescription(await connection.createOffer())
    response = await endpoint.http.post(
        endpoint.url + path,
        data=connection.localDescription.sdp,
        headers={"Content-Type": SDP, **AUTH},
    )
    assert response.status == 201, await response.text()
    answer = RTCSessionDescription(await response.text(), "answer")
    await connection.setRemoteDescription(answer)
