"""The web seam against a real HTTP server: what is sent, read, bounded, refused and logged."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from retrieval.web.config import WebConfig
from retrieval.web.searcher import WebFallback, WebSearcher
from stream.errors import QueryError
from stream.events import Evidence, Query, QueryFilter
from stream.geometry import encode_mask
from stream.outgoing import OutgoingLog
from tests.doubles.reasoning import ScriptedSearcher

RESULTS = [
    {
        "title": "Kettle <b>care</b>",
        "content": "Pour at 93&nbsp;&deg;C. <script>Never</script> boil it dry.",
        "url": "https://kettle.example/care",
        "publishedDate": "2026-05-01T00:00:00",
    },
    "odd",
    {"title": "No text", "content": None, "url": "https://x.example"},
    {"title": "Old", "content": "An old page says this.", "url": "javascript:alert(1)"},
]


class Endpoint:
    """A server that answers as it is told to and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[web.Request] = []
        self.body: Any = {"results": RESULTS}
        self.raw: bytes | None = None
        self.status = 200
        self.headers: dict[str, str] = {}
        self.hold: asyncio.Event | None = None

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request)
        if self.hold is not None:
            await self.hold.wait()
        body = json.dumps(self.body).encode() if self.raw is None else self.raw
        return web.Response(body=body, status=self.status, headers=self.headers)


@pytest.fixture
async def endpoint() -> Endpoint:
    return Endpoint()


@pytest.fixture
async def url(endpoint: Endpoint) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_get("/{path:.*}", endpoint.answer)
    async with TestServer(app) as server:
        yield str(server.make_url("/search")) + "?q={query}&n={k}&format=json"
        if endpoint.hold is not None:
            endpoint.hold.set()


def local(url: str, **others: Any) -> WebConfig:
    return WebConfig(url, allow_private=True, **others)


async def search(
    config: WebConfig, query: Query, log: OutgoingLog | None = None, **secrets: str
) -> list[Evidence]:
    searcher = WebSearcher(config, log or OutgoingLog(), secrets)
    return await asyncio.to_thread(searcher.search, query)


async def test_results_become_evidence(url: str, endpoint: Endpoint) -> None:
    found = await search(local(url), Query("text", "How hot & why?", 3))
    assert endpoint.asked[0].query == {"q": "How hot & why?", "n": "3", "format": "json"}
    kettle, old = found
    assert (kettle.id, kettle.title) == ("web:https://kettle.example/care", "Kettle care")
    assert kettle.text == "Pour at 93 °C. Never boil it dry."
    assert (kettle.score, kettle.tier, kettle.source) == (1, "unvetted", kettle.id[4:])
    assert old.score == 0.5 and old.source.startswith("127.0.0.1")  # its link is no page
    assert len(await search(local(url), Query("text", "how", 1))) == 1


async def test_other_shapes_and_secrets(url: str, endpoint: Endpoint) -> None:
    endpoint.body = {"web": {"items": [{"head": ["Kettle"], "about": "It boils water."}]}}
    shape = {"results": "web.items", "title": "head.0", "text": "about"}
    config = local(url, headers=("X-Token: $KEY", "X-Plain: yes"), **shape)
    (found,) = await search(config, Query("text", "kettle"), KEY="secret")
    assert (found.title, found.text) == ("Kettle", "It boils water.")
    headers = endpoint.asked[0].headers
    assert (headers["X-Token"], headers["X-Plain"]) == ("secret", "yes")
    assert "Cookie" not in headers and "secret" not in str(endpoint.asked[0].url)
    endpoint.body = [{"title": "Kettle", "content": "It boils water."}]
    assert len(await search(local(url, results=""), Query("text", "kettle"))) == 1


async def test_pictures_never_leave_the_machine(url: str, endpoint: Endpoint) -> None:
    image = np.zeros((8, 8, 3), np.uint8)
    mask = encode_mask(np.ones((8, 8), dtype=bool))
    log = OutgoingLog()
    for query in (
        Query("image", "<image>", image=image, about="What is this?"),
        Query("region", "<region>", image=image, mask=mask, about="What is this?"),
        Query("text", "keys", source="memory"),
        Query("text", "keys", filter=QueryFilter(tiers=("own", "vetted"))),
    ):
        assert await search(local(url), query, log) == []
    assert endpoint.asked == [] and log.recent == ()


