"""TURN by a real server (coturn): media by relayed addresses alone, and what its faults do."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from aiortc import RTCConfiguration, RTCIceServer, RTCPeerConnection, RTCSessionDescription
from aiortc.rtcconfiguration import RTCIceTransportPolicy

from benchmarks.coturn import Coturn, find_turnserver
from devices.video.policy import FramePolicy, ReceiveOptions
from devices.webrtc.tracks import ViewTrack
from devices.webrtc.turn import IceServer, TurnSecret, current_servers, turn_trouble
from devices.whip.sdp import Role, check_offer
from devices.whip.session import PeerSession
from stream.clock import MonotonicClock
from tests.doubles.webrtc import NumberCamera, read_number

TRANSPORTS = ("udp", "tcp")
NOT_RELAYED = re.compile(r"a=candidate:.* typ (?!relay).*\r\n")


@pytest_asyncio.fixture
async def turn(tmp_path: Path) -> AsyncIterator[Coturn]:
    if find_turnserver() is None:
        pytest.skip("turnserver is not installed (Debian: apt install coturn)")
    async with Coturn(tmp_path) as server:
        yield server


class Call:
    """A camera that may use relayed addresses only, the box, and what passes between them."""

    def __init__(self, servers: list[RTCIceServer], box: Sequence[IceServer]) -> None:
        policy = RTCIceTransportPolicy.RELAY
        self.client = RTCPeerConnection(RTCConfiguration(servers, iceTransportPolicy=policy))
        self.client.addTrack(NumberCamera(30))
        self.channel = self.client.createDataChannel("foveal")
        self.views: list[Any] = []
        self.client.on("track", self.views.append)
        options = ReceiveOptions(FramePolicy.EVERY_FRAME)
        self.box = PeerSession(MonotonicClock(), options, box)
        self.view = ViewTrack()
        self.numbers: list[int] = []

    async def open(self, only_relayed_box: bool = False) -> None:
        await self.client.setLocalDescription(await self.client.createOffer())
        offer = self.client.localDescription.sdp
        assert not NOT_RELAYED.search(offer)
        answer = await self.box.answer(check_offer(offer, Role.DUPLEX), [self.view])
        if only_relayed_box:
            assert " typ relay" in answer
            answer = NOT_RELAYED.sub("", answer)
        await self.client.setRemoteDescription(RTCSessionDescription(answer, "answer"))

    async def see(self, count: int) -> None:
        """Wait for so many pictures at the box, each showing one back."""
        assert self.box.video is not None
        async with asyncio.timeout(25):
            async for frame in self.box.video.frames():
                self.numbers.append(read_number(frame.image))
                self.view.show(frame.image, frame.pts_ns)
                if len(self.numbers) >= count:
                    return

    def relayed(self) -> tuple[str, str]:
        """Kinds of the two candidates on the path in use, the client's first."""
        transport = self.client.getTransceivers()[0].receiver.transport.transport
        (pair,) = transport._connection._nominated.values()
        return pair.local_candidate.type, pair.remote_candidate.type

    async def close(self) -> None:
        await asyncio.gather(self.client.close(), self.box.close())


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_client_with_relayed_addresses_alone_is_seen_and_sees(
    turn: Coturn, transport: str
) -> None:
    call = Call([turn.server(transport)], [])
    asked: list[str] = []
    await call.open()
    await call.see(20)
    assert call.numbers == list(range(call.numbers[0], call.numbers[0] + 20))
    assert call.relayed()[0] == "relay"
    (back,) = call.views
    async with asyncio.timeout(10):
        picture: Any = np.asarray((await back.recv()).to_ndarray(format="rgb24"))
    assert read_number(picture) in call.numbers
    call.box.channel.on("message", asked.append)
    call.channel.send("what is this?")
    await call.see(25)
    async with asyncio.timeout(10):
        while not asked:
            await asyncio.sleep(0.01)
    await call.close()


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_box_that_is_reached_by_its_relayed_address_alone(
    turn: Coturn, transport: str
) -> None:
    server = turn.server(transport)
    call = Call([server], [server])
    await call.open(only_relayed_box=True)
    await call.see(20)
    assert call.relayed() == ("relay", "relay")
    await call.close()


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_wrong_password_is_told_and_other_ways_are_used(
    turn: Coturn, transport: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("WARNING", "devices.webrtc.turn")
    call = Call([turn.server(transport)], [turn.server(transport, "wrong")])
    await call.open()
    await call.see(5)  # by the box's own addresses
    async with asyncio.timeout(10):
        while not caplog.records:
            await asyncio.sleep(0.01)
    (told,) = [record.getMessage() for record in caplog.records]
    where = f"127.0.0.1:{turn.port}/{transport}"
    assert told == (
        f"TURN server {where} gives no relayed address: "
        "it refuses the name or the password (401 Unauthorized)"
    )
    await call.close()


async def test_what_is_wrong_with_a_turn_server_is_said(turn: Coturn) -> None:
    assert await turn_trouble([]) is None
    assert await turn_trouble([RTCIceServer("stun:box.local")]) is None
    for transport in TRANSPORTS:
        assert await turn_trouble([turn.server(transport)]) is None
    await turn.kill()
    udp = await turn_trouble([turn.server("udp")], 0.3)
    tcp = await turn_trouble([turn.server("tcp")])
    where = f"127.0.0.1:{turn.port}"
    assert udp == (f"{where}/udp", "it does not answer within 0.3 s")
    assert tcp is not None and tcp[0] == f"{where}/tcp" and "cannot be reached" in tcp[1]


async def test_credentials_made_of_a_shared_secret_expire(tmp_path: Path) -> None:
    if find_turnserver() is None:
        pytest.skip("turnserver is not installed (Debian: apt install coturn)")
    async with Coturn(tmp_path, secret="shared") as turn:
        good = TurnSecret(turn.url(), "shared", "glasses")
        assert await turn_trouble([good]) is None
        assert await turn_trouble([TurnSecret(turn.url("tcp"), "shared")]) is None
        for bad in (TurnSecret(turn.url(), "other"), TurnSecret(turn.url(), "shared", "", -60)):
            trouble = await turn_trouble([bad])
            assert trouble is not None and "401" in trouble[1]
        call = Call(current_servers([good]), [good])
        await call.open(only_relayed_box=True)
        await call.see(5)
        assert call.relayed() == ("relay", "relay")
        await call.close()
    assert "shared" not in repr(good)


async def test_a_session_ends_though_its_turn_server_is_gone(
    turn: Coturn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("devices.whip.session.CLOSE_S", 0.5)
    server = turn.server()
    call = Call([server], [server])
    await call.open(only_relayed_box=True)
    await call.see(3)
    await turn.kill()
    async with asyncio.timeout(10):  # aioice asks the dead server for a minute
        await call.box.close()
    assert call.box.closed.is_set()
    closing = asyncio.ensure_future(call.client.close())
    await asyncio.sleep(0.1)
    closing.cancel()
