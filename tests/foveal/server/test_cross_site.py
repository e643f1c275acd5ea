"""What a page of another site tries in a visitor's browser, with whatever the visitor may do."""

import aiohttp
import pytest

from devices.http.proxies import parse_proxies
from foveal.server.app import ServeConfig
from stream.errors import ConfigError
from tests.foveal.server.serve_rig import PeerClient, Site
from tests.foveal.server.test_cameras import photo

EVIL = ("https://evil.example", "null", "http://127.0.0.1", "http://localhost:1")


@pytest.mark.parametrize("origin", EVIL)
async def test_a_foreign_page_neither_posts_nor_connects(origin: str) -> None:
    async with Site(ServeConfig(photos=True)) as site:
        headers = {"Origin": origin}
        sent = await site.http.post("/photo", data=photo(9), headers=headers)
        assert sent.status == 403 and "Access-Control-Allow-Origin" not in sent.headers
        assert await PeerClient().connect(site, **headers) == 403
        for path in ("/session/x", "/whip/x", "/recordings/x"):
            assert (await site.http.delete(path, headers=headers)).status == 403
        assert (await site.http.patch("/session/x", data="a=x:y", headers=headers)).status == 403
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await site.socket(Origin=origin)
        assert refused.value.status == 403
        assert [room for room in site.server.rooms.all if not room.kept] == []
        assert not site.server.spots[0].room.live.camera


@pytest.mark.parametrize("origin", [None, "own", "https://friend.example"])
async def test_our_own_page_a_friend_s_and_programs_may(origin: str | None) -> None:
    async with Site(ServeConfig(photos=True, origins=("https://friend.example",))) as site:
        named = {} if origin is None else {"Origin": site.url if origin == "own" else origin}
        assert (await site.http.post("/photo", data=photo(9), headers=named)).status == 202
        await (await site.socket(**named)).close()


async def test_no_other_site_embeds_our_answers_and_the_page_speaks_to_us_alone() -> None:
    async with Site(ServeConfig()) as site:
        for path in ("/", "/ready", "/recordings", "/nothing"):
            headers = (await site.http.get(path)).headers
            assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
            assert headers["X-Content-Type-Options"] == "nosniff"
        policy = (await site.http.get("/")).headers["Content-Security-Policy"]
        assert "connect-src 'self';" in policy and "ws:" not in policy


async def test_a_known_proxy_tells_client_host_and_prefix() -> None:
    forwarded = {
        "X-Forwarded-For": "6.6.6.6, 203.0.113.7",
        "X-Forwarded-Host": "box.example",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Prefix": "/foveal/",
    }
    config = ServeConfig(grants=tuple, proxies=parse_proxies(["127.0.0.0/8"]), photos=True)
    async with Site(config) as site:
        mine = {**forwarded, "Origin": "https://box.example"}
        assert (await site.http.post("/photo", data=b"", headers=mine)).status == 401
        foreign = {**forwarded, "Origin": site.url}
        assert (await site.http.post("/photo", data=b"", headers=foreign)).status == 403
        for _ in range(30):  # one client's flood, whatever it says of itself before the proxy
            spoofed = {**forwarded, "X-Forwarded-For": f"{_}.1.1.1, 203.0.113.7"}
            last = await site.http.post("/photo", data=b"", headers=spoofed)
        other = {**forwarded, "X-Forwarded-For": "203.0.113.8"}
        assert last.status == 429
        assert (await site.http.post("/photo", data=b"", headers=other)).status == 401


async def test_the_session_s_address_has_the_prefix_that_the_proxy_took_away() -> None:
    config = ServeConfig(proxies=parse_proxies(["127.0.0.1"]))
    async with Site(config) as site:
        wearer = PeerClient()
        prefixed = {"X-Forwarded-Prefix": "/foveal"}
        assert await wearer.connect(site, **prefixed) == 201
        assert wearer.location.startswith("/foveal/session/")
        await wearer.close()
        odd = PeerClient()
        assert await odd.connect(site, **{"X-Forwarded-Prefix": "//evil.example"}) == 201
        assert odd.location.startswith("/session/")
        await odd.close()


async def test_nobody_else_s_word_on_the_client_counts() -> None:
    async with Site(ServeConfig(grants=tuple, photos=True)) as site:
        for number in range(30):
            spoofed = {"X-Forwarded-For": f"{number}.1.1.1", "X-Forwarded-Prefix": "/x"}
            last = await site.http.post("/photo", data=b"", headers=spoofed)
        assert last.status == 429
        claimed = {"X-Forwarded-Host": "evil.example", "Origin": "https://evil.example"}
        assert (await site.http.delete("/whip/x", headers=claimed)).status == 403


@pytest.mark.parametrize("text", ["proxy.local", "10.0.0.0/33", ""])
def test_what_is_no_address_of_a_proxy_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="proxy's address"):
        parse_proxies([text])