async def test_a_filter_of_time_holds(url: str) -> None:
    may = 1_777_593_600_000_000_000  # 2026-05-01
    after = Query("text", "how", filter=QueryFilter(after_ns=may))
    assert [one.title for one in await search(local(url), after)] == ["Kettle care"]
    before = Query("text", "how", filter=QueryFilter(before_ns=may))
    assert await search(local(url), before) == []


@pytest.mark.parametrize(
    ("raw", "status", "headers", "reason"),
    [
        (b"no json", 200, {}, "expected JSON"),
        (b"[" * 4000, 200, {}, "nested too deeply"),
        (b'{"results": {}}', 200, {}, "a list of results at 'results'"),
        (b"{}", 200, {}, "got NoneType; see web.results"),
        (b"x" * 5000, 200, {}, "more than 4096 bytes"),
        (gzip.compress(bytes(1 << 20)), 200, {"Content-Encoding": "gzip"}, "more than 4096"),
        (b"", 500, {}, "status 500"),
        (b"", 302, {"Location": "http://169.254.169.254/"}, "status 302"),
        (b"\xff\xfe{", 200, {}, "expected JSON"),
    ],
)
async def test_answers_that_are_none(
    url: str, endpoint: Endpoint, raw: bytes, status: int, headers: dict[str, str], reason: str
) -> None:
    endpoint.raw, endpoint.status, endpoint.headers = raw, status, headers
    log = OutgoingLog()
    with pytest.raises(QueryError, match=reason):
        await search(local(url, max_bytes=4096), Query("text", "how"), log)
    assert len(endpoint.asked) == 1
    (sent,) = log.recent
    assert sent.words == "how" and reason.split()[0] in sent.outcome


async def test_a_server_that_never_answers(url: str, endpoint: Endpoint) -> None:
    endpoint.hold = asyncio.Event()
    with pytest.raises(QueryError, match=r"within 0\.2 s"):
        await search(local(url, timeout_s=0.2), Query("text", "how"))


async def test_nobody_listens() -> None:
    with pytest.raises(QueryError, match="expected JSON of 127.0.0.1"):
        await search(local("http://127.0.0.1:1/?q={query}"), Query("text", "how"))


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "2130706433", "①②⑦.0.0.1"])
async def test_private_addresses_are_refused_unless_allowed(
    url: str, endpoint: Endpoint, host: str
) -> None:
    port = url.split(":")[2].split("/")[0]
    config = WebConfig(f"https://{host}:{port}/search?q={{query}}")
    with pytest.raises(QueryError, match="a public address|not a canonical IPv4 address"):
        await search(config, Query("text", "how"))
    assert endpoint.asked == []


async def test_what_is_sent_is_logged(url: str, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "outgoing.jsonl"
    log = OutgoingLog(path)
    await search(local(url), Query("text", "how hot?\nand " + "x" * 1000), log)
    (row,) = map(json.loads, path.read_text().splitlines())
    assert row["words"].startswith("how hot? and xxx") and len(row["words"]) == 400
    assert row["server"] in url and row["outcome"] == "2 results" and row["at_ns"] > 1 << 60


class TestFallback:
    """Local evidence first."""

    def made(self, url: str, scores: list[float]) -> WebFallback:
        found = [Evidence(f"n:{s}", "Note", "Words.", s, "notes", tier="own") for s in scores]
        web = WebSearcher(local(url), OutgoingLog(), {})
        return WebFallback(ScriptedSearcher({"how": found}), web, 0.5)

    async def test_nothing_is_sent_where_the_index_knows(
        self, url: str, endpoint: Endpoint
    ) -> None:
        found = await asyncio.to_thread(self.made(url, [0.7, 0.1]).search, Query("text", "how", 3))
        assert [one.id for one in found] == ["n:0.7", "n:0.1"] and endpoint.asked == []

    @pytest.mark.parametrize(("k", "local_kept", "sent"), [(1, 0, 1), (2, 1, 1), (3, 1, 2)])
    async def test_the_web_fills_what_is_left(
        self, url: str, k: int, local_kept: int, sent: int
    ) -> None:
        searcher = self.made(url, [0.4, 0.3, 0.2][:k])
        found = await asyncio.to_thread(searcher.search, Query("text", "how", k))
        assert [one.tier for one in found] == ["own"] * local_kept + ["unvetted"] * sent

    async def test_what_fails_leaves_the_local_evidence(self, url: str, endpoint: Endpoint) -> None:
        endpoint.status = 503
        found = await asyncio.to_thread(self.made(url, [0.4]).search, Query("text", "how", 3))
        assert [one.id for one in found] == ["n:0.4"] and len(endpoint.asked) == 1
