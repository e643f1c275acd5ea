"""A seeded UDP relay between two peers: everything they exchange passes through a bad network."""

import asyncio
import random
import re
from collections import deque
from typing import Any

CANDIDATE = re.compile(r"a=candidate:(\S+) 1 udp (\d+) (\d+\.\d+\.\d+\.\d+) (\d+) typ host.*", re.I)
Address = tuple[str, int]


class _Port(asyncio.DatagramProtocol):
    """One socket of the relay."""

    def __init__(self, relay: "UdpRelay", upward: bool) -> None:
        self.relay, self.upward = relay, upward

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, address: Any) -> None:
        self.relay.passed(data, address[:2], self)


class UdpRelay:
    """Loses, delays, reorders, doubles or holds datagrams (STUN, DTLS, RTP, RTCP, SCTP alike).

    The client sees the server at the relay's near port, the server sees the client at its far
    port; `move` changes the far port, as a change from Wi-Fi to cellular does.
    """

    def __init__(
        self, loss: float = 0.0, jitter_ms: float = 0.0, duplicates: float = 0.0, seed: int = 1
    ) -> None:
        self.loss, self.jitter_ms, self.duplicates = loss, jitter_ms, duplicates
        self.down = False
        self.lost = self.carried = 0
        self._random = random.Random(seed)
        self._client: Address | None = None
        self._server: Address | None = None
        self._near: _Port | None = None
        self._far: _Port | None = None
        self._held: deque[asyncio.TimerHandle] = deque(maxlen=4096)

    async def client_offer(self, sdp: str) -> str:
        """The client's description as the server gets it."""
        host, self._client = _address(sdp)
        self._near = await self._open(host, upward=True)
        self._far = await self._open(host, upward=False)
        return _spliced(sdp, self._port(self._far))

    def server_answer(self, sdp: str) -> str:
        """The server's description as the client gets it."""
        assert self._near is not None
        _, self._server = _address(sdp)
        return _spliced(sdp, self._port(self._near))

    async def browser_answer(self, sdp: str) -> str:
        """The server's description as a browser gets it; the first that writes is the client.

        For a client whose candidates the server never hears of.
        """
        host, self._server = _address(sdp)
        self._near = await self._open(host, upward=True)
        self._far = await self._open(host, upward=False)
        return _spliced(sdp, self._port(self._near))

    async def move(self) -> None:
        """From now on the client's datagrams come from another address; the old one is gone."""
        assert self._far is not None
        old = self._far
        self._far = await self._open(old.transport.get_extra_info("sockname")[0], upward=False)
        old.transport.close()

    def close(self) -> None:
        for held in self._held:
            held.cancel()
        for port in (self._near, self._far):
            if port is not None:
                port.transport.close()

    def passed(self, data: bytes, source: Address, port: _Port) -> None:
        """One datagram came in."""
        if port.upward and self._client is None:
            self._client = source
        if source != (self._client if port.upward else self._server):
            return  # another interface of the same peer: one way is enough
        if self.down or self._random.random() < self.loss:
            self.lost += 1
            return
        loop = asyncio.get_running_loop()
        for _ in range(2 if self._random.random() < self.duplicates else 1):
            delay_s = self._random.random() * self.jitter_ms / 1000
            self._held.append(loop.call_later(delay_s, self._forward, data, port.upward))

    def _forward(self, data: bytes, upward: bool) -> None:
        out, target = (self._far, self._server) if upward else (self._near, self._client)
        if out is not None and not out.transport.is_closing():
            self.carried += 1
            out.transport.sendto(data, target)

    async def _open(self, host: str, upward: bool) -> _Port:
        loop = asyncio.get_running_loop()
        _, port = await loop.create_datagram_endpoint(
            lambda: _Port(self, upward), local_addr=(host, 0)
        )
        return port

    def _port(self, port: _Port) -> int:
        return int(port.transport.get_extra_info("sockname")[1])


def _address(sdp: str) -> tuple[str, Address]:
    found = CANDIDATE.search(sdp)
    assert found is not None, f"expected an IPv4 host candidate in {sdp}"
    return found[3], (found[3], int(found[4]))


def _spliced(sdp: str, port: int) -> str:
    """The same description with one candidate per section: that port of the same host."""
    host, _ = _address(sdp)
    lines: list[str] = []
    for line in sdp.splitlines():
        if line.startswith("a=candidate:"):
            continue
        if line.startswith("a=end-of-candidates"):
            lines.append(f"a=candidate:1 1 udp 2130706431 {host} {port} typ host")
        lines.append(line)
    return "\r\n".join(lines) + "\r\n"
