"""A real browser publishes (WHIP), plays (WHEP) and does both at once, with a fake camera."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from aiohttp import web

from devices.webrtc.tracks import SpeechTrack, ViewTrack
from devices.whip.endpoint import SignalConfig, SignalServer, build_app
from devices.whip.sdp import Role
from devices.whip.session import PeerSession
from stream.clock import NS_PER_S, MonotonicClock
from tests.doubles.webrtc import draw_number

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

PAGE = """<!doctype html><video id=v autoplay playsinline></video><script>
const report = (name, value) =>
  fetch('/report', {method: 'POST', body: JSON.stringify({name, value})});
async function run() {
  const pc = new RTCPeerConnection({bundlePolicy: 'max-bundle'});
  const mode = location.pathname.slice(1);
  if (mode != 'whep') {
    const wanted = {video: {width: 640, height: 480}, audio: true};
    const media = await navigator.mediaDevices.getUserMedia(wanted);
    const direction = mode == 'whip' ? 'sendonly' : 'sendrecv';
    for (const track of media.getTracks())
      pc.addTransceiver(track, {direction, streams: [media]});
  } else {
    pc.addTransceiver('audio', {direction: 'recvonly'});
    pc.addTransceiver('video', {direction: 'recvonly'});
  }
  if (mode == 'duplex') {
    const channel = pc.createDataChannel('events');
    channel.onmessage = event => report('message', event.data);
  }
  const stream = new MediaStream();
  pc.ontrack = event => { stream.addTrack(event.track); v.srcObject = stream; };
  await pc.setLocalDescription();
  const answer = await fetch('/rtc/' + mode, {method: 'POST', body: pc.localDescription.sdp,
    headers: {'Content-Type': 'application/sdp'}});
  await report('status', answer.status);
  const etag = answer.headers.get('ETag'), session = answer.headers.get('Location');
  await pc.setRemoteDescription({type: 'answer', sdp: await answer.text()});
  const lines = pc.localDescription.sdp.split('\\r\\n');
  const candidates = lines.filter(line => line.startsWith('a=candidate'));
  const body = candidates.join('\\r\\n') || 'a=x:y';
  const trickled = await fetch(session, {method: 'PATCH', body,
    headers: {'Content-Type': 'application/trickle-ice-sdpfrag', 'If-Match': etag}});
  await report('trickle', trickled.status);
  for (;;) {
    await new Promise(done => setTimeout(done, 200));
    if (v.videoWidth) await report('size', v.videoWidth + 'x' + v.videoHeight);
    for (const entry of (await pc.getStats()).values())
      if (entry.type == 'inbound-rtp' && entry.kind == 'audio')
        await report('energy', entry.totalAudioEnergy);
  }
}
run().catch(error => report('error', String(error)));
</script>"""


class Site:
    """A page, the three endpoints, and what the page reported."""

    def __init__(self) -> None:
        self.reports: dict[str, Any] = {}
        self.sizes: list[tuple[int, int]] = []
        self.greens: list[float] = []
        self.heard = 0
        self.view = ViewTrack()
        self.speech = SpeechTrack(MonotonicClock())

    async def watch(self, session: PeerSession) -> None:
        listening = asyncio.create_task(self.listen(session))
        if session.video is not None:
            async for frame in session.video.frames():
                self.sizes.append(frame.size)
                self.greens.append(float(frame.image[..., 1].mean() - frame.image[..., 0].mean()))
                self.view.show(frame.image, frame.pts_ns)
                if session.channel is not None:
                    session.channel.send("seen")
        listening.cancel()

    async def listen(self, session: PeerSession) -> None:
        while session.audio is not None:
            await session.audio.recv()
            self.heard += 1

    async def show(self, session: PeerSession) -> None:
        await session.connected.wait()
        tone = np.sin(np.arange(5 * 24_000) * 2 * np.pi * 440 / 24_000)
        self.speech.say((tone * 20_000).astype(np.int16), 24_000)
        number = 0
        while not session.closed.is_set():
            self.view.show(draw_number(number), number * NS_PER_S // 30)
            await asyncio.sleep(1 / 30)
            number += 1

    def application(self) -> web.Application:
        clock = MonotonicClock()

        def server(name: str, handler: Any, role: Role, *tracks: Any) -> SignalServer:
            config = SignalConfig(prefix=f"/rtc/{name}")
            return SignalServer(config, handler, clock, role, lambda session: tracks)

        app = build_app(
            server("whip", self.watch, Role.PUBLISH),
            server("whep", self.show, Role.PLAY, self.speech, self.view),
            server("duplex", self.watch, Role.DUPLEX, self.view),
        )
        app.router.add_post("/report", self.report)
        app.router.add_get("/{mode}", self.page)
        return app

    async def page(self, request: web.Request) -> web.Response:
        return web.Response(text=PAGE, content_type="text/html")

    async def report(self, request: web.Request) -> web.Response:
        message = await request.json()
        self.reports[message["name"]] = message["value"]
        return web.Response()


@pytest_asyncio.fixture
async def browse(tmp_path: Path) -> AsyncIterator[Any]:
    """Opens a page of a fresh site in a headless browser."""
    site = Site()
    runner = web.AppRunner(site.application())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    processes: list[asyncio.subprocess.Process] = []

    async def run(mode: str) -> Site:
        assert CHROMIUM is not None
        options = [
            *("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run"),
            *("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"),
            *("--autoplay-policy=no-user-gesture-required", f"--user-data-dir={tmp_path}"),
        ]
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/{mode}"
        silent = asyncio.subprocess.DEVNULL
        process = await asyncio.create_subprocess_exec(
            CHROMIUM, *options, url, stdout=silent, stderr=silent
        )
        processes.append(process)
        return site

    yield run
    for process in processes:
        process.terminate()
        await process.wait()
    await runner.cleanup()


async def until(site: Site, condition: Any) -> None:
    try:
        async with asyncio.timeout(20):
            while not condition():
                await asyncio.sleep(0.05)
    except TimeoutError:
        pytest.fail(f"the browser reported {site.reports}, sizes {site.sizes[-1:]}")


async def test_chromium_publishes_camera_and_microphone(browse: Any) -> None:
    site = await browse("whip")
    await until(site, lambda: len(site.sizes) >= 15 and site.heard >= 15)
    assert site.reports["status"] == 201
    assert site.reports["trickle"] == 204
    assert site.greens[-1] > 30  # the fake camera is green


async def test_chromium_plays_speech_and_view(browse: Any) -> None:
    site = await browse("whep")
    await until(site, lambda: site.reports.get("energy", 0) > 0.01)
    await until(site, lambda: site.reports.get("size") == "320x240")


async def test_chromium_does_both_with_a_data_channel(browse: Any) -> None:
    site = await browse("duplex")
    await until(site, lambda: "message" in site.reports and "size" in site.reports)
    assert site.reports["message"] == "seen"
    assert site.sizes
