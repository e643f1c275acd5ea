"""The web client in a real browser against a live server: over doubles, and the real thing."""

import asyncio
import base64
import io
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest
import pytest_asyncio
from aiortc import RTCIceServer

from devices.audio.wav import write_wav
from devices.speaking.speaker import HibariSpeaker
from devices.webrtc.tracks import to_48k
from foveal.assets.registry import asset_path, cache_root
from foveal.demo.clip import DemoOptions, render_demo
from foveal.live.protocol.server import TranscriptMessage
from foveal.live.recording import RecordPolicy
from foveal.live.speech.microphone import Ear
from foveal.server.app import ServeConfig
from foveal.setup.hearing import load_hearing
from stream.clock import Clock
from stream.errors import AssetError
from tests.foveal.live.live_rig import ROOT, SAID, fake_engine, until
from tests.foveal.server.chromium import PROGRAM, Browser
from tests.foveal.server.serve_rig import PeerClient, Site

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no Chromium on this machine")
QUESTION = "What is coffee made from?"
START_RECORDER = """(() => {
  const recorder = new MediaRecorder(foveal.voice), parts = [];
  recorder.ondataavailable = event => parts.push(event.data);
  recorder.start();
  window.stopRecorder = () => new Promise(done => {
    recorder.onstop = async () => {
      const bytes = new Uint8Array(await new Blob(parts).arrayBuffer());
      done(btoa(bytes.reduce((text, byte) => text + String.fromCharCode(byte), '')));
    };
    recorder.stop();
  });
})()"""
PAINTED = """(() => {
  const masks = document.getElementById('masks'), {width, height} = masks;
  const {data} = masks.getContext('2d').getImageData(0, 0, width, height);
  let painted = 0;
  for (let i = 3; i < data.length; i += 4) painted += data[i] > 0;
  return painted / (width * height);
})()"""

PICTURED = PAINTED.replace("'masks'", "'picture'")


@pytest_asyncio.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Browser]:
    """A browser whose camera is Chromium's own test picture."""
    async with Browser(tmp_path / "browser") as one:
        yield one
        assert one.errors == []


async def start(browser: Browser, url: str, patience_s: float = 60, **window: Any) -> None:
    """Open the page, start the camera, wait for masks."""
    await browser.open(url, **window)
    await browser.run("document.getElementById('use-camera').click()")
    await browser.until("document.body.dataset.state === 'live'", 40)
    await browser.until("foveal.regions?.regions.some(one => one.mask)", patience_s)


async def ask(browser: Browser, text: str, turns: int, timeout_s: float = 60) -> None:
    """Type a question and wait for the whole answer."""
    await browser.run(
        f"(() => {{ document.getElementById('text').value = {text!r};"
        " document.getElementById('ask').requestSubmit(); })()"
    )
    await browser.until(f"document.querySelectorAll('.fall').length >= {turns}", timeout_s)


async def shown(browser: Browser, selector: str) -> list[str]:
    """The texts of all elements of a selector."""
    script = f"[...document.querySelectorAll({selector!r})].map(one => one.textContent)"
    return list(await browser.run(script))


async def recorded(browser: Browser, rate: int) -> npt.NDArray[np.float32]:
    """What the page recorded of the server's voice: [samples], -1..1."""
    content = base64.b64decode(await browser.run("stopRecorder()"))
    with av.open(io.BytesIO(content)) as sound:
        resampler = av.AudioResampler(format="flt", layout="mono", rate=rate)
        parts = [part for one in sound.decode(audio=0) for part in resampler.resample(one)]
    return np.concatenate([part.to_ndarray()[0] for part in parts])


async def heard(browser: Browser) -> float:
    """Root mean square, 0..1, of what the page recorded."""
    return float(np.sqrt(np.mean(await recorded(browser, 48_000) ** 2)))


