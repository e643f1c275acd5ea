"""Who floods the doors gets no more than the places there are, and drives nobody out."""

import asyncio

from foveal.live.room import RoomLimits
from foveal.server.app import ServeConfig
from tests.foveal.live.live_rig import until
from tests.foveal.server.serve_rig import PeerClient, Site
from tests.foveal.server.test_authority import bearer, grants, wear


async def offer() -> str:
    """One that will never be followed by a connection."""
    client = PeerClient()
    await client.peer.setLocalDescription(await client.peer.createOffer())
    text = str(client.peer.localDescription.sdp)
    await client.peer.close()
    return text


async def send(site: Site, text: str, token: str) -> int:
    headers = {"Content-Type": "application/sdp", **bearer(token)}
    return (await site.http.post("/session", data=text, headers=headers)).status


async def test_offers_that_overlap_get_no_more_places_than_there_are() -> None:
    async with Site(ServeConfig(grants, limits=RoomLimits(max_sessions=2))) as site:
        texts = [await offer() for _ in range(8)]
        answers = await asyncio.gather(*(send(site, text, "other") for text in texts))
        assert sorted(answers) == [201] * 2 + [503] * 6
        assert site.server.rooms.active == 2 and len(site.server.rooms.all) == 2


async def test_a_waiting_wearer_outlasts_any_number_of_bad_and_abandoned_offers() -> None:
    limits = RoomLimits(max_sessions=2, max_parked=1)
    async with Site(ServeConfig(grants, limits=limits)) as site:
        wearer, name = await wear(site)
        await wearer.close()
        await until(lambda: site.server.rooms.active == 0, 15.0)
        text = await offer()
        unusable = text.replace("VP8", "VP99").replace("H264", "H999").replace("opus", "opium")
        for _ in range(4):
            assert await send(site, unusable, "other") == 422
        assert [room.id for room in site.server.rooms.all] == [name]
        assert await send(site, text, "other") == 201
        (signals, *_) = site.server.signals
        for session in signals.sessions:
            await session.close()  # as when the time to connect is over
        await until(lambda: len(site.server.rooms.all) == 1)
        assert site.server.rooms.all[0].id == name
        back = PeerClient()
        assert await back.connect(site, f"?conversation={name}", **bearer("wearer")) == 201
        assert (await back.until("hello"))["conversation"] == name
        await back.close()


async def test_sessions_left_behind_by_one_end_before_another_s() -> None:
    limits = RoomLimits(max_sessions=2, max_parked=2)
    async with Site(ServeConfig(grants, limits=limits)) as site:
        wearer, name = await wear(site)
        await wearer.close()
        await until(lambda: site.server.rooms.active == 0, 15.0)
        for _ in range(4):
            socket = await site.socket(**bearer("other"))
            await socket.until("hello")
            await socket.close()
            await until(lambda: site.server.rooms.active == 0)
        await site.server.rooms.sweep()
        assert len(site.server.rooms.all) == 2
        assert site.server.rooms.find(name) is not None
