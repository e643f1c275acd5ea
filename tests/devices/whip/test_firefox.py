"""Firefox publishes by WHIP and plays by WHEP: its own offers, `bundle-only` and all."""

import asyncio
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from devices.webrtc.tracks import SpeechTrack, ViewTrack
from devices.whip.sdp import Role
from devices.whip.session import PeerSession
from stream.clock import MonotonicClock
from tests.devices.whip.firefox import PROGRAM, Firefox
from tests.devices.whip.whip_rig import TOKEN, Start, start, until

__all__ = ["start"]  # fixture

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no Firefox (Debian: firefox-esr)")

EXCHANGE = """
  await peer.setLocalDescription();
  window.offer = peer.localDescription.sdp;
  const answer = await fetch(PATH, {method: 'POST', body: offer, headers: {
    'Content-Type': 'application/sdp', Authorization: 'Bearer TOKEN'}});
  const text = await answer.text();
  if (answer.status !== 201) return text;
  await peer.setRemoteDescription({type: 'answer', sdp: text});
"""
PUBLISH = """(async () => {
  const media = await navigator.mediaDevices.getUserMedia({video: true, audio: true});
  const peer = window.peer = new RTCPeerConnection({bundlePolicy: BUNDLE});
  for (const track of media.getTracks())
    peer.addTransceiver(track, {direction: 'sendonly', streams: [media]});
  EXCHANGE
  return 'published';
})()"""
PLAY = """(async () => {
  const peer = window.peer = new RTCPeerConnection({bundlePolicy: 'max-bundle'});
  for (const kind of ['audio', 'video']) peer.addTransceiver(kind, {direction: 'recvonly'});
  EXCHANGE
  const video = window.video = document.createElement('video');
  video.muted = true;
  video.srcObject = new MediaStream(peer.getReceivers().map(one => one.track));
  video.play();
  return 'plays';
})()"""


def script(text: str, path: str, bundle: str = "") -> str:
    filled = text.replace("EXCHANGE", EXCHANGE).replace("BUNDLE", repr(bundle))
    return filled.replace("PATH", repr(path)).replace("TOKEN", TOKEN)


@pytest.mark.parametrize("bundle", ["max-bundle", "balanced"])
async def test_firefox_publishes_picture_and_sound(
    start: Start, tmp_path: Path, bundle: str
) -> None:
    sizes: list[tuple[int, int]] = []
    loudness: list[float] = []

    async def watch(session: PeerSession) -> None:
        async def listen() -> None:
            while True:
                loudness.append(float(np.abs((await session.audio.recv()).to_ndarray()).max()))

        listening = asyncio.create_task(listen())
        assert session.video is not None
        async for frame in session.video.frames():
            sizes.append(frame.size)
        listening.cancel()

    endpoint = await start(watch)
    async with Firefox(tmp_path) as firefox:
        await firefox.open(f"{endpoint.url}/")
        assert await firefox.run(script(PUBLISH, "/whip", bundle)) == "published"
        offer = await firefox.run("window.offer")
        assert ("a=bundle-only" in offer) is (bundle == "max-bundle")
        await until(lambda: len(sizes) > 20 and len(loudness) > 20, 30)
        assert max(loudness) > 500
        assert await firefox.run("peer.connectionState") == "connected"


async def test_firefox_plays_voice_and_view(start: Start, tmp_path: Path) -> None:
    speech, view = SpeechTrack(MonotonicClock()), ViewTrack()

    async def show(session: PeerSession) -> None:
        await session.connected.wait()
        number = 0
        while not session.closed.is_set():
            view.show(np.full((240, 320, 3), (200, 0, 0), np.uint8), number * 33_333_333)
            await asyncio.sleep(1 / 30)
            number += 1

    endpoint = await start(show, Role.PLAY, lambda _: [speech, view])
    async with Firefox(tmp_path) as firefox:
        await firefox.open(f"{endpoint.url}/")
        assert await firefox.run(script(PLAY, "/whip")) == "plays"
        await firefox.until("video.videoWidth === 320 && video.currentTime > 0.5")
        told: Any = await firefox.run(
            "peer.getStats().then(all => JSON.stringify([...all.values()].filter("
            "one => one.type === 'inbound-rtp').map(one => [one.kind, one.packetsReceived])))"
        )
        counts = dict(re.findall(r'\["(audio|video)",(\d+)\]', told))
        assert int(counts["audio"]) > 10 and int(counts["video"]) > 10
