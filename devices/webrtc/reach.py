"""How others reach this machine's media ports: which ports, and under which address.

In a container, or behind a router that forwards ports, the addresses that ICE finds here are not
those to send to, and ports that the system picks are not open.
"""

import ipaddress
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any

from devices.webrtc.aiortc_compat import bind_within
from stream.errors import ConfigError

PRIORITY = 1_677_721_855  # server reflexive (RFC 8445 section 5.1.2.1): after the direct ways
FOUNDATION = "announced"
HOST = 8  # the fewest words of a candidate: its type is the eighth


def parse_ports(text: str) -> range:
    """`40000-40010` -> those ports; raises ConfigError for anything else."""
    first, dash, last = text.partition("-")
    if dash and first.isdecimal() and last.isdecimal() and 0 < int(first) <= int(last) < 65_536:
        return range(int(first), int(last) + 1)
    raise ConfigError(f"expected --udp-ports as 40000-40010, got {text!r}")


def parse_address(text: str) -> str:
    """An IP address in its usual form; raises ConfigError for anything else."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError as error:
        raise ConfigError(f"expected --announce as an IP address, got {text!r}") from error


def within_ports(ports: range) -> Callable[[Any], AsyncIterator[None]]:
    """For an aiohttp application's `cleanup_ctx`: while it runs, ICE uses these UDP ports only."""

    async def bound(_: Any) -> AsyncIterator[None]:
        with bind_within(ports):
            yield

    return bound


def announced(candidates: Iterable[str], addresses: Sequence[str]) -> list[str]:
    """Candidate lines of ours that tell of the same ports under other addresses.

    They are server reflexive: that is what an address is that a router or a container's host
    translates. Each local port is told once per address.
    """
    found: dict[tuple[str, str], str] = {}
    for line in candidates:
        words = line.removeprefix("a=candidate:").split()
        if len(words) < HOST or words[7] != "host" or words[2].lower() != "udp":
            continue
        local, port = ipaddress.ip_address(words[4]), words[5]
        for address in addresses:
            if ipaddress.ip_address(address).version != local.version:
                continue
            told = f"a=candidate:{FOUNDATION} {words[1]} udp {PRIORITY} {address} {port}"
            found.setdefault((address, port), f"{told} typ srflx raddr {local} rport {port}")
    return list(found.values())
