"""CRAG-MM's results as evidence, in the shapes of cragmm-search-pipeline 0.5.1."""

from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from retrieval.cragmm.pipeline import CragMmSearcher, evidence_of
from stream.errors import QueryError
from stream.events import Query
from stream.geometry import encode_mask
from tests.doubles.cragmm import RecordedPipeline


def shown(name: str, score: float, **attributes: object) -> dict[str, Any]:
    entity = {"entity_name": name, "entity_attributes": attributes}
    return {"index": 1, "score": score, "url": f"https://x/{name}.jpg", "entities": [entity]}


def page(url: str, score: float) -> dict[str, Any]:
    told = {"page_name": "Buses", "page_snippet": "A bus is red. It has seats.", "page_url": url}
    return {"index": f"{url}_chunk_0", "score": score, **told}


def test_pages_of_words() -> None:
    pipeline = RecordedPipeline(
        [page("https://b", 0.6), page("https://b", 0.7), page("https://c", 0.9)]
    )
    found = CragMmSearcher(pipeline).search(Query("text", "red bus", 2))
    assert pipeline.called == [("red bus", 2)]
    assert [(one.id, one.score, one.tier) for one in found] == [
        ("crag-mm-web:https://c", 0.9, "unvetted"),
        ("crag-mm-web:https://b", 0.7, "unvetted"),
    ]
    assert found[0].nearest == ("A bus is red. It has seats.",)


def test_entities_of_a_region() -> None:
    image = np.zeros((100, 200, 3), np.uint8)
    mask = np.zeros((100, 200), dtype=bool)
    mask[20:60, 100:200] = True
    pipeline = RecordedPipeline([shown("Red Bus", 0.8, maker="AEC"), shown("Depot", 0.5)])
    found = CragMmSearcher(pipeline).search(
        Query("region", "<region>", 3, image, encode_mask(mask))
    )
    (asked, k), *_ = pipeline.called
    assert isinstance(asked, Pillow.Image) and asked.size == (110, 48) and k == 3
    assert [(one.title, one.text, one.region) for one in found] == [
        ("Red Bus", "maker: AEC", (100, 20, 200, 60)),
        ("Depot", "Depot", (100, 20, 200, 60)),
    ]
    CragMmSearcher(pipeline).search(Query("image", "<image>", 3, image))
    assert pipeline.called[-1][0].size == (200, 100)


def test_results_that_are_none_are_left_out() -> None:
    odd: list[Any] = ["x", {}, {"score": 1.0}, {"score": 1.0, "entities": [{}, 5]}, {"score": "a"}]
    assert [one.title for one in evidence_of([*odd, shown("Bus", 0.1)])] == ["Bus"]
    for bad in (None, "words", {"score": 1}):
        with pytest.raises(QueryError, match="a list of results"):
            evidence_of(bad)


def test_a_pipeline_that_fails() -> None:
    failing = RecordedPipeline(ValueError("Text input is not supported"))
    with pytest.raises(QueryError, match="Text input is not supported"):
        CragMmSearcher(failing).search(Query("text", "red bus"))
    empty = encode_mask(np.zeros((8, 8), dtype=bool))
    with pytest.raises(QueryError, match="empty mask"):
        image = np.zeros((8, 8, 3), np.uint8)
        CragMmSearcher(RecordedPipeline([])).search(Query("region", "<region>", 3, image, empty))
