"""How long a connection may take to say what it wants: strangers must not hold sockets open."""

import asyncio
from collections.abc import Awaitable, Callable
from weakref import WeakKeyDictionary, WeakSet

from aiohttp import web

from stream.clock import NS_PER_S, Clock

HEADERS_S = 10.0  # from the connection to the end of its first request's headers
KEEPALIVE_S = 30.0  # to the end of the next request's; aiohttp sees to that
SWEEP_NS = NS_PER_S // 2
MAX_SILENT = 256  # connections without a request; more are sent off, the oldest first


class Patience:
    """Sends off connections that ask for nothing; aiohttp waits for a first request for ever."""

    def __init__(self, clock: Clock, headers_s: float = HEADERS_S) -> None:
        self._clock, self._headers_ns = clock, round(headers_s * NS_PER_S)
        self._since: WeakKeyDictionary[asyncio.Transport, int] = WeakKeyDictionary()
        self._spoken: WeakSet[asyncio.BaseTransport] = WeakSet()  # whose headers came whole

    def watch(self, app: web.Application) -> None:
        """Take note of every request whose headers have come."""

        @web.middleware
        async def note(
            request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
        ) -> web.StreamResponse:
            if request.transport is not None:
                self._spoken.add(request.transport)
            return await handler(request)

        app.middlewares.insert(0, note)

    async def send_off(self, runner: web.AppRunner) -> None:
        """Do so until cancelled."""
        while True:
            await self._clock.sleep_until(self._clock.now_ns() + SWEEP_NS)
            self.sweep(runner)

    def sweep(self, runner: web.AppRunner) -> None:
        """Close what has been silent for too long, or is too much of it."""
        now_ns = self._clock.now_ns()
        server = runner.server
        connections = [] if server is None else server.connections
        transports = [one.transport for one in connections if one.transport is not None]
        silent = [one for one in transports if one not in self._spoken]
        for one in silent:
            self._since.setdefault(one, now_ns)
        silent.sort(key=lambda one: self._since[one])
        surplus = max(0, len(silent) - MAX_SILENT)
        for number, one in enumerate(silent):
            if number < surplus or now_ns - self._since[one] >= self._headers_ns:
                one.abort()
