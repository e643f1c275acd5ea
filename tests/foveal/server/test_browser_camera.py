"""The page's own camera in a real browser: one that goes silent, or ends, is opened again."""

import pytest

from foveal.live.camera_watch import STALLED
from foveal.server.app import ServeConfig
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
