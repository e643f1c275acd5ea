"""Subtitles take turns, each shown long enough."""

from hypothesis import given
from hypothesis import strategies as st

from foveal.output.captions import MAX_NS, MAX_WAITING, MIN_NS, Captions


@given(st.lists(st.tuples(st.text(max_size=300), st.integers(0, MAX_NS)), max_size=30))
def test_every_caption_is_shown_long_enough_and_in_turn(said: list[tuple[str, int]]) -> None:
    captions, now_ns = Captions(), 0
    for text, wait_ns in said:
        captions.add(text, now_ns)
        now_ns += wait_ns
        shown = captions.at(now_ns)
        assert shown is None or shown in [text for text, _ in said]
    rest = list(captions.rest(now_ns))
    assert len(rest) <= MAX_WAITING + 1
    assert all(duration_ns <= MAX_NS for _, duration_ns in rest)
    assert all(duration_ns >= MIN_NS for _, duration_ns in rest[1:])
    assert captions.at(now_ns) is None and list(captions.rest(now_ns)) == []
