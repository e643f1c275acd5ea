"""Search in a collection and pushes into it, on Qdrant's embedded mode; servers that fail."""

import socket
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from qdrant_client import QdrantClient
from qdrant_client.http import models

from retrieval.encoders.text import Vectors
from retrieval.qdrant.collection import Collection, connect
from retrieval.qdrant.place import Place, QdrantConfig
from retrieval.qdrant.pushing import PushReport, push
from retrieval.qdrant.search_collection import QdrantBeside, QdrantSearcher
from retrieval.sources.entries import Entry, Knowledge
from retrieval.store.knowledge import KnowledgeStore, build_store
from stream.errors import ConfigError, QueryError
from stream.events import Evidence, Query, QueryFilter
from stream.frame import Image, Mask
from stream.geometry import encode_mask
from stream.outgoing import OutgoingLog
from tests.doubles.reasoning import ScriptedSearcher
from tests.doubles.retrieval import HashEncoder

CONFIG = QdrantConfig(url="qdrant:http://127.0.0.1:1#notes")
MAY = 1_777_593_600_000_000_000  # 2026-05-01
TEA = ("Pour green tea at eighty degrees.", "It holds one litre.")
ENTRIES = (
    Entry("n:kettle", "Kettle", "", TEA, date="2026-05-02", tags=("home",), tier="own"),
    Entry("n:boiler", "Boiler", "", ("The boiler hums at night.",), date="2026-01-05"),
    Entry("n:bike", "Bike", "", ("Its tyres want four bars.",), url="https://bike.example"),
)


class Colours(HashEncoder):
    """A picture is as near to another as their mean colours are."""

    def encode_images(self, images: Sequence[Image]) -> Vectors:
        means = np.stack([image.reshape(-1, 3).mean(0) for image in images])
        return np.asarray(means / np.linalg.norm(means, axis=1, keepdims=True), np.float32)

    def encode_regions(self, images: Sequence[Image], masks: Sequence[Mask]) -> Vectors:
        return self.encode_images([i[m][None] for i, m in zip(images, masks, strict=True)])


@pytest.fixture
def client() -> Iterator[QdrantClient]:
    client = QdrantClient(":memory:")
    yield client
    client.close()


@pytest.fixture
def log() -> OutgoingLog:
    return OutgoingLog()


@pytest.fixture
def collection(client: QdrantClient, log: OutgoingLog) -> Collection:
    return Collection(client, CONFIG.place, log)


def stored(entries: Sequence[Entry] = ENTRIES, dim: int = 128) -> KnowledgeStore:
    return build_store(Knowledge("n", tuple(entries)), HashEncoder(dim))


def pushed(store: KnowledgeStore, collection: Collection) -> PushReport:
    return push(store, collection, CONFIG, lambda done, total: None)


def found(collection: Collection, words: str, wanted: QueryFilter | None = None) -> list[str]:
    query = Query("text", words, filter=wanted or QueryFilter())
    return [one.title for one in QdrantSearcher(collection, CONFIG, HashEncoder()).search(query)]


def test_what_was_pushed_is_found(collection: Collection, log: OutgoingLog) -> None:
    assert pushed(stored(), collection) == PushReport(3, 0, 0, 7)
    searcher = QdrantSearcher(collection, CONFIG, HashEncoder())
    (best, *_) = searcher.search(Query("text", "how many degrees for green tea", 2))
    assert (best.id, best.title, best.tier, best.source) == ("n:kettle", "Kettle", "own", "n")
    assert best.nearest[0] == TEA[0] and 0 < best.score <= 1
    assert found(collection, "tyres of the bike")[0] == "Bike"
    sent = log.recent[-1]
    assert (sent.seam, sent.vectors, sent.words, sent.local) == ("qdrant", 1, "", True)


