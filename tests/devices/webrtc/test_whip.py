"""The WHIP endpoint over real HTTP, real ICE and DTLS: aiortc and FFmpeg publish to it."""

import asyncio
import dataclasses
import datetime
import os
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import av
import numpy as np
import pytest
import pytest_asyncio
from aiohttp import web
from aiortc import (
    AudioStreamTrack,
    RTCConfiguration,
    RTCIceServer,
    RTCPeerConnection,
    RTCSessionDescription,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from devices.webrtc.admission import hash_token
from devices.webrtc.fakes import NumberCamera, draw_number, read_number
from devices.webrtc.gate import GateConfig
from devices.webrtc.outgoing import SpeechTrack, ViewTrack
from devices.webrtc.sdp import Role
from devices.webrtc.session import PeerSession
from devices.webrtc.signalling import (
    FRAGMENT,
    SDP,
    SessionHandler,
    SignalConfig,
    SignalServer,
    TrackMaker,
    build_app,
    ice_links,
)
from stream.clock import MonotonicClock

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


async def test_a_camera_publishes_and_hangs_up(start: Start, camera_offer: tuple[Any, str]) -> None:
    connection, offer = camera_offer
    endpoint = await start()
    response = await endpoint.post(offer)
    assert response.status == 201
    assert response.content_type == SDP
    assert response.headers["ETag"].startswith('"')
    location = response.headers["Location"]
    assert location.startswith("/whip/") and len(location) >= 38
    answer = await response.text()
    assert "a=recvonly" in answer and "a=candidate" in answer and "a=end-of-candidates" in answer
    await connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    await until(lambda: len(endpoint.numbers) >= 20)
    assert endpoint.numbers == list(range(len(endpoint.numbers)))
    gone = await endpoint.http.delete(endpoint.url + location, headers=AUTH)
    assert gone.status == 200
    await asyncio.wait_for(endpoint.ended.wait(), 3)
    again = await endpoint.http.delete(endpoint.url + location, headers=AUTH)
    assert again.status == 404


async def test_a_microphone_comes_with_the_camera(start: Start) -> None:
    heard: list[Any] = []

    async def listen(session: PeerSession) -> None:
        while len(heard) < 3:
            heard.append(await session.audio.recv())

    endpoint = await start(listen)
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    connection.addTransceiver(NumberCamera(fps=30), direction="sendonly")
    connection.addTransceiver(AudioStreamTrack(), direction="sendonly")
    await connection.setLocalDescription(await connection.createOffer())
    response = await endpoint.post(connection.localDescription.sdp)
    assert response.status == 201
    answer = RTCSessionDescription(await response.text(), "answer")
    await connection.setRemoteDescription(answer)
    await until(lambda: len(heard) == 3)
    assert heard[0].sample_rate == 48_000
    await connection.close()


async def test_candidates_may_trickle_in(start: Start, camera_offer: tuple[Any, str]) -> None:
    connection, offer = camera_offer
    lines = offer.split("\r\n")
    late = [line for line in lines if line.startswith(("a=candidate", "a=end-of-candidates"))]
    endpoint = await start()
    response = await endpoint.post("\r\n".join(line for line in lines if line not in late))
    assert response.status == 201
    location, etag = response.headers["Location"], response.headers["ETag"]
    answer = RTCSessionDescription(await response.text(), "answer")
    await connection.setRemoteDescription(answer)
    fragment = "\r\n".join(["m=video 9 UDP/TLS/RTP/SAVPF 0", "a=mid:0", *late])
    assert await endpoint.patch(location, fragment, **{"If-Match": etag}) == 204
    await until(lambda: len(endpoint.numbers) >= 3)


async def test_a_patch_is_checked_and_leaves_the_session_alone(
    start: Start, camera_offer: tuple[Any, str]
) -> None:
    endpoint = await start()
    response = await endpoint.post(camera_offer[1])
    location, etag = response.headers["Location"], response.headers["ETag"]
    good = "a=end-of-candidates"
    restart = "a=ice-ufrag:zzzz\r\na=ice-pwd:abcdefghijklmnopqrstuv"
    assert await endpoint.patch(location, good) == 428
    assert await endpoint.patch(location, good, **{"If-Match": '"other"'}) == 412
    match = {"If-Match": etag}
    assert await endpoint.patch(location, "nonsense", **match) == 400
    assert await endpoint.patch(location, good, **{**match, "Content-Type": SDP}) == 415
    assert await endpoint.patch(location, restart, **{"If-Match": "*"}) == 422
    assert await endpoint.patch("/whip/" + "x" * 32, good, **match) == 404
    assert await endpoint.patch(location, good, **{**match, "Authorization": "Bearer x"}) == 401
    assert await endpoint.patch(location, good, **match) == 204
    assert not endpoint.sessions[0].closed.is_set()


async def test_nobody_gets_in_without_a_token(start: Start) -> None:
    endpoint = await start()
    missing = await endpoint.http.post(f"{endpoint.url}/whip", data="v=0")
    assert missing.status == 401
    assert missing.headers["WWW-Authenticate"] == 'Bearer realm="foveal"'
    wrong = await endpoint.post("v=0", Authorization="Bearer wrong")
    assert wrong.status == 401
    assert "invalid_token" in wrong.headers["WWW-Authenticate"]
    for method in ("patch", "delete"):
        response = await endpoint.http.request(method, f"{endpoint.url}/whip/some-id")
        assert response.status == 401


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        ("v=0", {"Content-Type": "text/plain"}, 415),
        ("hello", {}, 400),
        (b"v=0\xff", {}, 400),
        ("v=0\r\n" + "a=x\r\n" * 20_000, {}, 413),
        ("v=0\r\ns=-\r\n", {}, 422),
    ],
)
async def test_bad_offers_get_the_right_status(
    start: Start, body: str | bytes, headers: dict[str, str], status: int
) -> None:
    endpoint = await start()
    response = await endpoint.post(body, **headers)
    assert response.status == status
    assert response.content_type == "application/problem+json"
    assert (await response.json())["status"] == status


