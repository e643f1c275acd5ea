"""The page where only a TURN server leads to the box, and one with a password that is wrong."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from benchmarks.coturn import Coturn, find_turnserver
from foveal.server.app import ServeConfig
from tests.foveal.live.live_rig import SAID
from tests.foveal.server.browser_rig import ask, browser, shown, start
from tests.foveal.server.chromium import PROGRAM, Browser
from tests.foveal.server.serve_rig import Site

__all__ = ["browser"]  # a fixture
pytestmark = [
    pytest.mark.skipif(PROGRAM is None, reason="no Chromium on this machine"),
    pytest.mark.skipif(find_turnserver() is None, reason="turnserver is not installed"),
]
RELAY_ONLY = """
  const Stock = RTCPeerConnection;
  window.RTCPeerConnection = class extends Stock {
    constructor(options) { super({...options, iceTransportPolicy: 'relay'}); }
  };
"""
PATHS = """foveal.link.peer.getStats().then(stats => [...stats.values()].filter(one =>
  one.type === 'candidate-pair' && one.nominated).map(one => stats.get(one.localCandidateId))
  .map(one => [one.candidateType, one.relayProtocol]))"""


@pytest_asyncio.fixture
async def turn(tmp_path: Path) -> AsyncIterator[Coturn]:
    async with Coturn(tmp_path) as server:
        yield server


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_a_page_that_reaches_the_box_through_a_turn_server_alone(
    browser: Browser, turn: Coturn, transport: str
) -> None:
    await browser.call("Page.addScriptToEvaluateOnNewDocument", source=RELAY_ONLY)
    async with Site(ServeConfig(ice_servers=(turn.server(transport),))) as site:
        await start(browser, site.url)
        await ask(browser, "What is this?", 1)
        assert await shown(browser, ".answer") == [SAID]
        assert await browser.run(PATHS) == [["relay", transport]]


async def test_a_turn_server_that_refuses_the_password_is_told_of(
    browser: Browser, turn: Coturn
) -> None:
    await browser.call("Page.addScriptToEvaluateOnNewDocument", source=RELAY_ONLY)
    async with Site(ServeConfig(ice_servers=(turn.server(password="wrong"),))) as site:
        await browser.open(site.url)
        await browser.run("document.getElementById('use-camera').click()")
        await browser.until("document.querySelector('.note')")
        assert await shown(browser, ".note") == [
            f"The TURN server 127.0.0.1:{turn.port} refuses the name or the password that the box "
            "gave for it (401)."
        ]