@pytest.mark.parametrize(
    ("wanted", "titles"),
    [
        (QueryFilter(after_ns=MAY), {"Kettle"}),
        (QueryFilter(before_ns=MAY), {"Boiler"}),
        (QueryFilter(tags=("home",)), {"Kettle"}),
        (QueryFilter(tiers=("own",)), {"Kettle"}),
        (QueryFilter(tiers=("vetted",)), {"Boiler", "Bike"}),
        (QueryFilter(sources=("n",)), {"Kettle", "Boiler", "Bike"}),
        (QueryFilter(sources=("other",)), set()),
    ],
)
def test_filters_hold(collection: Collection, wanted: QueryFilter, titles: set[str]) -> None:
    pushed(stored(), collection)
    assert set(found(collection, "boiler kettle bike degrees", wanted)) == titles


def test_a_push_again_sends_what_has_changed(collection: Collection, client: QdrantClient) -> None:
    pushed(stored(), collection)
    client.upsert("notes", [models.PointStruct(id=7, vector=[1.0] * 128, payload={"a": 1})])
    assert pushed(stored(), collection) == PushReport(0, 3, 0, 0)
    less = replace(ENTRIES[0], passages=("Pour black tea at ninety degrees.",))
    assert pushed(stored((less, ENTRIES[2])), collection) == PushReport(1, 1, 1, 2)
    texts = {str((row.payload or {}).get("text")) for row in client.scroll("notes", limit=99)[0]}
    assert texts == {"Pour black tea at ninety degrees.", "Its tyres want four bars.", "None"}


@pytest.mark.parametrize("puts", [0, 1])
def test_a_push_that_was_interrupted_goes_on(
    collection: Collection, client: QdrantClient, monkeypatch: pytest.MonkeyPatch, puts: int
) -> None:
    put, left = Collection.put, [puts]

    def dies(self: Collection, points: Any, words: str) -> None:
        if not left[0]:
            raise QueryError("the server went away")
        left[0] -= 1
        put(self, points, words)

    with monkeypatch.context() as patched:
        patched.setattr(Collection, "put", dies)
        with pytest.raises(QueryError):
            pushed(stored(), collection)
    assert pushed(stored(), collection).stored == 3
    assert client.count("notes").count == 7


def test_a_collection_of_another_encoder_is_refused(collection: Collection) -> None:
    pushed(stored(dim=64), collection)
    with pytest.raises(QueryError, match="128 numbers by hash-128"):
        found(collection, "kettle")
    with pytest.raises(ConfigError, match="vectors of 128 numbers"):
        pushed(stored(), collection)


def test_as_many_numbers_by_another_encoder_are_refused(
    collection: Collection, client: QdrantClient
) -> None:
    pushed(stored(), collection)
    client.set_payload("notes", {"encoder": "another"}, models.Filter())
    with pytest.raises(QueryError, match="by hash-128 .* got another"):
        found(collection, "kettle")


def test_a_collection_that_is_not_there(collection: Collection) -> None:
    with pytest.raises(QueryError, match="not there"):
        found(collection, "kettle")


def test_pictures_and_regions_in_a_collection_of_others(
    client: QdrantClient, log: OutgoingLog
) -> None:
    size = models.VectorParams(size=3, distance=models.Distance.COSINE)
    client.create_collection("shop", vectors_config={"look": size})
    rows = [("Red mug", [9.0, 1, 1]), ("Blue mug", [1.0, 1, 9]), (None, [1.0, 9, 1])]
    for number, (name, vector) in enumerate(rows):
        payload = {"name": name, "about": "Made of clay.", "url": "javascript:x", "tags": 7}
        point = models.PointStruct(id=number, vector={"look": vector}, payload=payload)
        client.upsert("shop", [point])
    config = QdrantConfig(
        "qdrant:http://localhost#shop", "name", "about", pictures="look", tier="unvetted"
    )
    collection = Collection(client, config.place, log)
    searcher = QdrantSearcher(collection, config, HashEncoder(), Colours(3))
    image = np.zeros((8, 8, 3), np.uint8)
    image[:, :4], image[:, 4:] = (0, 0, 200), (200, 0, 0)
    mask = np.zeros((8, 8), np.bool_)
    mask[:, 4:] = True
    region = Query("region", "<region>", 1, image, encode_mask(mask))
    (best,) = searcher.search(region)
    assert (best.id, best.title, best.source) == ("qdrant:0", "Red mug", "qdrant")
    assert best.region == (4, 0, 8, 8) and best.tier == "unvetted"
    blue = searcher.search(Query("image", "<image>", 2, image[:, :4]))
    assert [one.title for one in blue] == ["Blue mug", "Red mug"]
    assert log.recent[-1].pictures == () and log.recent[-1].vectors == 1
    with pytest.raises(QueryError, match="another encoder"):
        searcher.search(Query("text", "mug"))
    before = len(log.recent)
    assert QdrantSearcher(collection, config, HashEncoder()).search(region) == []
    assert len(log.recent) == before  # without an encoder of pictures nothing is sent


