"""Standing questions on disk: as they were, and what a broken file does not do."""

import json
from pathlib import Path

import pytest
import torch

from foveal.session.watch_book import WatchBook
from reasoning.standing.requests import WatchRequest

GOOD = {"owner": "me", "text": "t", "kind": "see", "things": ["cup"], "repeats": False}


def test_what_was_kept_comes_back(tmp_path: Path) -> None:
    book = WatchBook(tmp_path / "deep" / "standing.json")
    looks = torch.nn.functional.normalize(torch.arange(1.0, 9.0), dim=0)
    book.add("me", WatchRequest("see", ("cup",), True), "tell me every time you see a cup")
    book.add("me", WatchRequest("again", ()), "this again", looks, track_id=4)
    book.add("you", WatchRequest("sequence", ("cup", "spoon")), "a then b")
    book.save()
    again = WatchBook(tmp_path / "deep" / "standing.json")
    first, second = again.of("me")
    assert first.request == WatchRequest("see", ("cup",), True)
    assert second.looks is not None and float(second.looks @ looks) > 0.999
    assert second.track_id is None  # a masklet of a session that is over
    assert [one.request.things for one in again.of("you")] == [("cup", "spoon")]
    assert len({first.id, second.id, again.of("you")[0].id}) == 3
    again.remove("me", (first.id, 77))
    again.save()
    assert len(WatchBook(tmp_path / "deep" / "standing.json").of("me")) == 1


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 2, "watches": []}', '{"version": 1}'])
def test_a_file_that_is_none_is_put_aside(tmp_path: Path, text: str) -> None:
    path = tmp_path / "standing.json"
    path.write_text(text, encoding="utf-8")
    assert WatchBook(path).of("me") == ()
    assert path.with_suffix(".unread").read_text(encoding="utf-8") == text


@pytest.mark.parametrize(
    "bad",
    [
        3,
        {},
        {**GOOD, "kind": "hear"},
        {**GOOD, "things": []},
        {**GOOD, "things": ["x" * 999]},
        {**GOOD, "things": [3]},
        {**GOOD, "things": ["cup", "spoon"]},
        {**GOOD, "kind": "sequence"},
        {**GOOD, "kind": "again", "things": []},
        {**GOOD, "kind": "again", "things": [], "looks": "!"},
        {**GOOD, "kind": "again", "things": [], "looks": ""},
        {**GOOD, "kind": "again", "things": [], "looks": "AAAA"},
        {**GOOD, "repeats": "yes"},
    ],
)
def test_a_bad_row_is_left_out_and_the_others_hold(tmp_path: Path, bad: object) -> None:
    path = tmp_path / "standing.json"
    path.write_text(json.dumps({"version": 1, "watches": [bad, GOOD]}), encoding="utf-8")
    assert [one.request.things for one in WatchBook(path).of("me")] == [("cup",)]
