"""ICE restart: the network under a session is exchanged, and the session notices nothing."""

import asyncio
import re
from typing import Any

import aiohttp
import pytest
from aiortc import RTCIceGatherer

import devices.webrtc.ice_restart
from devices.webrtc.ice_restart import IceRestarts
from devices.whip.endpoint import FRAGMENT
from devices.whip.sdp import SdpFragment, parse_fragment
from tests.devices.webrtc.relay import UdpRelay
from tests.devices.webrtc.test_relay import Link, linked, until
from tests.devices.whip.whip_rig import (
    AUTH,
    Start,
    camera_offer,
    connect,
    start,
)

__all__ = ["camera_offer", "start"]

CREDENTIALS = "a=ice-ufrag:zzzz\r\na=ice-pwd:abcdefghijklmnopqrstuv"
NOWHERE = "a=candidate:1 1 udp 2130706431 192.0.2.1 9 typ host\r\na=end-of-candidates"


def client_ice(link: Link) -> Any:
    """The client's ICE transport, an aiortc one."""
    return link.client.getTransceivers()[0].receiver.transport.transport


async def move(link: Link, restarts: IceRestarts, fresh: UdpRelay) -> SdpFragment:
    """The client restarts ICE through another network; what the session was told."""
    asked = parse_fragment(await fresh.client_offer("\r\n".join(await restarts.gather())))
    answer = parse_fragment(fresh.server_answer(await link.session.restart(asked)))
    for candidate in answer.candidates:
        await restarts.add(candidate)
    await restarts.add(None)
    assert answer.ufrag is not None and answer.pwd is not None
    restarts.check(answer.ufrag, answer.pwd)
    return asked


async def test_a_client_that_moves_to_another_network_keeps_session_messages_and_picture() -> None:
    relay, fresh = UdpRelay(seed=31), UdpRelay(seed=32)
    async with linked(relay) as link:
        etag, transport = link.session.etag, link.session._connection.ice_transport()
        relay.down = True  # Wi-Fi is gone
        link.session.channel.send("an answer that nobody could get")
        link.channel.send("a question that nobody could hear")
        restarts = IceRestarts(client_ice(link))
        old = transport._connection
        asked = await move(link, restarts, fresh)
        await until(lambda: transport._connection is not old and restarts.done == 1)
        made = len(link.camera.shots)
        await until(lambda: link.numbers()[-1] >= made)  # the picture goes on
        await until(lambda: link.heard == ["an answer that nobody could get"])
        await until(lambda: link.asked == ["a question that nobody could hear"])
        assert link.session.etag != etag and not link.session.restarts(asked)
        assert not link.session.closed.is_set() and transport.state == "completed"
        assert old._protocols == []  # its sockets are closed
        fresh.down = True  # and once more
        third = UdpRelay(seed=33)
        await move(link, restarts, third)
        link.session.channel.send("the next")
        await until(lambda: len(link.heard) == 2)
    fresh.close()
    third.close()


async def test_a_restart_that_finds_no_path_leaves_the_session_on_the_old_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(devices.webrtc.ice_restart, "RESTART_S", 0.3)
    async with linked(UdpRelay(seed=34)) as link:
        transport = link.session._connection.ice_transport()
        old = transport._connection
        await link.session.restart(parse_fragment(f"{CREDENTIALS}\r\n{NOWHERE}"))
        other = CREDENTIALS.replace("zzzz", "yyyy")
        await link.session.restart(parse_fragment(other))  # the first one is given up
        restarts = link.session._restarts
        assert restarts is not None
        await until(lambda: not restarts.pending)
        link.session.channel.send("still there")
        await until(lambda: link.heard == ["still there"])
        assert transport._connection is old and restarts.done == 0


