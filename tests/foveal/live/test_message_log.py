"""Numbering, keeping and sending again."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foveal.live.message_log import SessionLog
from stream.errors import ConfigError


@given(st.lists(st.sampled_from(["token", "regions", "end", "stats"]), max_size=40), st.data())
def test_a_client_that_comes_back_misses_nothing_that_is_kept(
    kinds: list[str], data: st.DataObject
) -> None:
    log = SessionLog(kept=10)
    cut = data.draw(st.integers(0, len(kinds)))
    first: list[dict[str, Any]] = []
    link = log.attach(first.append)
    for kind in kinds[:cut]:
        log.tell(kind, {})
    log.detach(link)
    log.detach(link)
    for kind in kinds[cut:]:
        log.tell(kind, {})
    last = max((message.get("seq", 0) for message in first), default=0)
    again: list[dict[str, Any]] = []
    missed = log.missed(last)
    log.attach(again.append, last)
    numbers = [message["seq"] for message in again]
    assert numbers == list(range(last + 1 + missed, log.seq + 1))
    assert missed == max(0, log.seq - last - 10)
    assert all("seq" not in m for m in first if m["type"] in ("regions", "stats"))


def test_what_was_forgotten_is_told_to_nobody_again() -> None:
    log = SessionLog(kept=3)
    for kind in ("asked", "token", "end", "end", "forgot"):
        log.tell(kind, {})
    again: list[dict[str, Any]] = []
    log.attach(again.append, 1)
    assert [message["type"] for message in again] == ["forgot"]
    assert log.missed(1) == 0
    for _ in range(3):
        log.tell("end", {})
    assert log.missed(1) == 4  # to the `forgot`, which had to give way


def test_a_client_that_fails_does_not_stop_the_others() -> None:
    log = SessionLog()
    heard: list[dict[str, Any]] = []

    def fail(_: dict[str, Any]) -> None:
        raise ConnectionError("gone")

    log.attach(fail)
    log.attach(heard.append)
    log.tell("end", {"text": "Yes."})
    assert heard == [{"type": "end", "text": "Yes.", "seq": 1}]
    assert log.links == 1


def test_a_log_needs_room() -> None:
    with pytest.raises(ConfigError):
        SessionLog(0)
