"""A live server over doubles on a real port, and clients of it, for tests."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import aiohttp
from aiohttp import web
from aiortc import AudioStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from foveal.live.engine import Engine
from foveal.server.app import LiveServer, ServeConfig
from tests.doubles.webrtc import NumberCamera
from tests.foveal.live.live_rig import fake_engine, until, validators


class Site:
    """The server; clients check every message against the schema."""

    def __init__(
        self, config: ServeConfig, engine: Engine | None = None, network: Any = None
    ) -> None:
        """`network` is an aiohttp middleware between the clients and the server."""
        self._config, self._engine = config, engine or fake_engine()
        self._network = network

    async def __aenter__(self) -> "Site":
        self.server = LiveServer(self._config)
        app = self.server.application()
        if self._network is not None:
            app.middlewares.append(self._network)
        self.runner = web.AppRunner(app, shutdown_timeout=1.0)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self.runner.addresses[0][1]}"
        self.http = aiohttp.ClientSession(self.url)
        await self.server.load(lambda: self._engine)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.runner.cleanup()
        await self.http.close()

    async def socket(
        self, query: str = "", protocols: Sequence[str] = ("foveal.v1",), **headers: str
    ) -> "SocketClient":
        """A WebSocket client; raises aiohttp.WSServerHandshakeError when refused."""
        connection = await self.http.ws_connect(
            f"/events{query}", protocols=protocols, headers=headers
        )
        return SocketClient(connection)


class Client:
    """Keeps what it hears, all of it checked."""

    def __init__(self) -> None:
        self.heard: list[dict[str, Any]] = []

    def take(self, text: str) -> None:
        message = json.loads(text)
        validators()["server"].validate(message)
        self.heard.append(message)

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.heard if message["type"] == kind]

    async def until(self, kind: str, count: int = 1, timeout_s: float = 15.0) -> dict[str, Any]:
        await until(lambda: len(self.of(kind)) >= count, timeout_s)
        return self.of(kind)[count - 1]

    @property
    def seq(self) -> int:
        return int(max(message.get("seq", 0) for message in self.heard))


class SocketClient(Client):
    """Over the WebSocket."""

    def __init__(self, socket: Any) -> None:
        super().__init__()
        self.socket = socket
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for message in self.socket:
            self.take(message.data)

    async def say(self, kind: str, **data: Any) -> None:
        message = {"v": 1, "type": kind, **data}
        validators()["client"].validate(message)
        await self.socket.send_str(json.dumps(message))

    async def close(self) -> None:
        await self.socket.close()
        await self._reading


class PeerClient(Client):
    """A browser's place, taken by aiortc: camera, microphone, ears and a data channel."""

    def __init__(self, fps: int = 15) -> None:
        super().__init__()
        self.peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.tracks: list[Any] = []
        self.peer.on("track", self.tracks.append)
        self.channel = self.peer.createDataChannel("events")
        self.channel.on("message", self.take)
        self.peer.addTrack(NumberCamera(fps=fps))
        self.peer.addTrack(AudioStreamTrack())
        self.location = ""

    async def connect(self, site: Site, query: str = "", **headers: str) -> int:
        """Returns the status of the offer."""
        await self.peer.setLocalDescription(await self.peer.createOffer())
        response = await site.http.post(
            f"/session{query}",
            data=self.peer.localDescription.sdp,
            headers={"Content-Type": "application/sdp", **headers},
        )
        if response.status == 201:
            self.location = response.headers["Location"]
            answer = RTCSessionDescription(await response.text(), "answer")
            await self.peer.setRemoteDescription(answer)
        return int(response.status)

    def say(self, kind: str, **data: Any) -> None:
        message = {"v": 1, "type": kind, **data}
        validators()["client"].validate(message)
        self.channel.send(json.dumps(message))

    async def close(self) -> None:
        await self.peer.close()
