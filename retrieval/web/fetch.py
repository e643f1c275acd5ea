"""One GET that answers with JSON: bounded in time and size, and kept from private addresses.

A name is resolved once, its addresses are judged, and the connection goes to what was judged: a
name that changes its mind in between (DNS rebinding) gains nothing. Nothing is redirected, no
proxy, cookie or password of the machine is used.
"""

import asyncio
import ipaddress
import json
import socket
from collections.abc import Coroutine, Mapping
from concurrent.futures import Future
from threading import Thread
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from stream.errors import QueryError

GRACE_S = 0.5  # for the request to give up by itself
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def is_public(address: str) -> bool:
    """Whether an IP address is of the internet at large; what it holds of IPv4 counts as well."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour
        if ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return ip.is_global and not ip.is_multicast


class _Refused(OSError):
    """An address that is not to be spoken to."""


def _judge(address: str, scheme: str, allow_private: bool) -> None:
    public = is_public(address)
    if not public and not allow_private:
        raise _Refused(f"expected a public address, got {address}; see web.allow_private")
    if public and scheme != "https":
        raise _Refused(f"expected https for the public address {address}")


class _JudgingResolver(AbstractResolver):
    """Names as the system resolves them, where all their addresses may be spoken to."""

    def __init__(self, scheme: str, allow_private: bool) -> None:
        self._scheme, self._private = scheme, allow_private
        self._system = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._system.resolve(host, port, family)
        for one in found:
            _judge(one["host"], self._scheme, self._private)
        return found

    async def close(self) -> None:
        await self._system.close()


def fetch_json(
    url: str,
    headers: Mapping[str, str],
    timeout_s: float,
    max_bytes: int,
    allow_private: bool = False,
) -> Any:
    """The JSON that `url` answers; blocks the calling thread.

    Raises QueryError, which says what came, for every other outcome.
    """
    host = URL(url).host
    asked = _fetch(url, headers, timeout_s, max_bytes, allow_private)
    answer: Future[Any] = Future()
    # A system that does not resolve a name cannot be interrupted: it is left to itself.
    Thread(target=_run, args=(asked, answer), name="web-search", daemon=True).start()
    try:
        return answer.result(timeout_s + GRACE_S)
    except TimeoutError as error:
        raise QueryError(f"expected an answer of {host} within {timeout_s:g} s") from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise QueryError(f"expected JSON of {host}, got: {error.__cause__ or error}") from error
    except RecursionError as error:
        raise QueryError(f"expected JSON of {host}, got what is nested too deeply") from error


def _run(asked: Coroutine[Any, Any, Any], answer: "Future[Any]") -> None:
    try:
        answer.set_result(asyncio.run(asked))
    except BaseException as error:  # for the thread that waits
        answer.set_exception(error)


async def _fetch(
    url: str, headers: Mapping[str, str], timeout_s: float, max_bytes: int, allow_private: bool
) -> Any:
    target = URL(url, encoded=True)
    if _literal(target.host or ""):  # what names no host is not resolved
        _judge(target.host or "", target.scheme, allow_private)
    connector = aiohttp.TCPConnector(resolver=_JudgingResolver(target.scheme, allow_private))
    asked = {"Accept": "application/json", "User-Agent": "foveal", **headers}
    async with (
        aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=timeout_s),
            cookie_jar=aiohttp.DummyCookieJar(),
        ) as session,
        session.get(target, headers=asked, allow_redirects=False) as response,
    ):
        if response.status != 200:
            raise ValueError(f"status {response.status} {response.reason or ''}".strip())
        return json.loads(await _bounded(response, max_bytes))


def _literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


async def _bounded(response: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    """The body as it is unpacked, so that little which becomes much is refused as well."""
    body = bytearray()
    async for part in response.content.iter_chunked(1 << 14):
        body += part
        if len(body) > max_bytes:
            raise ValueError(f"more than {max_bytes} bytes")
    return bytes(body)
