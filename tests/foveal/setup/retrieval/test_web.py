"""The web is asked where the settings name an endpoint, and only there."""

import asyncio
import json
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from foveal.assets.registry import cache_root
from foveal.config.load import load_config
from foveal.setup.retrieval.web import outgoing_log, with_qdrant, with_web
from retrieval.web.config import WebConfig
from stream.errors import ConfigError
from stream.events import Query
from tests.doubles.reasoning import ScriptedSearcher
from tests.doubles.retrieval import HashEncoder


def settings(folder: Path, text: str) -> WebConfig:
    path = folder / "mine.yaml"
    path.write_text(f"reasoning:\n  web:\n{text}")
    return load_config(path).reasoning.web


def test_off_by_default() -> None:
    local = ScriptedSearcher()
    reasoning = load_config("embedded").reasoning
    assert with_web(local, reasoning.web) is local
    assert with_qdrant(local, reasoning.qdrant, HashEncoder(), None) is local


def test_a_configured_collection_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOVEAL_CACHE", str(tmp_path / "cache"))
    outgoing_log.cache_clear()
    path = tmp_path / "mine.yaml"
    path.write_text('reasoning:\n  qdrant:\n    url: "qdrant:http://127.0.0.1:1#notes"\n')
    try:
        config = load_config(path).reasoning.qdrant
        both = with_qdrant(ScriptedSearcher(), config, HashEncoder(), None)
        assert both.search(Query("text", "kettle")) == []
    finally:
        outgoing_log.cache_clear()
    (row,) = map(json.loads, (cache_root() / "outgoing.jsonl").read_text().splitlines())
    assert (row["seam"], row["server"]) == ("qdrant", "127.0.0.1:1")


def test_wrong_settings_are_told_by_their_key(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"reasoning\.web.*in the clear"):
        settings(tmp_path, "    url: http://searx.example/?q={query}\n")
    with pytest.raises(ConfigError, match=r"reasoning\.web\.timeout_s"):
        settings(tmp_path, "    timeout_s: 1000\n")


def test_a_secret_that_is_not_there(tmp_path: Path) -> None:
    text = '    url: "https://a.example/?q={query}"\n    headers: ["X-Token: $NO_SUCH_TOKEN"]\n'
    with pytest.raises(ConfigError, match="NO_SUCH_TOKEN"):
        with_web(ScriptedSearcher(), settings(tmp_path, text))


async def test_a_configured_endpoint_is_asked_and_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOVEAL_CACHE", str(tmp_path / "cache"))
    outgoing_log.cache_clear()

    async def answer(_: web.Request) -> web.Response:
        row = {"title": "Kettle", "content": "Pour at 93 degrees.", "url": "https://k.example"}
        return web.json_response({"results": [row]})

    app = web.Application()
    app.router.add_get("/search", answer)
    try:
        async with TestServer(app) as server:
            url = f"{server.make_url('/search')}?q={{query}}&format=json"
            text = f'    url: "{url}"\n    allow_private: true\n'
            searcher = with_web(ScriptedSearcher(), settings(tmp_path, text))
            (found,) = await asyncio.to_thread(searcher.search, Query("text", "How hot?"))
    finally:
        outgoing_log.cache_clear()
    assert (found.title, found.tier) == ("Kettle", "unvetted")
    (row,) = map(json.loads, (cache_root() / "outgoing.jsonl").read_text().splitlines())
    assert (row["words"], row["outcome"]) == ("How hot?", "1 results")