async def test_a_wearer_asks_points_and_hears_in_a_browser(browser: Browser) -> None:
    async with Site(ServeConfig()) as site:
        await start(browser, site.url)
        await browser.until(f"{PAINTED} > 0.01")
        await browser.until("foveal.voice !== null")
        await browser.run(START_RECORDER)
        await ask(browser, "What is this?", 1)
        assert await shown(browser, ".answer") == [SAID]
        assert await shown(browser, ".answer .span") == ["cup"]
        assert await shown(browser, ".asking b") == ["text search"]
        assert await shown(browser, ".card strong") == ["Cup"]
        assert "A cup is a small vessel." in (await shown(browser, ".card p"))[0]
        assert "<search>" in (await shown(browser, ".trace .token-search"))
        await browser.until("document.querySelector('.fall .mark')")
        await browser.until("document.querySelectorAll('.thing').length > 0")
        await asyncio.sleep(0.7)
        assert await heard(browser) > 0.02
        box = await browser.run("document.getElementById('view').getBoundingClientRect().toJSON()")
        await browser.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        await browser.until("document.querySelectorAll('.fall').length >= 2", 30)
        assert await browser.run("document.querySelectorAll('.question canvas').length") == 1
        (room,) = site.server.rooms.all
        assert room.live.camera
        assert await browser.run("!document.getElementById('camera').hidden")
        await browser.until("document.querySelectorAll('#drops dd').length > 0")
        await browser.run("document.getElementById('stop').click()")
        await browser.until("document.body.dataset.state === 'off'")
        assert await browser.run("document.getElementById('camera').hidden")


async def test_the_page_comes_back_to_its_conversation(browser: Browser) -> None:
    async with Site(ServeConfig()) as site:
        await start(browser, site.url, width=390, height=844, phone=True)
        await ask(browser, "What is this?", 1)
        name = await browser.run("foveal.link.conversation")
        await browser.run("foveal.link.channel.close()")
        await browser.until("foveal.link.state === 'lost'")
        await browser.until("foveal.link.state === 'live'", 30)
        assert await browser.run("foveal.link.conversation") == name
        await ask(browser, "And that?", 2)
        assert await shown(browser, ".question") == ["What is this?", "And that?"]
        wide = await browser.run("document.documentElement.scrollWidth")
        assert wide <= 390  # nothing sticks out of a phone
        await browser.open(f"{site.url}/#conversation={name}")  # a second screen
        await browser.until("document.querySelectorAll('.fall').length >= 2", 30)
        assert await shown(browser, ".answer") == [SAID, SAID]


async def test_a_second_screen_shows_the_picture_with_its_masks(browser: Browser) -> None:
    async with Site(ServeConfig()) as site:
        wearer = PeerClient()
        await wearer.connect(site)
        name = (await wearer.until("hello"))["conversation"]
        await browser.open(f"{site.url}/#conversation={name}")
        await browser.until(f"{PICTURED} > 0.2")
        assert await browser.run(f"{PAINTED} === 0")  # they are in the picture
        await browser.until("foveal.voice !== null")
        await ask(browser, "What is this?", 1)
        assert await shown(browser, ".answer") == [SAID]
        await browser.run("document.getElementById('stop').click()")
        (room,) = site.server.rooms.all
        await until(lambda: not room.live.view.watched)
        await wearer.close()


async def test_a_second_screen_asks_by_voice_and_all_hear_the_answer(browser: Browser) -> None:
    ears: list[PressedListener] = []

    def make_listener(ear: Ear, _: Clock) -> PressedListener:
        ears.append(PressedListener(ear))
        return ears[-1]

    engine = replace(fake_engine(), make_listener=make_listener)
    async with Site(ServeConfig(), engine) as site:
        wearer = PeerClient()
        await wearer.connect(site)
        name = (await wearer.until("hello"))["conversation"]
        await browser.open(f"{site.url}/#conversation={name}")
        await browser.until("foveal.voice !== null && !document.getElementById('talk').disabled")
        await browser.run(START_RECORDER)
        peak = asyncio.create_task(loud(wearer.tracks[0]))
        heard_words = "document.getElementById('hearing').textContent.includes('what is')"
        await browser.hold_space_until(heard_words, 30)
        assert (await wearer.until("asked"))["origin"] == "speech"
        (own, other) = ears
        assert other.presses == 1 and own.presses == 0  # the wearer's microphone stays shut
        await browser.until("document.querySelector('.fall')")
        (room,) = site.server.rooms.all
        assert room.media == 3  # camera, view, microphone
        await asyncio.wait_for(peak, 20)  # the wearer hears it as well
        await browser.until("document.querySelector('.turn').hasAttribute('data-spoken')")
        assert await heard(browser) > 0.01
        await browser.run("document.getElementById('stop').click()")
        await until(lambda: room.media == 1)
        wearer.say("talk", on=True)
        await until(lambda: own.presses == 1)
        await wearer.close()


