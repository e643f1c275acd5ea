"""Text, image and region queries over a small index, with doubles for the models."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.search import FIRST_PASSAGES, KnowledgeSearcher
from retrieval.sources.entries import Entry, Knowledge
from retrieval.sources.sentences import MAX_QUOTE_WORDS
from retrieval.store.knowledge import build_store
from stream.errors import QueryError
from stream.events import Query
from stream.frame import Image
from stream.geometry import encode_mask
from tests.doubles.retrieval import ColourClassifier, HashEncoder

COLOURS = {"tomato": (255, 0, 0), "cucumber": (0, 255, 0), "tea cup": (0, 0, 255)}
FACTS = (
    ("Tomato", "Food", ("The tomato is an edible red berry.", "It came from South America.")),
    ("Cucumber", "Food", ("The cucumber is a green vine fruit.", "It came from India.")),
    ("Cup (object)", "Food", ("A cup is a small container.", "Cups may be made of glass.")),
    ("John Tomato", "People", ("John Tomato was a painter of cucumber fields.",)),
)


@pytest.fixture(scope="module")
def searcher() -> KnowledgeSearcher:
    entries = tuple(
        Entry(f"t:{title}", title, "", passages, topic, f"https://example.org/{title}")
        for title, topic, passages in FACTS
    )
    store = build_store(Knowledge("t", entries), HashEncoder())
    return KnowledgeSearcher(store, HashEncoder(), ColourClassifier(COLOURS))


def picture() -> Image:
    """Green everywhere, a red square in the middle."""
    image = np.zeros((60, 80, 3), np.uint8)
    image[:, :, 1] = 255
    image[20:40, 30:50] = (255, 0, 0)
    return image


def test_text_finds_the_entry_and_its_passage(searcher: KnowledgeSearcher) -> None:
    best, *_ = searcher.search(Query("text", "Where did the tomato come from in America?", k=2))
    assert best.id == "t:Tomato"
    assert "It came from South America." in best.text
    assert best.source == "https://example.org/Tomato"


def test_text_that_names_only_the_title_gives_the_first_sentence(
    searcher: KnowledgeSearcher,
) -> None:
    best, *_ = searcher.search(Query("text", "cucumber", k=1))
    assert best.title == "Cucumber"
    assert best.text.startswith("The cucumber is a green vine fruit.")


def test_region_and_whole_picture_find_different_things(searcher: KnowledgeSearcher) -> None:
    mask = np.zeros((60, 80), bool)
    mask[20:40, 30:50] = True
    region = searcher.search(Query("region", "<region>", 2, picture(), encode_mask(mask)))
    whole = searcher.search(Query("image", "<image>", 2, picture()))
    assert (region[0].title, region[0].region) == ("Tomato", (30, 20, 50, 40))
    assert region[0].text == "The tomato is an edible red berry."
    assert (whole[0].title, whole[0].region) == ("Cucumber", None)


def test_people_are_not_what_a_region_shows(searcher: KnowledgeSearcher) -> None:
    red = np.full((8, 8, 3), (255, 0, 0), np.uint8)
    titles = [found.title for found in searcher.search(Query("image", "<image>", 4, red))]
    assert titles[0] == "Tomato"
    assert titles.index("John Tomato") > 0


def test_head_noun_of_a_class_name_finds_its_title(searcher: KnowledgeSearcher) -> None:
    blue = np.full((8, 8, 3), (0, 0, 255), np.uint8)
    assert searcher.search(Query("image", "<image>", 1, blue))[0].title == "Cup (object)"


def test_reread_chooses_the_passage_for_the_question(searcher: KnowledgeSearcher) -> None:
    found = searcher.search(Query("text", "cup", k=1))[0]
    again = searcher.reread(found, "Are cups made of glass?")
    assert "Cups may be made of glass." in again.text
    assert len(again.text.split(". ")) <= FIRST_PASSAGES
    assert (again.id, again.score) == (found.id, found.score)
    with pytest.raises(QueryError, match="expected words"):
        searcher.reread(found, "  ")


def test_the_passages_are_told_nearest_first(searcher: KnowledgeSearcher) -> None:
    for words in ("Where did the tomato come from? It came from South America.", "green fruit"):
        for found in searcher.search(Query("text", words, k=2)):
            assert all(passage in found.text for passage in found.nearest)
            assert sum(map(len, found.nearest)) + len(found.nearest) - 1 == len(found.text)
    best, *_ = searcher.search(Query("text", "It came from South America: the tomato", k=1))
    assert best.nearest[0] == "It came from South America."
    assert best.text.startswith("The tomato is")


@pytest.mark.parametrize("k", [1, 4, 500])
def test_k_larger_than_the_base(searcher: KnowledgeSearcher, k: int) -> None:
    red = np.full((8, 8, 3), (255, 0, 0), np.uint8)
    for query in (Query("text", "tomato", k), Query("image", "<image>", k, red)):
        found = searcher.search(query)
        assert len(found) == min(k, len(FACTS))
        assert len({evidence.id for evidence in found}) == len(found)
        scores = [evidence.score for evidence in found]
        assert scores == sorted(scores, reverse=True)


@settings(max_examples=60, deadline=None)
@given(st.text(min_size=1, max_size=200).filter(lambda text: text.strip()))
def test_any_words_get_an_answer_or_none(searcher: KnowledgeSearcher, text: str) -> None:
    first, second = (searcher.search(Query("text", text, 3)) for _ in range(2))
    assert first == second
    for evidence in first:
        assert -1 <= evidence.score <= 1
        assert len(evidence.text.split()) <= FIRST_PASSAGES * (MAX_QUOTE_WORDS + 1)


def test_very_long_query(searcher: KnowledgeSearcher) -> None:
    assert searcher.search(Query("text", "tomato " * 10_000, 1))[0].title == "Tomato"


def test_queries_that_cannot_be_run(searcher: KnowledgeSearcher) -> None:
    image = picture()
    empty = encode_mask(np.zeros((60, 80), bool))
    with pytest.raises(QueryError, match="empty mask"):
        searcher.search(Query("region", "<region>", 1, image, empty))
    other = encode_mask(np.ones((5, 5), bool))
    with pytest.raises(QueryError, match="size"):
        searcher.search(Query("region", "<region>", 1, image, other))
    blind = KnowledgeSearcher(
        build_store(Knowledge("t", (Entry("a", "A", "", ("Text of A.",)),)), HashEncoder()),
        HashEncoder(),
    )
    with pytest.raises(QueryError, match="classifier"):
        blind.search(Query("image", "<image>", 1, image))


@pytest.mark.parametrize("embedded", [3, 1000])
def test_the_last_line_of_a_long_list_is_found_and_read(embedded: int) -> None:
    lines = [f"Thing number {number}: box in the cellar" for number in range(60)]
    lines.append("Spare fuses: blue drawer in the hall")
    entries = (
        Entry("n:inventory", "Where things are", "", tuple(lines)),
        Entry("n:boiler", "Boiler", "", ("The boiler was serviced in May.",)),
    )
    store = build_store(Knowledge("n", entries), HashEncoder(), embedded=embedded)
    long = KnowledgeSearcher(store, HashEncoder())
    (best,) = long.search(Query("text", "Where are the spare fuses?", k=1))
    assert best.id == "n:inventory" and best.nearest[0] == lines[-1] and lines[-1] in best.text
    again = long.reread(best, "Where are the spare fuses?")
    assert again.nearest[0] == lines[-1]
