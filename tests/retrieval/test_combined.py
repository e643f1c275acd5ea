"""Several indexes as one: own entries first, what they have nothing to do with left out."""

import dataclasses

import numpy as np
import pytest

from retrieval.combined import CombinedSearcher
from retrieval.search import KnowledgeSearcher
from retrieval.sources.entries import Entry, Knowledge
from retrieval.store.knowledge import build_store
from stream.errors import QueryError
from stream.events import Query, QueryFilter
from stream.frame import Image
from tests.doubles.retrieval import ColourClassifier, HashEncoder

COLOURS = {"tomato": (255, 0, 0), "kettle": (0, 255, 0)}
OWN = {"Our kettle": "The kettle belongs to Anna.", "Seeds": "Tomato seeds lie in the cellar."}
BASE = {
    "Kettle": "A kettle boils water.",
    "Tomato": "The tomato is an edible red berry.",
    "Everest": "Everest is the tallest mountain.",
    "Boiler": "A boiler heats water for a house.",
}


def index(source: str, told: dict[str, str]) -> KnowledgeSearcher:
    entries = tuple(Entry(f"{source}:{t}", t, "", (text,)) for t, text in told.items())
    store = build_store(Knowledge(source, entries), HashEncoder())
    return KnowledgeSearcher(store, HashEncoder(), ColourClassifier(COLOURS))


@pytest.fixture(scope="module")
def both() -> CombinedSearcher:
    return CombinedSearcher((index("notes", OWN),), index("base", BASE))


def red() -> Image:
    return np.tile(np.array((255, 0, 0), np.uint8), (20, 20, 1))


def test_own_entries_stand_first_and_one_place_is_left(both: CombinedSearcher) -> None:
    found = both.search(Query("text", "Who does the kettle belong to?", k=3))
    assert [one.tier for one in found] == ["own", "vetted", "vetted"]
    assert found[0].title == "Our kettle" and found[1].title == "Kettle"
    assert len(both.search(Query("text", "kettle tomato seeds cellar", k=2))) == 2
    assert both.search(Query("text", "kettle tomato seeds cellar", k=2))[1].tier == "vetted"
    (only,) = both.search(Query("text", "Where are the tomato seeds?", k=1))
    assert only.title == "Seeds" and only.tier == "own"


def test_notes_that_have_nothing_to_do_with_it_are_left_out(both: CombinedSearcher) -> None:
    found = both.search(Query("text", "tallest mountain", k=3))
    assert found[0].title == "Everest" and {one.tier for one in found} == {"vetted"}


def test_a_filter_by_tier_asks_only_those(both: CombinedSearcher) -> None:
    query = Query("text", "kettle", k=3, filter=QueryFilter(tiers=("own",)))
    assert {one.tier for one in both.search(query)} == {"own"}
    others = dataclasses.replace(query, filter=QueryFilter(tiers=("vetted", "unvetted")))
    assert {one.tier for one in both.search(others)} == {"vetted"}


def test_a_picture_finds_by_its_looks_and_notes_by_the_question(both: CombinedSearcher) -> None:
    looks = Query("image", "<image>", 3, red())
    assert "Tomato" in [one.title for one in both.search(looks)]
    asked = dataclasses.replace(looks, about="Who does the kettle belong to?")
    found = both.search(asked)
    assert found[0].title == "Our kettle" and "Tomato" in [one.title for one in found]
    assert len(found) == len({one.id for one in found}) == 3


def test_several_own_indexes_are_ranked_together() -> None:
    more = index("work", {"Keys": "The key of the lab hangs at the porter's."})
    three = CombinedSearcher((index("notes", OWN), more), index("base", BASE))
    assert three.search(Query("text", "Where is the key of the lab?"))[0].id == "work:Keys"
    assert three.search(Query("text", "Whose is the kettle, Anna?"))[0].id == "notes:Our kettle"


def test_what_no_index_can_run_is_refused() -> None:
    own, base = index("notes", OWN).store, index("base", BASE).store
    blind = CombinedSearcher(
        (KnowledgeSearcher(own, HashEncoder()),), KnowledgeSearcher(base, HashEncoder())
    )
    with pytest.raises(QueryError):
        blind.search(Query("image", "<image>", 3, red()))