async def loud(track: Any) -> None:
    """Wait until something is heard on a track."""
    while np.abs((await track.recv()).to_ndarray()).max() < 500:
        pass


class PressedListener:
    """A Listener that asks when the key is let go, if any sound has come."""

    def __init__(self, ear: Ear) -> None:
        self._ear, self.presses, self.samples = ear, 0, 0

    def feed(self, pcm: Any, pts_ns: int, rate_hz: int = 48_000) -> None:
        if not self.samples:
            self._ear.heard(TranscriptMessage(text="what is", final=False))
        self.samples += len(pcm)

    def press(self) -> None:
        self.presses += 1

    def release(self) -> None:
        if self.samples:
            self._ear.asked("what is this?")

    def cancel(self) -> None:
        self.samples = 0


async def test_a_connection_that_opens_while_the_page_is_busy_is_not_made_again(
    browser: Browser,
) -> None:
    slow = """
      const stock = window.fetch, later = setTimeout;
      window.fetch = async (where, what) => {
        if (what?.method === 'PATCH') await new Promise(done => later(done, 1500));
        return stock(where, what);
      };
      window.setTimeout = (work, ms, ...rest) => later(work, ms > 10000 ? ms / 6 : ms, ...rest);
    """
    await browser.call("Page.addScriptToEvaluateOnNewDocument", source=slow)
    async with Site(ServeConfig()) as site:
        await start(browser, site.url)  # the candidates are told when it is open already
        await browser.run("window.first = foveal.link.peer")
        await asyncio.sleep(3.5)  # longer than a connection is waited for
        assert await browser.run("foveal.link.peer === first && foveal.link.state === 'live'")


async def test_recording_is_opt_in_and_plays_in_the_page(browser: Browser, tmp_path: Path) -> None:
    async with Site(ServeConfig(record=RecordPolicy(tmp_path / "kept"))) as site:
        await start(browser, site.url)
        assert await browser.run("document.getElementById('recording').hidden")
        await browser.run("document.getElementById('record').click()")
        await browser.until("!document.getElementById('recording').hidden")
        await ask(browser, "What is this?", 1)
        await browser.run("document.getElementById('record').click()")
        await browser.until("document.getElementById('recording').hidden")
        await browser.run("document.getElementById('library').click()")
        await browser.until("document.querySelector('#recordings-list button')")
        await browser.run("document.querySelector('#recordings-list button').click()")
        await browser.until("document.body.dataset.state === 'replay'")
        await browser.until("document.querySelectorAll('.fall').length >= 1")
        assert await shown(browser, ".answer") == [SAID]
        assert await shown(browser, ".question") == ["What is this?"]


async def test_the_page_takes_the_ice_servers_it_is_told(browser: Browser) -> None:
    config = ServeConfig(
        ice_servers=(
            RTCIceServer("stun:box.local:3478"),
            RTCIceServer("turn:box.local?transport=tcp", username="me", credential='a "b", c\\d'),
        )
    )
    async with Site(config) as site:
        await browser.open(site.url)
        told = await browser.run(
            "import('/link.js').then(async ({iceServers}) => iceServers("
            "(await fetch('/session', {method: 'OPTIONS'})).headers.get('Link')))"
        )
        assert await browser.run("import('/link.js').then(link => link.iceServers(null))") == []
    assert told == [
        {"urls": "stun:box.local:3478"},
        {
            "urls": "turn:box.local?transport=tcp",
            "username": "me",
            "credential": 'a "b", c\\d',
        },
    ]


async def test_a_token_is_asked_for(browser: Browser) -> None:
    from devices.http.admission import Grant, hash_token

    config = ServeConfig(lambda: [Grant(hash_token("open-sesame"))])
    async with Site(config) as site:
        await browser.open(site.url)
        await browser.run("document.getElementById('use-camera').click()")
        await browser.until("document.getElementById('login').open")
        browser.errors.clear()  # the browser logs the 401
        await browser.open("about:blank")
        await start(browser, f"{site.url}/#token=open-sesame")
        assert "sesame" not in await browser.run("location.href")