async def test_an_offer_without_a_known_codec_cannot_be_processed(
    start: Start, camera_offer: tuple[Any, str]
) -> None:
    endpoint = await start(max_sessions=1)
    unknown = camera_offer[1].replace("VP8", "AV1").replace("H264", "AV1")
    assert (await endpoint.post(unknown)).status == 422
    assert (await endpoint.post(camera_offer[1])).status == 201  # and it holds no slot


async def test_a_full_server_says_when_to_come_back(
    start: Start, camera_offer: tuple[Any, str]
) -> None:
    endpoint = await start(max_sessions=1)
    first = await endpoint.post(camera_offer[1])
    assert first.status == 201
    second = await endpoint.post(camera_offer[1])
    assert (second.status, second.headers["Retry-After"]) == (503, "5")
    await endpoint.http.delete(endpoint.url + first.headers["Location"], headers=AUTH)
    await until(lambda: endpoint.ended.is_set())
    await asyncio.sleep(0.05)
    assert (await endpoint.post(camera_offer[1])).status == 201


async def test_a_peer_that_never_connects_loses_its_slot(
    start: Start, camera_offer: tuple[Any, str]
) -> None:
    endpoint = await start(connect_timeout_s=0.2)
    response = await endpoint.post(camera_offer[1])
    await asyncio.wait_for(endpoint.ended.wait(), 3)
    await asyncio.sleep(0.05)
    location = endpoint.url + response.headers["Location"]
    assert (await endpoint.http.delete(location, headers=AUTH)).status == 404


