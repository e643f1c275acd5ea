"""Sentences cut from a stream of text."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from devices.speaking.sentences import MAX_CHARS, SentenceStream, speakable, split_sentences

TEXT = st.text(alphabet=st.sampled_from('aB 1.!?…,;:\n\t"”)。、Dr'), max_size=400)


def test_sentences_come_as_soon_as_the_space_after_them() -> None:
    stream = SentenceStream()
    assert stream.feed("It is an espresso.") == []
    assert stream.feed(" It was first made in Italy") == ["It is an espresso. "]
    assert stream.flush() == ["It was first made in Italy"]
    assert stream.flush() == []


@pytest.mark.parametrize(
    "text",
    [
        "Dr. Smith met J. K. Rowling at 3.5 km from St. Ives",
        "Use a cup, e.g. a small one, vs. a large one",
        "Version 1.2.3 of www.example.com/a.b",
    ],
)
def test_full_stops_inside_a_sentence_do_not_end_it(text: str) -> None:
    assert split_sentences(text) == [text]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("One. Two! Three? Four…", 4),
        ('He said "stop." Then he left.', 2),
        ("Line one\nLine two\n", 2),
        ("これは猫です。それは犬です。", 2),
        ("It was I. You know.", 2),
        ("", 0),
    ],
)
def test_ends_of_sentences(text: str, count: int) -> None:
    assert len(split_sentences(text)) == count


def test_a_long_sentence_is_cut_at_a_clause_then_at_a_space_then_anywhere() -> None:
    clause = "a" * 30 + ", " + "b " * 20
    assert split_sentences(clause, 50)[0] == "a" * 30 + ", "
    assert split_sentences("word " * 20, 12)[0] == "word word "
    assert split_sentences("x" * 25, 10) == ["x" * 10, "x" * 10, "x" * 5]


def test_state_is_bounded() -> None:
    stream = SentenceStream()
    for _ in range(2000):
        stream.feed("x" * 37)
        assert sum(map(len, stream._pending)) <= MAX_CHARS


def test_a_bound_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="max_chars"):
        SentenceStream(0)


@given(st.text(max_size=300) | TEXT, st.integers(1, 60))
def test_nothing_is_lost_and_no_piece_is_too_long(text: str, max_chars: int) -> None:
    pieces = split_sentences(text, max_chars)
    assert "".join(pieces) == text
    assert all(0 < len(piece) <= max_chars for piece in pieces)


@given(st.lists(TEXT, max_size=20), st.integers(1, 60))
@example(["Dr", ". Smith. ", "Go"], 60)
def test_where_the_deltas_are_cut_does_not_matter(deltas: list[str], max_chars: int) -> None:
    stream = SentenceStream(max_chars)
    pieces = [piece for delta in deltas for piece in stream.feed(delta)] + stream.flush()
    assert pieces == split_sentences("".join(deltas), max_chars)


@given(st.text(max_size=200))
def test_speakable_text_is_one_clean_line(text: str) -> None:
    line = speakable(text)
    assert line == line.strip() and "  " not in line
    assert all(char.isprintable() or char == " " for char in line)
    assert line == "" or any(char.isalnum() for char in line)
