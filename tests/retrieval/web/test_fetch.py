"""Which addresses are public."""

import asyncio
import threading

import pytest
from aiohttp.resolver import ThreadedResolver

from retrieval.web import fetch
from retrieval.web.fetch import fetch_json, is_public
from stream.errors import QueryError


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1:248:1893:25c8:1946", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("100.64.0.1", False),
        ("169.254.169.254", False),
        ("192.168.1.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fc00::1", False),
        ("::ffff:127.0.0.1", False),
        ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False),
    ],
)
def test_is_public(address: str, public: bool) -> None:
    assert is_public(address) is public


def test_plain_http_goes_to_no_public_address() -> None:
    with pytest.raises(QueryError, match="https for the public address"):
        fetch_json("http://93.184.216.34/", {}, 1.0, 1024, allow_private=True)


def test_a_name_that_is_never_resolved_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    hold = threading.Event()

    async def stuck(*_: object) -> None:
        await asyncio.get_running_loop().run_in_executor(None, hold.wait)

    monkeypatch.setattr(ThreadedResolver, "resolve", stuck)
    monkeypatch.setattr(fetch, "GRACE_S", 0.05)
    try:
        with pytest.raises(QueryError, match="within 0.1 s"):
            fetch_json("https://name.invalid/", {}, 0.1, 1024)
    finally:
        hold.set()
