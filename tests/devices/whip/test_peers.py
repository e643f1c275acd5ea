"""Players, browsers' place and FFmpeg at the same endpoints."""

import asyncio
import datetime
import os
import sys
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from devices.webrtc.tracks import SpeechTrack, ViewTrack
from devices.whip.endpoint import SDP
from devices.whip.sdp import Role
from devices.whip.session import PeerSession
from stream.clock import MonotonicClock
from tests.devices.whip.whip_rig import ROOT, TOKEN, Start, camera_offer, connect, start, until
from tests.doubles.webrtc import NumberCamera, draw_number, read_number

__all__ = ["camera_offer", "start"]  # fixtures


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
@pytest.mark.parametrize("profile", ["Baseline", "Main", "High"])
async def test_ffmpeg_publishes(start: Start, tmp_path: Path, profile: str) -> None:
    endpoint = await start()
    paths = [str(path) for path in write_certificate(tmp_path)]
    script = Path(__file__).with_name("ffmpeg_publisher.py")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(script), f"{endpoint.url}/whip", TOKEN, "20", *paths, profile),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert await asyncio.wait_for(process.wait(), 20) == 0
    await asyncio.wait_for(endpoint.ended.wait(), 5)  # by its DELETE
    assert endpoint.numbers == list(range(20))