async def test_late_candidates_go_to_the_path_they_are_for() -> None:
    relay, fresh = UdpRelay(seed=35), UdpRelay(seed=36)
    async with linked(relay) as link:
        session, restarts = link.session, IceRestarts(client_ice(link))
        offer = await fresh.client_offer("\r\n".join(await restarts.gather()))
        asked = parse_fragment(offer)
        early = SdpFragment(asked.ufrag, asked.pwd, (), complete=False)
        answer = parse_fragment(fresh.server_answer(await session.restart(early)))
        stale = parse_fragment(f"a=ice-ufrag:olda\r\n{NOWHERE}")
        session._ufrags.insert(0, "olda")
        await session.trickle(stale)
        assert session._restarts is not None and session._restarts._next is not None
        assert session._restarts._next._connection.remote_candidates == []
        await session.trickle(asked)
        for candidate in answer.candidates:
            await restarts.add(candidate)
        await restarts.add(None)
        assert answer.ufrag is not None and answer.pwd is not None
        restarts.check(answer.ufrag, answer.pwd)
        await until(lambda: restarts.done == 1)
        session.channel.send("by the new way")
        await until(lambda: link.heard == ["by the new way"])
    fresh.close()


async def test_of_restarts_that_overlap_the_last_one_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[Any] = []

    def make(servers: Any) -> RTCIceGatherer:
        made.append(RTCIceGatherer(servers))
        return made[-1]

    monkeypatch.setattr(devices.webrtc.ice_restart, "RTCIceGatherer", make)
    async with linked(UdpRelay(seed=38)) as link:
        asked = [parse_fragment(CREDENTIALS.replace("zzzz", name)) for name in ("aaaa", "bbbb")]
        told = await asyncio.gather(*map(link.session.restart, asked))
        first, last = (gatherer._connection for gatherer in made)
        assert last.remote_username == "bbbb" and last.local_username in told[1]
        assert first._protocols == [] and last._protocols  # the first one is given up
        await link.session.close()
        assert last._protocols == []


async def test_a_session_that_ends_in_a_restart_leaves_no_socket_open() -> None:
    async with linked(UdpRelay(seed=37)) as link:
        await link.session.restart(parse_fragment(CREDENTIALS))
        assert link.session._restarts is not None and link.session._restarts._next is not None
        looking = link.session._restarts._next._connection
        assert looking._protocols
        await link.session.close()
        assert looking._protocols == []


async def test_whip_restarts_by_patch(start: Start, camera_offer: tuple[Any, str]) -> None:
    endpoint = await start()
    connection = camera_offer[0]
    location = await located(endpoint, connection)
    session = endpoint.sessions[0]
    await asyncio.wait_for(session.connected.wait(), 25)
    before = session.etag
    sent = {"Content-Type": FRAGMENT, **AUTH, "If-Match": "*"}
    url = endpoint.url + location
    no_password = await endpoint.http.patch(url, data="a=ice-ufrag:zzzz", headers=sent)
    assert no_password.status == 400 and session.etag == before
    response: aiohttp.ClientResponse = await endpoint.http.patch(
        url, data=CREDENTIALS, headers=sent
    )
    assert response.status == 200
    assert response.content_type == FRAGMENT
    assert response.headers["ETag"] == session.etag != before
    answer = await response.text()
    assert re.match(r"m=video \d+ \S+ [\d ]+\r\na=mid:0\r\na=ice-ufrag:", answer)
    fragment = parse_fragment(answer)
    assert fragment.pwd and fragment.candidates and fragment.complete
    good = "a=end-of-candidates"
    assert await endpoint.patch(location, good, **{"If-Match": before}) == 412
    assert await endpoint.patch(location, good, **{"If-Match": session.etag}) == 204
    seen = len(endpoint.numbers)
    await until(lambda: len(endpoint.numbers) > seen + 2)  # by the old path, meanwhile


async def located(endpoint: Any, connection: Any) -> str:
    """Connect; the session's place."""
    await connect(endpoint, connection)
    await until(lambda: len(endpoint.sessions) == 1)
    return f"/whip/{endpoint.sessions[0].id}"