@pytest.fixture(scope="session")
def demo_camera(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first seconds of the project's own demo clip as a camera's raw pictures."""
    folder = tmp_path_factory.mktemp("camera")
    options = DemoOptions(seconds=4.0, width=640, height=360, fps=10)
    clip = render_demo(folder / "demo.mp4", options).clip
    raw = folder / "demo.y4m"
    with av.open(str(clip)) as source, av.open(str(raw), "w", format="yuv4mpegpipe") as sink:
        out: Any = sink.add_stream("wrapped_avframe", rate=10)
        out.width, out.height, out.pix_fmt = 640, 360, "yuv420p"
        for picture in source.decode(video=0):
            sink.mux(out.encode(picture.reformat(format="yuv420p")))
    return raw


@pytest.fixture(scope="session")
def spoken_question(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A question as a microphone hears it: over and over, with pauses."""
    pause = np.zeros(48_000, np.int16)
    speech = [to_48k(chunk, 24_000) for chunk in HibariSpeaker().synthesize(QUESTION)]
    path = tmp_path_factory.mktemp("microphone") / "question.wav"
    write_wav(path, [pause, *speech, pause], 48_000)
    return path


async def spoken_answer(browser: Browser) -> str:
    """Hold the talk key until the question was heard; what the answer sounds like, as text.

    Empty when it did not come about: nothing was understood, or the answer was not played.
    """
    before = await browser.run("document.querySelectorAll('.turn').length")
    await browser.hold_space_until("/coffee/i.test(document.getElementById('hearing').textContent)")
    await browser.run(START_RECORDER)
    last = f"[...document.querySelectorAll('.turn')][{before}]"
    try:
        await browser.until(f"{last}?.querySelector('.fall')", 90)
        await browser.until(f"{last}.hasAttribute('data-spoken')", 60)
    except AssertionError:
        await browser.run("document.getElementById('quiet').click()")
        return ""
    asked = (await shown(browser, ".question"))[before]
    if "coffee" not in asked.lower() or "spoken" not in asked:
        return ""
    await asyncio.sleep(1.5)  # what the network and the browser still hold back
    return load_hearing().transcriber.transcribe(voiced(await recorded(browser, 16_000))).text


def voiced(sound: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The sound at 16 kHz without its long silences; at most as much as whisper takes at once."""
    blocks = sound[: len(sound) // 1600 * 1600].reshape(-1, 1600)
    loud = np.sqrt(np.mean(blocks**2, axis=1)) > 0.003
    near = np.convolve(loud, np.ones(7), mode="same") > 0
    return np.ascontiguousarray(blocks[near].reshape(-1)[: 28 * 16_000])


async def ask_aloud(browser: Browser, attempts: int = 4) -> str:
    """What the answer to the spoken question sounds like.

    On a loaded machine Chromium's microphone stutters, and so does what it plays: then ask again,
    as a wearer would.
    """
    said = ""
    for _ in range(attempts):
        said = await spoken_answer(browser)
        if "coffee" in said.lower():
            break
    return said


async def read_until(output: asyncio.StreamReader, words: str) -> str:
    """The first line that holds these words."""
    async with asyncio.timeout(400):
        while words not in (line := (await output.readline()).decode()):
            assert line, f"the server ended before it said {words!r}"
    return line


@pytest.mark.assets
async def test_a_real_server_answers_a_real_browser(
    tmp_path: Path, demo_camera: Path, spoken_question: Path
) -> None:
    try:
        asset_path("smollm2-135m", "hf/config.json")
        asset_path("whisper-tiny-en", "model.bin")
    except AssetError as error:
        pytest.skip(str(error))
    if not (cache_root() / "index").is_dir():
        pytest.skip("the knowledge base index is not built (`foveal index build`)")
    server = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "foveal.cli", "serve", "--port", "0"),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert server.stdout is not None
    try:
        url = (await read_until(server.stdout, "listens on")).split()[-1]
        await read_until(server.stdout, "ready")
        async with Browser(tmp_path / "browser", demo_camera, spoken_question) as browser:
            await start(browser, url, 150)
            await browser.until("foveal.voice !== null")
            await browser.run(START_RECORDER)
            await ask(browser, QUESTION, 1, 120)
            (answer,) = await shown(browser, ".answer")
            assert "coffee" in answer.lower()
            assert "Coffee" in await shown(browser, ".card strong")
            assert await shown(browser, ".asking b")
            await browser.until("document.querySelector('.turn').hasAttribute('data-spoken')", 60)
            assert await heard(browser) > 0.005
            assert "coffee" in (await ask_aloud(browser)).lower()
            assert browser.errors == []
        server.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(server.wait(), 30) == 0
    finally:
        if server.returncode is None:
            server.kill()
            await server.wait()
