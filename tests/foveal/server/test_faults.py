"""A live server behind a bad network: no answer is lost, a dead connection is replaced."""

from typing import Any

from aiortc import RTCSessionDescription

from foveal.live.room import RoomLimits
from foveal.server.app import ServeConfig
from tests.devices.webrtc.relay import UdpRelay
from tests.foveal.live.live_rig import SAID, until
from tests.foveal.server.serve_rig import PeerClient, Site

ONE = ServeConfig(limits=RoomLimits(max_sessions=1))


async def connect_through(relay: UdpRelay, wearer: PeerClient, site: Site, query: str = "") -> int:
    """As `PeerClient.connect`, with everything after the offer through the relay."""
    await wearer.peer.setLocalDescription(await wearer.peer.createOffer())
    offer = await relay.client_offer(wearer.peer.localDescription.sdp)
    headers = {"Content-Type": "application/sdp"}
    response = await site.http.post(f"/session{query}", data=offer, headers=headers)
    if response.status == 201:
        wearer.location = response.headers["Location"]
        answer = relay.server_answer(await response.text())
        await wearer.peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    return int(response.status)


def tokens(messages: list[dict[str, Any]]) -> str:
    """What was said, from the tokens alone."""
    return "".join(one["text"] for one in messages if one["type"] == "token" and one["spoken"])


async def test_answers_come_whole_over_a_network_that_loses_and_reorders() -> None:
    relay, wearer = UdpRelay(seed=21), PeerClient()
    async with Site(ONE) as site:
        assert await connect_through(relay, wearer, site) == 201
        await wearer.until("regions", 2)
        relay.loss, relay.jitter_ms, relay.duplicates = 0.1, 50, 0.1
        for turn in (1, 2, 3):
            wearer.say("ask", text="What is this?")
            assert (await wearer.until("end", turn))["text"] == SAID
        numbers = [message["seq"] for message in wearer.heard[1:] if "seq" in message]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        assert tokens(wearer.heard).count("small vessel") == 3
        seen = len(wearer.of("regions"))
        await wearer.until("regions", seen + 3)  # masks still come
        await wearer.close()
    relay.close()


async def test_a_client_whose_network_vanishes_comes_back_on_another_and_misses_nothing() -> None:
    dead, fresh = UdpRelay(seed=22), UdpRelay(seed=23)
    wearer, back = PeerClient(), PeerClient()
    async with Site(ONE) as site:
        assert await connect_through(dead, wearer, site) == 201
        name = (await wearer.until("hello"))["conversation"]
        await wearer.until("regions", 2)
        seen = wearer.seq
        dead.down = True  # without a word: the server does not know yet
        room = site.server.rooms.all[0]
        room.ask("What is this?", "other")  # answered while nobody can hear it
        await until(lambda: room.log.seq > seen + 3)
        query = f"?conversation={name}&after={seen}"
        assert await connect_through(fresh, back, site, query) == 201  # although one is the limit
        assert (await back.until("end"))["text"] == SAID
        hello = back.of("hello")[0]
        assert (hello["conversation"], hello["missed"]) == (name, 0)
        numbers = [message["seq"] for message in back.heard[1:] if "seq" in message]
        assert numbers == list(range(seen + 1, seen + 1 + len(numbers)))
        await back.until("regions", 3)  # its camera has taken over
        back.say("ask", text="And that?")
        assert (await back.until("end", 2))["turn"] == 2
        await back.close()
        await wearer.close()
    dead.close()
    fresh.close()
