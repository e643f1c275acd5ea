"""A wearer whose network changes in mid-session: the conversation goes on, no answer is lost."""

from typing import Any

import pytest
from aiohttp import StreamReader, web

from devices.webrtc.ice_restart import IceRestarts
from devices.whip.sdp import parse_fragment
from foveal.server.app import ServeConfig
from tests.devices.webrtc.relay import UdpRelay
from tests.foveal.live.live_rig import SAID, until
from tests.foveal.server.browser_rig import ask, browser, shown, start
from tests.foveal.server.chromium import PROGRAM, Browser
from tests.foveal.server.serve_rig import PeerClient, Site
from tests.foveal.server.test_faults import connect_through

__all__ = ["browser"]  # a fixture
FRAGMENT = "application/trickle-ice-sdpfrag"


async def test_wifi_to_cellular_by_ice_restart_keeps_conversation_masklets_and_answers() -> None:
    wifi, cellular, wearer = UdpRelay(seed=41), UdpRelay(seed=42), PeerClient()
    async with Site(ServeConfig()) as site:
        assert await connect_through(wifi, wearer, site) == 201
        hello = await wearer.until("hello")
        shown = await wearer.until("regions", 2)
        wearer.say("ask", text="What is this?")
        await wearer.until("end")
        room = site.server.rooms.all[0]
        wifi.down = True
        room.ask("And that?", "other")  # answered while nobody can hear it
        await until(lambda: not room.live.waiting)
        assert len(wearer.of("end")) == 1
        ice = IceRestarts(wearer.peer.sctp.transport.transport)
        offer = await cellular.client_offer("\r\n".join(await ice.gather()))
        headers = {"Content-Type": FRAGMENT, "If-Match": "*"}
        response = await site.http.patch(wearer.location, data=offer, headers=headers)
        assert response.status == 200
        answer = parse_fragment(cellular.server_answer(await response.text()))
        for candidate in answer.candidates:
            await ice.add(candidate)
        await ice.add(None)
        assert answer.ufrag is not None and answer.pwd is not None
        ice.check(answer.ufrag, answer.pwd)
        assert (await wearer.until("end", 2))["text"] == SAID
        seen = len(wearer.of("regions"))
        after = await wearer.until("regions", seen + 2)  # the camera is seen again
        assert after["pts_ms"] > shown["pts_ms"]
        same = [region["track_id"] for region in shown["regions"]]
        assert [region["track_id"] for region in after["regions"]] == same
        wearer.say("ask", text="And now?")
        assert (await wearer.until("end", 3))["turn"] == 3
        assert wearer.of("hello") == [hello]  # nothing was connected anew
        numbers = [message["seq"] for message in wearer.heard[1:] if "seq" in message]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        assert site.server.rooms.all == [room] and room.connections == 1
        await wearer.close()
    wifi.close()
    cellular.close()


class Networks:
    """What lies between a browser and the server: each way that is agreed on has its own relay."""

    def __init__(self) -> None:
        self.relays: list[UdpRelay] = []
        self.restarts = True  # False: the server seems to know no ICE restart
        self.asked: list[str] = []  # methods that came through

    @web.middleware
    async def carry(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """Descriptions lead through relays; the browser's own candidates lead nowhere."""
        if not request.path.startswith("/session") or request.method == "OPTIONS":
            return await handler(request)  # type: ignore[no-any-return]
        text = await request.text()
        self.asked.append(request.method)
        restart = request.method == "PATCH" and "ice-pwd" in text
        if request.method == "PATCH" and not restart:
            return web.Response(status=204)
        if restart and not self.restarts:
            return web.Response(status=422)
        lines = [line for line in text.splitlines(keepends=True) if "a=candidate" not in line]
        request._payload = StreamReader(request.protocol, 1 << 16)
        request._payload.feed_data("".join(lines).encode())
        request._payload.feed_eof()
        response = await handler(request)
        if response.status in (200, 201) and request.method != "DELETE":
            self.relays.append(UdpRelay(seed=50 + len(self.relays)))
            response.text = await self.relays[-1].browser_answer(response.text)
        return response  # type: ignore[no-any-return]

    def close(self) -> None:
        for relay in self.relays:
            relay.close()


@pytest.mark.skipif(PROGRAM is None, reason="no Chromium on this machine")
@pytest.mark.parametrize("restarts", [True, False])
async def test_the_page_follows_to_another_network(browser: Browser, restarts: bool) -> None:
    networks = Networks()
    networks.restarts = restarts
    async with Site(ServeConfig(), network=networks.carry) as site:
        await start(browser, site.url)
        await ask(browser, "What is this?", 1)
        name = await browser.run("foveal.link.conversation")
        room = site.server.rooms.all[0]
        networks.relays[0].down = True  # Wi-Fi is gone
        room.ask("And that?", "other")
        await until(lambda: not room.live.waiting)
        await browser.until("foveal.link.state === 'lost'", 40)
        await browser.until("foveal.link.state === 'live'", 60)
        await browser.until("document.querySelectorAll('.fall').length >= 2", 30)
        await ask(browser, "And now?", 3)
        assert await browser.run("foveal.link.conversation") == name
        assert await shown(browser, ".question") == [
            "What is this?",
            "And that?from elsewhere",
            "And now?",
        ]
        assert await shown(browser, ".answer") == [SAID] * 3
        assert await browser.run("foveal.link.restarts") == int(restarts)
        assert networks.asked.count("POST") == (1 if restarts else 2)
        assert site.server.rooms.all == [room]
        age = await browser.run("foveal.regions.pts_ms")
        await browser.until(f"foveal.regions.pts_ms > {age}", 30)  # pictures flow again
        if not restarts:
            browser.errors.clear()  # the browser logs the 422
    networks.close()
