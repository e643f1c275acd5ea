"""What strangers learn of a server, and how long they may hold its sockets."""

import asyncio
import contextlib

import pytest
from aiohttp import web

from foveal.server.app import LiveServer, ServeConfig
from foveal.server.transport.patience import MAX_SILENT, Patience
from stream.clock import MonotonicClock
from tests.foveal.server.serve_rig import Site
from tests.foveal.server.test_authority import bearer, grants


async def test_ready_tells_strangers_no_more_than_whether_to_try() -> None:
    async with Site(ServeConfig(grants)) as site:
        told = await (await site.http.get("/ready")).json()
        assert told == {"status": "ready", "protocol": 1, "token_needed": True}
        wrong = await site.http.get("/ready", headers=bearer("guess"))
        assert (await wrong.json()).keys() == told.keys()
        known = await (await site.http.get("/ready", headers=bearer("screen"))).json()
        assert known["camera"] is False and known["sessions"] == 0
    async with Site(ServeConfig()) as site:  # this machine only
        assert "camera" in await (await site.http.get("/ready")).json()


class Door:
    """A server with little patience on a port."""

    async def __aenter__(self) -> "Door":
        self.patience = Patience(MonotonicClock(), 0.3)
        app = LiveServer(ServeConfig()).application()
        self.patience.watch(app)
        self.runner = web.AppRunner(app, shutdown_timeout=1.0, keepalive_timeout=0.3)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", 0).start()
        self.task = asyncio.create_task(self.patience.send_off(self.runner))
        return self

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        await self.runner.cleanup()

    async def knock(self, begin: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(*self.runner.addresses[0][:2])
        writer.write(begin)
        return reader, writer


GET = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"


@pytest.mark.parametrize("begin", [b"", b"G", GET, GET + b"\r\n" + GET])
async def test_who_never_ends_its_headers_is_sent_off(begin: bytes) -> None:
    async with Door() as door:
        reader, writer = await door.knock(begin)
        for _ in range(8):  # a header now and then keeps nothing open
            await asyncio.sleep(0.05)
            writer.write(b"X-More: 1\r\n" if begin else b"")
        async with asyncio.timeout(5):
            with contextlib.suppress(ConnectionError):
                await reader.read()
        writer.close()


async def test_who_asks_in_time_is_answered_meanwhile() -> None:
    async with Door() as door:
        silent = [await door.knock(b"") for _ in range(MAX_SILENT + 8)]
        reader, writer = await door.knock(GET + b"Connection: close\r\n\r\n")
        async with asyncio.timeout(5):
            assert b"200 OK" in await reader.read()
            for one, _ in silent:
                with contextlib.suppress(ConnectionError):
                    assert await one.read() == b""
        for _, out in (*silent, (reader, writer)):
            out.close()
