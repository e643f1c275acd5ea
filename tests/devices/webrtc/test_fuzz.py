"""Anything at all over HTTP: never a 5xx, never a session without the token, always a reason."""

import asyncio
import http.client
import json
import string
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import web
from aiortc import RTCConfiguration, RTCPeerConnection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devices.http.admission import hash_token
from devices.http.gate import GateConfig
from devices.whip.endpoint import FRAGMENT, SDP, SignalConfig, SignalServer, build_app
from devices.whip.sdp import Role
from devices.whip.session import PeerSession
from stream.clock import MonotonicClock

TOKEN = "let-me-in"
AUTH = {"Content-Type": SDP, "Authorization": f"Bearer {TOKEN}"}
BOUNDED = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@dataclass(slots=True)
class Endpoint:
    """A server on a thread of its own, so that hypothesis can call it without a loop."""

    port: int = 0
    offer: str = ""
    sessions: Any = None

    def request(
        self, method: str, path: str, body: bytes, headers: dict[str, str]
    ) -> tuple[int, str, dict[str, str]]:
        """(status, body, headers)."""
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            link.request(method, path, body, headers)
            response = link.getresponse()
            return response.status, response.read().decode(), dict(response.headers)
        finally:
            link.close()


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    made, ready, stop = Endpoint(), threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def handle(session: PeerSession) -> None:
        await session.closed.wait()

    async def serve() -> None:
        client = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        client.addTransceiver("video", direction="sendonly")
        await client.setLocalDescription(await client.createOffer())
        made.offer = client.localDescription.sdp
        gate = GateConfig(token_digests=(hash_token(TOKEN),), requests_per_s=1e6, burst=10**6)
        config = SignalConfig(gate=gate, max_sessions=3)
        server = SignalServer(config, handle, MonotonicClock(), Role.PUBLISH)
        made.sessions = server.sessions
        runner = web.AppRunner(build_app(server), access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        made.port = runner.addresses[0][1]
        ready.set()
        await stop.wait()
        await client.close()
        await runner.cleanup()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert ready.wait(30)
    yield made
    loop.call_soon_threadsafe(stop.set)
    thread.join(30)
    assert not thread.is_alive()
    loop.close()


METHODS = st.sampled_from(["POST", "PATCH", "DELETE", "GET", "PUT", "HEAD", "TRACE", "PROPFIND"])
PATHS = st.sampled_from(["/whip", "/whip/", "/whip/x", "/whip/../whip", "/", "/whip/%00", "//whip"])
NAMES = st.sampled_from(["Authorization", "Content-Type", "If-Match", "Origin", "X-Other"])
PLAIN = st.text(string.ascii_letters + string.digits + " /;=,*\"'%-._:", max_size=40)
VALUES = st.one_of(
    PLAIN,
    st.sampled_from([SDP, FRAGMENT, "Bearer", "Bearer ", "Basic bGV0LW1lLWlu", "bearer nonsense"]),
)
HEADERS = st.dictionaries(NAMES, VALUES, max_size=4)
BODIES = st.one_of(st.binary(max_size=300), st.text(max_size=300).map(str.encode))


@BOUNDED
@given(METHODS, PATHS, HEADERS, BODIES)
def test_nobody_gets_in_without_the_token(
    endpoint: Endpoint, method: str, path: str, headers: dict[str, str], body: bytes
) -> None:
    body = endpoint.offer.encode() if len(body) % 3 == 0 else body
    status, _, _ = endpoint.request(method, path, body, {"Content-Type": SDP, **headers})
    nothing = status == 204 and method in ("GET", "HEAD")  # there is nothing to read
    assert nothing or 400 <= status < 500
    assert not endpoint.sessions


def damage(text: str, cuts: list[tuple[float, str]]) -> str:
    """`text` with lines replaced, doubled or dropped."""
    lines = text.splitlines()
    for share, new in cuts:
        at = int(share * len(lines))
        lines[at : at + 1] = {"": [], "twice": [lines[at]] * 2}.get(new, [new]) if lines else []
    return "\r\n".join(lines) + "\r\n"


LINES = st.one_of(
    st.sampled_from(
        [
            "",
            "twice",
            "m=video 9 UDP/TLS/RTP/SAVPF 96",
            "m=audio 9 UDP/TLS/RTP/SAVPF 111",
            "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
            "a=rtpmap:96 VP8/90000",
            "a=rtpmap:96 VP8/0",
            "a=setup:passive",
            "a=ice-ufrag:",
            "a=ice-pwd:short",
            "a=fingerprint:sha-256 00",
            "a=mid:999",
            "a=candidate:1 1 udp 1 256.1.1.1 99999 typ host",
            "a=sctp-port:-1",
            "a=max-message-size:99999999999999999999",
            "a=extmap:9999 x",
            "a=ssrc:x",
        ]
    ),
    st.text(max_size=30),
)
CUTS = st.lists(st.tuples(st.floats(0, 0.999), LINES), min_size=1, max_size=5)


@BOUNDED
@given(CUTS)
def test_damaged_offers_get_a_4xx_with_the_reason(
    endpoint: Endpoint, cuts: list[tuple[float, str]]
) -> None:
    offer = damage(endpoint.offer, cuts)
    status, text, told = endpoint.request("POST", "/whip", offer.encode(errors="replace"), AUTH)
    if status == 201:  # harmless damage
        assert endpoint.request("DELETE", told["Location"], b"", AUTH)[0] == 200
        return
    assert 400 <= status < 500
    assert json.loads(text)["status"] == status
    assert "Traceback" not in text


TRICKLE = "a=mid:0\r\na=ice-ufrag:x\r\na=candidate:1 1 udp 1 192.0.2.9 9 typ host"
FRAGMENTS = st.one_of(CUTS.map(lambda cuts: damage(TRICKLE, cuts).encode()), BODIES)


@BOUNDED
@given(FRAGMENTS)
def test_any_fragment_is_taken_or_refused_and_the_session_goes_on(
    endpoint: Endpoint, body: bytes
) -> None:
    status, _, told = endpoint.request("POST", "/whip", endpoint.offer.encode(), AUTH)
    assert status == 201
    headers = {**AUTH, "Content-Type": FRAGMENT, "If-Match": told["ETag"]}
    status, text, _ = endpoint.request("PATCH", told["Location"], body, headers)
    assert status in (204, 400, 422), text
    assert endpoint.request("PATCH", told["Location"] + "x", body, headers)[0] == 404
    assert endpoint.request("DELETE", told["Location"], b"", AUTH)[0] == 200
