"""Media ports that are asked for, and addresses that others know this machine by."""

import asyncio
import errno
import re
from typing import Any

import pytest
from aiohttp import web
from aiortc import RTCSessionDescription

from devices.http.problems import Problem
from devices.video.policy import ReceiveOptions
from devices.webrtc.aiortc_compat import bind_within
from devices.webrtc.reach import announced, parse_address, parse_ports, within_ports
from devices.whip.sdp import check_offer, parse_fragment
from devices.whip.session import PeerSession
from stream.clock import MonotonicClock
from stream.errors import ConfigError
from tests.devices.webrtc.relay import UdpRelay
from tests.devices.webrtc.test_ice_restart import CREDENTIALS
from tests.devices.webrtc.test_relay import linked
from tests.devices.whip.whip_rig import Start, camera_offer, start, until

__all__ = ["camera_offer", "start"]  # fixtures

PORTS = range(41_200, 41_240)
ADDRESS = "203.0.113.9"
CANDIDATE = re.compile(r"a=candidate:\S+ 1 udp \d+ (\S+) (\d+) typ (\w+)")


def candidates(sdp: str) -> list[tuple[str, int, str]]:
    """(address, port, type) of each."""
    return [(host, int(port), kind) for host, port, kind in CANDIDATE.findall(sdp)]


async def test_a_camera_comes_by_the_announced_address_to_a_port_that_was_asked_for(
    start: Start, camera_offer: tuple[Any, str]
) -> None:
    connection, offer = camera_offer
    with bind_within(PORTS):
        endpoint = await start(announce=(ADDRESS,))
        answer = await (await endpoint.post(offer)).text()
        found = candidates(answer)
        assert found and all(port in PORTS for _, port, _ in found)
        outside = {port for host, port, kind in found if (host, kind) == (ADDRESS, "srflx")}
        hosts = [(host, port) for host, port, kind in found if kind == "host" and ":" not in host]
        assert outside and outside == {port for _, port in hosts}
        routed = "".join(  # the client knows the other address only; a router translates it
            line.replace(ADDRESS, hosts[0][0])
            for line in answer.splitlines(keepends=True)
            if not line.startswith("a=candidate") or f" {ADDRESS} {hosts[0][1]} " in line
        )
        assert len(candidates(routed)) == 1
        await connection.setRemoteDescription(RTCSessionDescription(routed, "answer"))
        await until(lambda: len(endpoint.numbers) >= 5)


async def test_a_restart_tells_the_same_ports_and_addresses() -> None:
    with bind_within(PORTS):
        async with linked(UdpRelay(seed=41)) as link:
            link.session._announce = (ADDRESS,)
            told = candidates(await link.session.restart(parse_fragment(CREDENTIALS)))
            assert all(port in PORTS for _, port, _ in told)
            assert any(host == ADDRESS for host, _, _ in told)


async def test_without_a_free_port_the_client_is_told(camera_offer: tuple[Any, str]) -> None:
    offer = check_offer(camera_offer[1])
    with bind_within(range(41_199, 41_200)):
        first = PeerSession(MonotonicClock(), ReceiveOptions(), ())
        assert candidates(await first.answer(offer))
        second = PeerSession(MonotonicClock(), ReceiveOptions(), ())
        with pytest.raises(Problem, match="no free UDP port") as caught:
            await second.answer(offer)
        assert caught.value.status == 503 and second.closed.is_set()
        await first.close()


async def test_only_sockets_of_ice_are_bound_to_those_ports() -> None:
    loop = asyncio.get_running_loop()
    with bind_within(range(41_198, 41_199)):
        for _ in range(2):
            other, _ = await loop.create_datagram_endpoint(
                asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0)
            )
            assert other.get_extra_info("sockname")[1] != 41_198
            other.close()
    with pytest.raises(OSError, match="assign") as caught, bind_within(PORTS):
        await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=("192.0.2.1", 0))
    assert caught.value.errno == errno.EADDRNOTAVAIL


async def test_an_application_keeps_to_its_ports_while_it_runs() -> None:
    loop = asyncio.get_running_loop()
    stock = loop.create_datagram_endpoint
    app = web.Application()
    app.cleanup_ctx.append(within_ports(PORTS))
    runner = web.AppRunner(app)
    await runner.setup()
    assert loop.create_datagram_endpoint != stock
    await runner.cleanup()
    assert loop.create_datagram_endpoint == stock


def test_every_port_is_announced_once_per_address_of_its_family() -> None:
    lines = [
        "a=candidate:1 1 udp 2130706431 10.0.0.2 40000 typ host",
        "a=candidate:2 1 udp 2130706431 172.17.0.2 40000 typ host",
        "a=candidate:3 1 udp 2130706431 10.0.0.3 40001 typ host",
        "a=candidate:4 1 udp 2130706431 fd00::2 40002 typ host",
        "a=candidate:5 1 udp 16777215 198.51.100.1 50000 typ relay raddr 10.0.0.2 rport 1",
        "a=candidate:6 1 tcp 1518280447 10.0.0.2 9 typ host tcptype active",
    ]
    assert [line.split()[4:] for line in announced(lines, [ADDRESS, "2001:db8::9"])] == [
        f"{ADDRESS} 40000 typ srflx raddr 10.0.0.2 rport 40000".split(),
        f"{ADDRESS} 40001 typ srflx raddr 10.0.0.3 rport 40001".split(),
        ["2001:db8::9", "40002", "typ", "srflx", "raddr", "fd00::2", "rport", "40002"],
    ]
    assert announced(lines, []) == []


@pytest.mark.parametrize("text", ["", "40000", "40010-40000", "0-5", "1-65536", "a-b", "-1-5"])
def test_ports_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--udp-ports as 40000-40010"):
        parse_ports(text)


def test_ports_and_addresses_are_read() -> None:
    assert parse_ports("40000-40000") == range(40_000, 40_001)
    assert parse_address("2001:DB8::1") == "2001:db8::1"
    with pytest.raises(ConfigError, match="--announce as an IP address, got 'box.example'"):
        parse_address("box.example")