async def test_a_peer_that_dies_without_a_word_is_noticed(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its consent to receive expires (RFC 7675): after 30 s, here sooner."""
    monkeypatch.setattr("aioice.ice.CONSENT_INTERVAL", 0.1)
    monkeypatch.setattr("aioice.ice.CONSENT_FAILURES", 2)
    endpoint = await start()
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    connection.addTransceiver(NumberCamera(fps=30), direction="sendonly")
    await connect(endpoint, connection)
    await until(lambda: len(endpoint.numbers) > 3)
    ice = connection.getTransceivers()[0].sender.transport.transport
    for protocol in ice._connection._protocols:
        protocol.transport.abort()  # its sockets are gone, as when the process is killed
    await asyncio.wait_for(endpoint.ended.wait(), 6)
    await connection.close()


async def test_a_failing_handler_ends_its_session_only(
    start: Start, camera_offer: tuple[Any, str], caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(session: PeerSession) -> None:
        raise RuntimeError("the model is gone")

    endpoint = await start(fail)
    response = await endpoint.post(camera_offer[1])
    location = endpoint.url + response.headers["Location"]
    await asyncio.sleep(0.2)
    assert (await endpoint.http.delete(location, headers=AUTH)).status == 404
    assert "the model is gone" in caplog.text
    assert (await endpoint.post(camera_offer[1])).status == 201


async def test_a_handler_that_does_not_end_is_ended(
    start: Start, camera_offer: tuple[Any, str], caplog: pytest.LogCaptureFixture
) -> None:
    async def hang(session: PeerSession) -> None:
        await asyncio.Event().wait()

    endpoint = await start(hang, handler_grace_s=0.05, max_sessions=1)
    response = await endpoint.post(camera_offer[1])
    await endpoint.http.delete(endpoint.url + response.headers["Location"], headers=AUTH)
    await until(lambda: "did not end" in caplog.text)
    assert (await endpoint.post(camera_offer[1])).status == 201


async def test_other_methods_are_reserved(start: Start) -> None:
    endpoint = await start()
    for path, allow in (("/whip", "OPTIONS, POST"), ("/whip/x", "OPTIONS, PATCH, DELETE")):
        for method in ("GET", "HEAD", "PUT", "POST" if path != "/whip" else "PATCH"):
            response = await endpoint.http.request(method, endpoint.url + path, headers=AUTH)
            assert (response.status, response.headers["Allow"]) == (405, allow)


async def test_options_tell_browsers_and_clients_what_they_need(start: Start) -> None:
    turn = RTCIceServer("turn:turn.example.net?transport=udp", "me", 'a"b')
    origin = {"Origin": "https://glasses.example"}
    endpoint = await start(ice_servers=(turn,), allowed_origins=("https://glasses.example",))
    url = f"{endpoint.url}/whip"
    plain = await endpoint.http.options(url, headers={**AUTH, **origin})
    assert (plain.status, plain.headers["Accept-Post"]) == (200, SDP)
    assert plain.headers["Link"] == ice_links(turn)[0]
    assert 'credential="a\\"b"' in plain.headers["Link"]
    preflight = {**origin, "Access-Control-Request-Method": "POST"}
    answer = await endpoint.http.options(url, headers=preflight)
    assert answer.headers["Access-Control-Allow-Origin"] == "https://glasses.example"
    assert "Location" in answer.headers["Access-Control-Expose-Headers"]
    assert "Link" not in answer.headers  # no credentials without a token
    other = await endpoint.http.options(url, headers={"Origin": "https://evil.example"})
    assert "Access-Control-Allow-Origin" not in other.headers
    refused = await endpoint.http.post(url, data="", headers=origin)
    assert refused.status == 401  # readable to the page that asked
    assert refused.headers["Access-Control-Allow-Origin"] == "https://glasses.example"


async def test_too_many_requests_are_told_to_wait(start: Start) -> None:
    endpoint = await start(burst=3, requests_per_s=0.5)
    statuses = [(await endpoint.post("v=0")).status for _ in range(4)]
    assert statuses == [422, 422, 422, 429]
    assert (await endpoint.post("v=0")).headers["Retry-After"] in ("1", "2")


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


async def test_a_player_gets_the_spoken_answer_and_the_view(start: Start) -> None:
    speech, view = SpeechTrack(MonotonicClock()), ViewTrack()
    queries: list[dict[str, str]] = []

    def make_tracks(session: PeerSession) -> list[Any]:
        queries.append(session.query)
        return [speech, view]

    async def show(session: PeerSession) -> None:
        await session.connected.wait()
        tone = np.sin(np.arange(24_000) * 2 * np.pi * 440 / 24_000)
        speech.say((tone * 20_000).astype(np.int16), 24_000)
        number = 0
        while not session.closed.is_set():
            view.show(draw_number(number), number * 33_333_333)
            await asyncio.sleep(1 / 30)
            number += 1

    endpoint = await start(show, Role.PLAY, make_tracks, prefix="/whep")
    player = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    tracks: dict[str, Any] = {}
    player.on("track", lambda track: tracks.__setitem__(track.kind, track))
    player.addTransceiver("audio", direction="recvonly")
    player.addTransceiver("video", direction="recvonly")
    await connect(endpoint, player, "/whep?session=walk")
    assert queries == [{"session": "walk"}]
    numbers = [read_number((await tracks["video"].recv()).to_ndarray(format="rgb24"))]
    numbers += [read_number((await tracks["video"].recv()).to_ndarray(format="rgb24"))]
    assert numbers[1] > numbers[0]
    async with asyncio.timeout(5):
        while True:  # stereo 48 kHz, interleaved
            heard = (await tracks["audio"].recv()).to_ndarray()[0, ::2].astype(float)
            if np.abs(heard).mean() > 5000:
                break
    crossings = np.count_nonzero(np.diff(np.signbit(heard)))
    assert crossings == pytest.approx(2 * 440 * 0.02, abs=3)
    await player.close()


async def test_a_player_endpoint_can_be_discovered_and_refuses_publishers(
    start: Start, camera_offer: tuple[Any, str]
) -> None:
    endpoint = await start(role=Role.PLAY)
    head = await endpoint.http.head(f"{endpoint.url}/whip")
    assert (head.status, head.content_type) == (200, SDP)
    assert (await endpoint.post(camera_offer[1])).status == 422


async def test_a_browser_sends_and_receives_on_one_connection(start: Start) -> None:
    view = ViewTrack()
    echoed: list[str] = []

    async def echo(session: PeerSession) -> None:
        assert session.video is not None
        async for frame in session.video.frames():
            view.show(frame.image, frame.pts_ns)
            if session.channel is not None and not echoed:
                session.channel.send("hello")

    endpoint = await start(echo, Role.DUPLEX, lambda session: [view])
    browser = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    tracks: list[Any] = []
    browser.on("track", tracks.append)
    browser.addTrack(NumberCamera(fps=30))
    browser.createDataChannel("events").on("message", echoed.append)
    await connect(endpoint, browser)
    async with asyncio.timeout(8):
        first = read_number((await tracks[0].recv()).to_ndarray(format="rgb24"))
        second = read_number((await tracks[0].recv()).to_ndarray(format="rgb24"))
    assert second > first
    await until(lambda: bool(echoed))
    assert echoed[0] == "hello"
    await browser.close()


def write_certificate(folder: Path) -> tuple[Path, Path]:
    """A P-256 certificate for FFmpeg: PyAV's build makes one that OpenSSL 4 refuses."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "camera")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name)
    builder = builder.public_key(key.public_key()).serial_number(1)
    builder = builder.not_valid_before(now - datetime.timedelta(days=1))
    certificate = builder.not_valid_after(now + datetime.timedelta(days=1)).sign(
        key, hashes.SHA256()
    )
    private = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "c.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "k.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, *private))
    return folder / "c.pem", folder / "k.pem"


@pytest.mark.skipif("whip" not in av.formats_available, reason="this PyAV has no WHIP muxer")
async def test_ffmpeg_publishes(start: Start, tmp_path: Path) -> None:
    endpoint = await start()
    paths = [str(path) for path in write_certificate(tmp_path)]
    script = Path(__file__).with_name("ffmpeg_publisher.py")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(script), f"{endpoint.url}/whip", TOKEN, "20", *paths),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert await asyncio.wait_for(process.wait(), 20) == 0
    await asyncio.wait_for(endpoint.ended.wait(), 5)  # by its DELETE
    assert endpoint.numbers == list(range(20))
