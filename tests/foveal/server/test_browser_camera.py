"""The page's own camera in a real browser: masks lie on the picture that they were made from; a
camera that goes silent, or ends, is opened again."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from foveal.live.camera_watch import STALLED
from foveal.live.engine import Engine
from foveal.server.app import ServeConfig
from tests.doubles.devices import ToneSpeaker
from tests.doubles.perception import BrightTracker
from tests.foveal.live.live_rig import make_stages
from tests.foveal.server.browser_rig import browser, shown, start
from tests.foveal.server.chromium import PROGRAM, Browser
from tests.foveal.server.serve_rig import Site

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no Chromium on this machine")
__all__ = ["browser"]
WORD = "document.getElementById('camera-word').textContent"
SILENT = "foveal.link.peer.getSenders().find(one => one.track.kind === 'video').replaceTrack(null)"
# As when it is unplugged: the page's own stop() tells nobody.
UNPLUG = """(() => {
  const track = document.getElementById('source').srcObject.getVideoTracks()[0];
  track.stop();
  track.dispatchEvent(new Event('ended'));
})()"""


async def test_a_camera_that_goes_silent_is_told_and_opened_again(browser: Browser) -> None:
    async with Site(ServeConfig()) as site:
        await start(browser, site.url)
        (room,) = site.server.rooms.all
        assert await browser.run(WORD) == "Camera in use"
        await browser.run(
            "window.words = []; new MutationObserver(() => words.push("
            f"{WORD})).observe(document.getElementById('camera-word'),"
            " {childList: true}); undefined"
        )
        await browser.run(SILENT)
        await browser.until("words.includes('No pictures')", 15)
        await browser.until(f"{WORD} === 'Camera in use'", 15)  # it sends again
        assert STALLED in await shown(browser, ".note")
        at = await browser.run("foveal.regions.pts_ms")
        await browser.until(f"foveal.regions.pts_ms > {at + 500}")
        assert room.live.camera


async def test_a_camera_that_ended_is_opened_again(browser: Browser) -> None:
    async with Site(ServeConfig()) as site:
        await start(browser, site.url)
        await browser.run(UNPLUG)
        note = "The camera has stopped; it is opened again."
        assert note in await shown(browser, ".note")
        await browser.until(
            "document.getElementById('source').srcObject.getVideoTracks()[0].readyState === 'live'"
        )
        at = await browser.run("foveal.regions.pts_ms")
        await browser.until(f"foveal.regions.pts_ms > {at + 500}")


SIZE, SIDE, STEP = (360, 640), 80, 16  # of the camera, of the bright square, pixels a picture
# Where the square's middle is in the picture, and in the masks: shares of the width, row by row.
APART = """new Promise(done => {
  const seen = [], centre = (id, inside) => {
    const canvas = document.getElementById(id), {width, height} = canvas;
    const {data} = canvas.getContext('2d').getImageData(0, height / 2 | 0, width, 1), at = [];
    for (let x = 0; x < width; x++) if (inside(data, 4 * x)) at.push(x);
    return at.length ? (at[0] + at[at.length - 1]) / 2 / width : null;
  };
  const look = () => {
    const bright = (data, i) => Math.min(...data.slice(i, i + 3)) > 160;
    seen.push([centre('picture', bright), centre('masks', (data, i) => data[i + 3] > 20)]);
    seen.length < 90 ? setTimeout(look, 45) : done(seen);
  };
  look();
})"""


def write_square(path: Path, pictures: int = 120) -> None:
    """A camera for Chromium: a bright square that goes back and forth, 15 pictures a second."""
    height, width = SIZE
    span = width - SIDE
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{width} H{height} F15:1 Ip A1:1 C420jpeg\n".encode())
        for n in range(pictures):
            luma = np.full(SIZE, 80, np.uint8)
            at = abs((n * STEP) % (2 * span) - span)
            top = (height - SIDE) // 2
            luma[top : top + SIDE, at : at + SIDE] = 235
            file.write(b"FRAME\n" + luma.tobytes() + bytes([128]) * (width * height // 2))


async def test_masks_lie_on_the_picture_that_they_were_made_from(tmp_path: Path) -> None:
    camera = tmp_path / "square.y4m"
    write_square(camera)
    engine = Engine(partial(make_stages, tracker=BrightTracker()), ToneSpeaker())
    async with (
        Site(ServeConfig(), engine) as site,
        Browser(tmp_path / "browser", camera) as browser,
    ):
        await start(browser, site.url)
        await browser.until("foveal.regions.captured_ms")  # from its first sender report on
        seen = await browser.run(APART)
        assert browser.errors == []
    pairs = np.array([pair for pair in seen if None not in pair])
    assert len(pairs) > 45
    assert np.ptp(pairs[:, 0]) > 0.2  # it moves
    apart = np.abs(pairs[:, 0] - pairs[:, 1]) * SIZE[1]
    assert np.percentile(apart, 90) < STEP / 2, apart.round(1)
