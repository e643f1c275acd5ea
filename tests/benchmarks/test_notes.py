"""The notes and the questions on them: each note is asked about, and the peers read them."""

import re

import yaml

from benchmarks.notes import notes_read, peers, wanted
from benchmarks.questions import NOTES, read_questions
from retrieval.search import KnowledgeSearcher
from retrieval.sources.entries import Entry, Knowledge
from retrieval.store.knowledge import build_store
from stream.events import Answer, Evidence, Question, SearchRecord
from tests.doubles.retrieval import HashEncoder


def test_every_note_is_asked_about_once_and_holds_what_is_accepted() -> None:
    table = yaml.safe_load(NOTES.read_text(encoding="utf-8"))["notes"]
    asked, meant = read_questions(NOTES), wanted(NOTES)
    kinds = [one.kind for one in asked]
    assert len(asked) == len(meant) == len(table) == 40 and kinds.count("unanswerable") == 10
    assert sorted(meant.values()) == sorted(table)
    for one in asked:
        said = " ".join(table[meant[one.question]].split()).lower()
        assert not one.accept or any(word.lower() in said for word in one.accept), one
        for word in one.accept:
            assert not re.search(rf"\b{re.escape(word)}\b", one.question, re.IGNORECASE), one


def test_the_peers_say_the_best_passage() -> None:
    entries = (
        Entry("n:a.md", "Attic", "", ("The sledge is in the attic.", "Mind the third step.")),
        Entry("n:b.md", "Bakery", "", ("The bakery is closed on Mondays.",)),
    )
    searcher = KnowledgeSearcher(build_store(Knowledge("n", entries), HashEncoder()), HashEncoder())
    for peer in peers(searcher).values():
        assert peer("When is the bakery closed?") == "Bakery. The bakery is closed on Mondays."


def test_the_notes_of_an_answer_are_named_by_their_files() -> None:
    found = (
        Evidence("n:in/a.md", "A", "text", 0.5, "n"),
        Evidence("w:Cat", "Cat", "text", 0.4, "w"),
    )
    searches = (SearchRecord("text", "cat", found),)
    answer = Answer(Question("Cat?", 0), "", "", (), searches)
    assert notes_read(answer) == {"in/a.md", "Cat"}
