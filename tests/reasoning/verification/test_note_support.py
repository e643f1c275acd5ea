"""Whether a note tells: by the kind of words, by nearness, by names that it lacks."""

import pytest

from reasoning.verification.note_support import NoteSupport, features
from reasoning.verification.told_kinds import tells_kind, told_kind
from stream.events import Evidence, Tier
from tests.doubles.retrieval import HashEncoder


def note(title: str, *passages: str, tier: Tier = "own") -> Evidence:
    return Evidence(f"n:{title}", title, " ".join(passages), 0.5, "n", None, passages, tier)


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("Who owns the ladder?", "who"),
        ("What do I do when the ladder wobbles?", "any"),
        ("When does the ferry leave?", "when"),
        ("How much did the ladder cost?", "money"),
        ("How many rungs does the ladder have?", "number"),
        ("How often is the ladder oiled?", "often"),
        ("Where is the ladder?", "where"),
        ("How old is the ladder?", "age"),
    ],
)
def test_what_is_asked_for(question: str, kind: str) -> None:
    assert told_kind(question) == kind


@pytest.mark.parametrize(
    ("question", "passage", "tells"),
    [
        ("Who owns the ladder?", "it is Petra's", True),
        ("Who owns the ladder?", "three metres, with hooks", False),
        ("When does the ferry leave?", "ferry 14:20, pier 2", True),
        ("When does the ferry leave?", "ferry from pier 2", False),
        ("How much did the ladder cost?", "45 euros at the market", True),
        ("How much did the ladder cost?", "45 rungs", False),
        ("Where is the ladder?", "planted on 4 May", False),
        ("Where is the ladder?", "behind the shed", True),
        ("Why do ferries float?", "ferry 14:20, pier 2", False),
        ("What do I do when the ladder wobbles?", "tighten the hooks", None),
    ],
)
def test_whether_the_words_are_there(question: str, passage: str, tells: bool | None) -> None:
    assert tells_kind(question, passage) is tells


def test_only_own_notes_are_judged_and_the_telling_one_is_first() -> None:
    support = NoteSupport(HashEncoder())
    ladder = note("Ladder", "the ladder belongs to Petra", "45 rungs of oak")
    ranked = support.rank(
        "Who does the ladder belong to?", [ladder, note("Oak", "x", tier="vetted")]
    )
    assert [one.evidence.title for one in ranked] == ["Ladder", "Ladder"]
    assert ranked[0].sentence == "the ladder belongs to Petra" and ranked[0].fits
    assert all(0 <= one.score <= 1 for one in ranked) and ranked[0].score > ranked[1].score


def test_a_name_that_the_note_lacks_counts_against_it() -> None:
    shoes = note("Shoes", "Kim: 36", "Lou: 41")
    lacking = features("What size are the shoes of Ada?", shoes, HashEncoder())[1][:, 6]
    held = features("What size are the shoes of Kim?", shoes, HashEncoder())[1][:, 6]
    assert lacking.tolist() == [1, 1] and held.tolist() == [0, 1]


def test_what_looks_like_the_thing_goes_first() -> None:
    mats = note("Mats", "the red mat is Ada's", "the green mat is Kim's")
    support = NoteSupport(HashEncoder())
    for colour, owner in (("red", "Ada"), ("green", "Kim")):
        best = support.rank("Whose mat is this?", [mats], (colour,))[0]
        assert best.fits and owner in best.sentence


def test_nothing_to_judge() -> None:
    support = NoteSupport(HashEncoder())
    assert support.rank("Who owns it?", ()) == ()
    assert len(support.rank("?", [note("A", "b c")])) == 1