def test_a_server_that_is_away_costs_its_own_search(
    log: OutgoingLog, caplog: pytest.LogCaptureFixture
) -> None:
    away = Collection(connect(CONFIG), CONFIG.place, log)
    local = [Evidence("a", "Kettle", "It boils.", 0.5, "here")]
    remote = QdrantSearcher(away, CONFIG, HashEncoder())
    both = QdrantBeside(ScriptedSearcher({"kettle": local}), remote)
    assert both.search(Query("text", "kettle")) == local
    assert "127.0.0.1:1" in caplog.text
    assert log.recent[-1].server == "127.0.0.1:1" and log.recent[-1].outcome != "sent"


@pytest.mark.parametrize("answer", ["", "<html>no</html>", '{"result": 7, "status": "ok"}'])
def test_a_server_that_hangs_or_is_another(log: OutgoingLog, answer: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]

        def reply() -> None:
            peer, _ = listening.accept()
            with peer:
                peer.recv(1 << 16)
                head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: "
                peer.sendall(f"{head}{len(answer)}\r\n\r\n{answer}".encode())

        thread = Thread(target=reply, daemon=True)
        if answer:
            thread.start()
        config = QdrantConfig(f"qdrant:http://127.0.0.1:{port}#notes", timeout_s=1.0)
        with pytest.raises(QueryError, match=f"expected an answer of .* 127.0.0.1:{port}"):
            found(Collection(connect(config), config.place, log), "kettle")
        if answer:
            thread.join(10)


def test_the_best_of_both_sides_with_own_notes_first(collection: Collection) -> None:
    pushed(stored(), collection)
    local = [Evidence(f"l{score}", f"L{score}", "t", score, "here") for score in (0.9, 0.01)]
    remote = QdrantSearcher(collection, CONFIG, HashEncoder())
    beside = QdrantBeside(ScriptedSearcher({"green tea": local}), remote)
    titles = [one.title for one in beside.search(Query("text", "green tea", 2))]
    assert titles == ["Kettle", "L0.9"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "http://a#b",
        "qdrant:a#b",
        "qdrant:http://a",
        "qdrant:ftp://a#b",
        "qdrant:http://m:p@a#b",
    ],
)
def test_addresses_that_are_none(text: str) -> None:
    with pytest.raises(ConfigError, match="qdrant:URL#COLLECTION"):
        Place.parse(text)


def test_a_key_never_goes_in_the_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QDRANT_API_KEY", "secret")
    with pytest.raises(ConfigError, match="in the clear"):
        connect(QdrantConfig("qdrant:http://qdrant.example:6333#a"))


def test_a_folder_keeps_what_was_pushed(tmp_path: Path, log: OutgoingLog) -> None:
    for expected in (PushReport(3, 0, 0, 7), PushReport(0, 3, 0, 0)):
        client = QdrantClient(path=str(tmp_path / "q"))
        assert pushed(stored(), Collection(client, CONFIG.place, log)) == expected
        client.close()
