"""The search policy benchmark: its questions, its methods, and how calls are counted."""

import re
from pathlib import Path

from benchmarks.grading import KINDS, Outcome
from benchmarks.questions import (
    SEARCH_POLICY,
    SEARCH_POLICY_TUNING,
    Asked,
    present,
    read_questions,
)
from benchmarks.search_policy import configs, row_of


def test_no_question_holds_its_answer_and_every_kind_is_asked() -> None:
    for path in (SEARCH_POLICY, SEARCH_POLICY_TUNING):
        asked = read_questions(path)
        assert len(asked) == 60 and {one.kind for one in asked} == set(KINDS)
        assert len({(one.view, one.question) for one in asked}) == len(asked)
        for one in asked:
            for word in one.accept:
                assert not re.search(rf"\b{re.escape(word)}", one.question, re.IGNORECASE), one
            assert bool(one.accept) == (one.kind != "unanswerable")


def test_the_halves_share_no_photograph_of_the_data_folder() -> None:
    halves = [
        {one.view for one in read_questions(path)} for path in (SEARCH_POLICY, SEARCH_POLICY_TUNING)
    ]
    assert not halves[0] & halves[1]


def test_questions_without_their_photograph_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"")
    asked = [Asked("fact", view, "Why?", ("x",)) for view in ("a.jpg", "b.jpg", "coffee")]
    assert [one.view for one in present(asked, tmp_path)] == ["a.jpg", "coffee"]


def test_methods_differ_in_what_they_may_search() -> None:
    found = configs()
    assert found["never"].decode.max_searches == 0 and found["foveal"].policy.search == "model"
    assert {found[f"always-{how}"].policy.search for how in ("text", "image", "region")} == {
        "text",
        "image",
        "region",
    }
    assert not found["foveal-no-region"].policy.region
    assert found["foveal-budget-1"].decode.max_searches == 1


def test_calls_are_counted_by_modality() -> None:
    outcomes = [
        Outcome("thing", "right", ("region", "text"), 1.0),
        Outcome("thing", "miss", ("region",), 1.0),
        Outcome("visual", "right", (), 1.0),
        Outcome("fact", "right", ("text",), 1.0),
    ]
    row = row_of(outcomes)
    assert (row["text"], row["region"], row["image"]) == (0.5, 0.5, 0.0)
    assert row["searches"] == 1.0 and row["search_ratio"] == 0.75
    assert row_of([]) == {}
