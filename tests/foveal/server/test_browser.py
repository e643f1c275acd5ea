"""The web client in a real browser against a live server over doubles."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiortc import RTCIceServer

from foveal.live.engine import Engine
from foveal.live.protocol.server import TranscriptMessage
from foveal.live.recording import RecordPolicy
from foveal.live.room import RoomLimits
from foveal.live.speech.microphone import Ear
from foveal.server.app import ServeConfig
from stream.clock import Clock
from stream.errors import BackendError
from stream.events import TokenStep
from tests.doubles.reasoning import ScriptedLMM, ScriptState
from tests.foveal.live.live_rig import SAID, fake_engine, make_stages, until
from tests.foveal.server.browser_rig import (
    PAINTED,
    PICTURED,
    START_RECORDER,
    ask,
    browser,
    heard,
    shown,
    start,
)
from tests.foveal.server.chromium import PROGRAM, Browser
from tests.foveal.server.serve_rig import PeerClient, Site

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no Chromium on this machine")
__all__ = ["browser"]
ONE_CAMERA_AT_A_TIME = """(() => {
  const devices = navigator.mediaDevices, open = devices.getUserMedia.bind(devices);
  let last = null;
  devices.getUserMedia = async wanted => {
    if (wanted.video && last?.readyState === 'live')
      throw new DOMException('in use', 'NotReadableError');
    const stream = await open(wanted);
    last = stream.getVideoTracks()[0] ?? last;
    return stream;
  };
})()"""


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


class Breaking(ScriptedLMM):
    """Goes away behind its last words, as a server may."""

    def step(self, state: ScriptState, may_search: bool) -> TokenStep:
        if not state.left:
            raise BackendError("the server went away")
        return super().step(state, may_search)


async def test_a_part_of_an_answer_is_shown_as_one(browser: Browser) -> None:
    engine = Engine(lambda: make_stages(lmm=Breaking(("It drinks",))))
    async with Site(ServeConfig(), engine) as site:
        await start(browser, site.url)
        await ask(browser, "What does it do?", 1)
        assert await shown(browser, ".answer .cut") == ["cut off: the server went away"]
        assert (await shown(browser, ".answer"))[0].startswith("It drinks")


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
        assert room.connections == 4  # camera, events, view, microphone
        await asyncio.wait_for(peak, 20)  # the wearer hears it as well
        await browser.until("document.querySelector('.turn').hasAttribute('data-spoken')")
        assert await heard(browser) > 0.01
        await browser.run("document.getElementById('stop').click()")
        await until(lambda: room.connections == 1)
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

    def pause(self) -> None:
        """The browser's test tone may stop for a while."""

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


async def test_a_second_screen_is_told_why_it_was_refused(browser: Browser) -> None:
    from devices.http.admission import Grant, hash_token

    grants = [Grant(hash_token("open-sesame"))]
    async with Site(ServeConfig(lambda: grants, limits=RoomLimits(max_sessions=0))) as site:
        await browser.open(f"{site.url}/#token=wrong&conversation=theirs")
        await browser.until("document.getElementById('login').open")
        assert any("token" in note for note in await shown(browser, ".note"))
        await browser.open("about:blank")
        await browser.open(f"{site.url}/#token=open-sesame&conversation=theirs")
        await browser.until("document.querySelector('.note')")
        assert any("sessions" in note for note in await shown(browser, ".note"))
        browser.errors.clear()  # the browser logs what was refused


async def test_the_other_camera_of_a_phone_that_opens_one_at_a_time(browser: Browser) -> None:
    async with Site(ServeConfig()) as site:
        await browser.open(site.url)
        await browser.run(ONE_CAMERA_AT_A_TIME)
        await browser.run("document.getElementById('use-camera').click()")
        await browser.until("foveal.regions !== null && foveal.regions !== undefined", 60)
        track = "foveal.link.media.getVideoTracks()[0].id"
        before = await browser.run(track)
        await browser.run("document.getElementById('flip').click()")
        await browser.until(f"{track} !== {before!r}", 20)
        seen = await browser.run("foveal.regions.pts_ms")
        await browser.until(f"foveal.regions.pts_ms > {seen} + 500", 30)
        await ask(browser, "What is this?", 1)
        assert await shown(browser, ".answer") == [SAID]
