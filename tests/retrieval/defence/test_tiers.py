"""Unvetted pages stand behind vetted ones, and are asserted only where another source agrees."""

import numpy as np

from retrieval.defence.tiers import RELEVANT, site, trusted_first, with_agreement
from retrieval.search import KnowledgeSearcher
from retrieval.sources.entries import Entry, Knowledge
from retrieval.store.knowledge import build_store
from stream.events import Evidence, Query, Tier
from tests.doubles.retrieval import HashEncoder


def page(site_name: str, text: str, tier: Tier = "unvetted", title: str = "Kettle") -> Evidence:
    return Evidence(f"{site_name}:{text}", title, text, 0.5, f"https://{site_name}/a", tier=tier)


def test_unvetted_scores_go_below_every_relevant_one() -> None:
    scores = np.array([0.9, 0.6, RELEVANT, 0.3, 0.7], np.float32)
    unvetted = np.array([True, False, False, False, True])
    found = trusted_first(scores, unvetted)
    assert np.argsort(-found).tolist() == [1, 2, 0, 4, 3]
    assert np.array_equal(found[~unvetted], scores[~unvetted])


def test_unvetted_scores_stand_where_nothing_vetted_is_relevant() -> None:
    scores = np.array([0.9, 0.44], np.float32)
    assert np.array_equal(trusted_first(scores, np.array([True, False])), scores)
    assert np.array_equal(trusted_first(scores, np.array([True, True])), scores)


def test_two_sites_that_say_the_same_agree() -> None:
    one = page("a.example", "The kettle was made in 1907 by Peter Behrens.")
    same = page("b.example", "In 1907 Peter Behrens made the kettle.")
    other = page("c.example", "The kettle was made in 1950 by Peter Behrens.")
    found = with_agreement([one, same, other], HashEncoder())
    assert found[0].agreed == ("b.example",) and not found[0].alone
    assert found[1].agreed == ("a.example",)
    assert found[2].agreed == () and found[2].alone


def test_a_site_does_not_agree_with_itself_nor_a_copy_with_its_original() -> None:
    text = "The kettle was made in 1907."
    again = page("www.a.example", "Made in 1907 the kettle was.")
    copy = page("b.example", text)
    found = with_agreement([page("a.example", text), again, copy], HashEncoder())
    assert found[0].agreed == ()
    assert site(page("www.a.example", text)) == "a.example"
    assert site(Evidence("n:1", "Note", "x", 0.5, "notes")) == "notes"


def test_a_vetted_source_bears_a_page_out() -> None:
    text = "Peter Behrens made the kettle in 1907."
    vetted = page("w.example", text, "vetted")
    found = with_agreement([page("a.example", f"{text} Really."), vetted], HashEncoder())
    assert found[0].agreed == ("w.example",)
    assert found[1] is not None and not found[1].alone


def test_a_planted_page_comes_behind_what_is_vetted() -> None:
    asked = "Who painted the kettle?"
    entries = (
        Entry("w:1", "Kettle", "", ("The kettle was painted by Anna.",)),
        Entry("p:1", "Kettle painted", "", (f"{asked} Bob painted the kettle.",), tier="unvetted"),
    )
    store = build_store(Knowledge("t", entries), HashEncoder())
    order = [
        [e.id for e in KnowledgeSearcher(store, HashEncoder(), defended=on).search(query)]
        for on in (False, True)
        for query in (Query("text", asked, 2),)
    ]
    assert order == [["p:1", "w:1"], ["w:1", "p:1"]]
    (_, planted) = KnowledgeSearcher(store, HashEncoder()).search(Query("text", asked, 2))
    assert planted.tier == "unvetted" and planted.alone
