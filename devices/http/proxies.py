"""Reverse proxies: whom a request really comes from, told by those that are trusted to tell."""

import ipaddress
import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from aiohttp import web

from stream.errors import ConfigError

PREFIX = web.RequestKey("forwarded_prefix", str)  # what the proxy took away from the path
_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)+")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Next = Callable[[web.Request], Awaitable[web.StreamResponse]]


def parse_proxies(texts: Iterable[str]) -> tuple[Network, ...]:
    """Addresses or networks (10.0.0.0/8) of proxies; raises ConfigError for anything else."""
    networks = []
    for text in texts:
        try:
            networks.append(ipaddress.ip_network(text))
        except ValueError as error:
            raise ConfigError(
                f"expected a proxy's address or network, as 10.0.0.2 or 10.0.0.0/8, got {text!r}"
            ) from error
    return tuple(networks)


def behind_proxies(proxies: tuple[Network, ...]) -> Any:
    """A middleware: X-Forwarded-For, -Host, -Proto and -Prefix count where a known proxy sets them.

    Anybody can send these headers; from others than `proxies` they are passed over. The client is
    the last address in X-Forwarded-For that is no proxy: those before it are its own words.
    """

    @web.middleware
    async def forwarded(request: web.Request, handler: Next) -> web.StreamResponse:
        if not _within(request.remote, proxies):
            return await handler(request)
        told = request.headers
        hops = [hop.strip() for hop in ",".join(told.getall("X-Forwarded-For", ())).split(",")]
        client = next((hop for hop in reversed(hops) if hop and not _within(hop, proxies)), None)
        changes: dict[str, Any] = {} if client is None else {"remote": client}
        if told.get("X-Forwarded-Host"):
            changes["host"] = told["X-Forwarded-Host"]
        if told.get("X-Forwarded-Proto") in ("http", "https"):
            changes["scheme"] = told["X-Forwarded-Proto"]
        seen = request.clone(**changes)
        prefix = told.get("X-Forwarded-Prefix", "").rstrip("/")
        if _PREFIX.fullmatch(prefix):
            seen[PREFIX] = prefix
        return await handler(seen)

    return forwarded


def _within(address: str | None, networks: tuple[Network, ...]) -> bool:
    try:
        one = ipaddress.ip_address(address or "")
    except ValueError:
        return False
    return any(one in network for network in networks)
