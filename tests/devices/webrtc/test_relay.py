"""Whole sessions (ICE, DTLS, media, data channel) through a seeded bad network."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import aioice.ice
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from devices.video.policy import FramePolicy, ReceiveOptions
from devices.whip.sdp import Role, check_offer
from devices.whip.session import PeerSession
from stream.clock import NS_PER_S, MonotonicClock
from stream.frame import Frame
from tests.devices.webrtc.relay import UdpRelay
from tests.doubles.webrtc import NumberCamera, read_number

FPS = 30


class Link:
    """A camera with a data channel, its session on the server, and the network between."""

    def __init__(self, relay: UdpRelay, camera: NumberCamera, policy: FramePolicy) -> None:
        self.relay, self.camera = relay, camera
        self.client = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.client.addTrack(camera)
        self.channel = self.client.createDataChannel("foveal")
        self.session = PeerSession(MonotonicClock(), ReceiveOptions(policy), [])
        self.frames: list[Frame] = []
        self.heard: list[str] = []  # by the client
        self.asked: list[str] = []  # by the server

    async def open(self) -> None:
        await self.client.setLocalDescription(await self.client.createOffer())
        offer = await self.relay.client_offer(self.client.localDescription.sdp)
        answer = await self.session.answer(check_offer(offer, Role.DUPLEX))
        answer = self.relay.server_answer(answer)
        await self.client.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        self.channel.on("message", self.heard.append)
        async with asyncio.timeout(25):
            await self.session.connected.wait()
            await self.session.channel_opened.wait()
        self.session.channel.on("message", self.asked.append)

    async def watch(self) -> None:
        assert self.session.video is not None
        async for frame in self.session.video.frames():
            self.frames.append(frame)

    def numbers(self) -> list[int]:
        """What the timestamps say was seen; checks that the pictures say the same, in order."""
        first = read_number(self.frames[0].image)
        numbers = [first + round(frame.pts_ns * FPS / NS_PER_S) for frame in self.frames]
        assert [read_number(frame.image) for frame in self.frames] == numbers
        assert all(b > a for a, b in pairwise(numbers))
        return numbers


@asynccontextmanager
async def linked(
    relay: UdpRelay, policy: FramePolicy = FramePolicy.EVERY_FRAME, camera: Any = None
) -> AsyncIterator[Link]:
    link = Link(relay, camera or NumberCamera(FPS), policy)
    await link.open()
    watching = asyncio.create_task(link.watch())
    try:
        await until(lambda: len(link.frames) >= 3)
        yield link
    finally:
        await link.client.close()
        await link.session.close()
        await asyncio.wait_for(watching, 15)
        relay.close()


async def until(condition: Callable[[], bool], timeout_s: float = 25.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("loss", [0.01, 0.05, 0.2])
async def test_loss_costs_no_message_and_gives_no_wrong_picture(loss: float) -> None:
    relay = UdpRelay(seed=7)
    async with linked(relay) as link:
        relay.loss = loss
        sent = [f"message {number}" for number in range(20)]
        for message in sent:
            link.channel.send(message)
            link.session.channel.send(message)
            await asyncio.sleep(0.03)
        await until(lambda: len(link.heard) == len(link.asked) == len(sent))
        assert link.heard == link.asked == sent
        await until(lambda: relay.lost > 0)
        made = len(link.camera.shots)
        await until(lambda: link.numbers()[-1] >= made)  # still live
        assert len(link.frames) >= 0.6 * made


async def test_jitter_of_200_ms_reorders_but_loses_nothing() -> None:
    relay = UdpRelay(seed=8)
    async with linked(relay) as link:
        relay.jitter_ms, relay.duplicates = 200, 0.1
        sent = [f"message {number}" for number in range(20)]
        for message in sent:
            link.session.channel.send(message)
            await asyncio.sleep(0.05)
        made = len(link.camera.shots)
        await until(lambda: link.heard == sent and link.numbers()[-1] >= made)
        assert len([number for number in link.numbers() if number <= made]) >= 0.95 * made


async def test_an_outage_of_three_seconds_ends_neither_session_nor_conversation() -> None:
    relay = UdpRelay(seed=9)
    async with linked(relay) as link:
        relay.down = True
        link.session.channel.send("an answer in the outage")
        await asyncio.sleep(3.0)
        seen, made = len(link.frames), len(link.camera.shots)
        relay.down = False
        await until(lambda: link.heard == ["an answer in the outage"])
        await until(lambda: link.numbers()[-1] >= made)
        assert len(link.frames) > seen
        assert not link.session.closed.is_set()


async def test_a_client_that_changes_its_address_keeps_its_session(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(aioice.ice, "CONSENT_INTERVAL", 0.2)
    relay = UdpRelay(seed=10)
    async with linked(relay) as link:
        ice = link.client.getTransceivers()[0].receiver.transport.transport._connection
        build = ice.build_request
        # As browsers and phones do: checks of the pair in use nominate it again.
        ice.build_request = lambda pair, nominate: build(pair, nominate=True)
        await relay.move()
        made = len(link.camera.shots)
        await until(lambda: link.numbers()[-1] >= made + 5)  # upward it never stopped
        link.session.channel.send("an answer to the new address")
        await until(lambda: link.heard == ["an answer to the new address"])
        assert not link.session.closed.is_set()


class PausingCamera(NumberCamera):
    """Sends nothing between two frames for a while: doffed, too hot, or a lost sensor."""

    paused = False

    async def recv(self) -> Any:
        while self.paused:
            await asyncio.sleep(0.01)
        return await super().recv()


async def test_a_camera_that_pauses_comes_back() -> None:
    camera = PausingCamera(FPS)
    async with linked(UdpRelay(seed=11), FramePolicy.FRESHEST, camera) as link:
        assert link.session.video is not None
        camera.paused = True
        await asyncio.sleep(0.1)
        requests = link.session.video.stats().keyframe_requests
        await asyncio.sleep(1.4)
        seen = len(link.frames)
        await asyncio.sleep(0.3)
        assert len(link.frames) == seen
        camera.paused = False
        made = len(camera.shots)
        await until(lambda: link.numbers()[-1] >= made + 5)
        stats = link.session.video.stats()
        assert stats.decode_errors == 0
        assert stats.keyframe_requests == requests  # a pause is no loss


async def test_a_client_that_dies_without_a_word_ends_its_session_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(aioice.ice, "CONSENT_INTERVAL", 0.1)
    monkeypatch.setattr(aioice.ice, "CONSENT_FAILURES", 2)
    dead, alive = UdpRelay(seed=12), UdpRelay(seed=13)
    async with linked(dead) as one, linked(alive) as other:
        dead.down = True
        await until(one.session.closed.is_set)
        seen = len(other.frames)
        await until(lambda: len(other.frames) >= seen + 5)
        assert not other.session.closed.is_set()
