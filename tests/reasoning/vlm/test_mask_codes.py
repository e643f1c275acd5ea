"""Masks that models write as codes, however the stream is cut."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasoning.vlm.grounding_formats import TagParser
from reasoning.vlm.markup import NamedCodes, NamedPlace, ParsedPiece, PlainText
from reasoning.vlm.mask_codes import read, spell

CODES = "<|mt_start|><|mt_0123|><|mt_0456|><|mt_end|>"
REF, END_REF = "<|object_ref_start|>", "<|object_ref_end|>"
CAT, BARE = NamedCodes("a cat", (123, 456)), NamedCodes("", (123, 456))
SAMPLES: list[tuple[str, list[object]]] = [
    (f"It is {REF}a cat{END_REF}{CODES} here.", ["It is ", CAT, " here."]),
    (f"{REF}a cat{END_REF} {CODES}, {REF}a cat{END_REF}{CODES}.", [CAT, ", ", CAT, "."]),
    (f"Sure, {CODES}.", ["Sure, ", BARE, "."]),
    (CODES, [BARE]),
    # What the published scripts repair: one code too few, the end left out, codes too many.
    ("A <|mt_start|><|mt_0007|><|mt_end|>.", ["A ", NamedCodes("", (7,)), "."]),
    ("A <|mt_start|><|mt_0007|>", ["A ", NamedCodes("", (7,))]),
    ("A <|mt_start|><|mt_0007|> <b>", ["A ", NamedCodes("", (7,)), " <b>"]),
    ("A <|mt_start|><|mt_0007|><b>", ["A ", NamedCodes("", (7,)), "<b>"]),
    (f"A <|mt_start|><|mt_0007|>{CODES}", ["A ", NamedCodes("", (7,)), BARE]),
    (
        "<|mt_start|><|mt_0001|><|mt_0300|><|mt_0002|><|mt_end|> x",
        [NamedCodes("", (1, 300, 2)), " x"],
    ),
    # Nothing of it is ever said.
    ("A <|mt_start|><|mt_end|>cat <|mt_0123|>.", ["A cat ."]),
    ("A <|mt_start|>", ["A "]),
    (f"{REF}a cat{END_REF} sits", ["a cat sits"]),
    (
        f"{REF}a cat{END_REF}<|box_start|>(1,2),(3,4)<|box_end|>",
        [NamedPlace("a cat", (1.0, 2.0, 3.0, 4.0))],
    ),
]


def pieces(text: str, cuts: Sequence[int] = ()) -> list[object]:
    """All pieces, words joined; `cuts`: lengths of what comes at once, again and again."""
    parser, found, start, number = TagParser(), [], 0, 0
    while start < len(text):
        length = cuts[number % len(cuts)] if cuts else len(text)
        found += parser.push(text[start : start + length])
        start, number = start + length, number + 1
    return _joined([*found, *parser.close()])


def _joined(found: Sequence[ParsedPiece]) -> list[object]:
    out: list[object] = []
    for piece in found:
        if isinstance(piece, PlainText) and out and isinstance(out[-1], str):
            out[-1] += piece.text
        else:
            out.append(piece.text if isinstance(piece, PlainText) else piece)
    return out


@pytest.mark.parametrize(("text", "expected"), SAMPLES)
def test_masks_are_found_and_never_said(text: str, expected: list[object]) -> None:
    assert pieces(text) == expected
    assert pieces(text, [1]) == expected


@given(
    st.lists(st.sampled_from([text for text, _ in SAMPLES]), min_size=1, max_size=3),
    st.lists(st.integers(1, 9), min_size=1, max_size=6),
)
def test_how_the_stream_is_cut_changes_nothing(texts: list[str], cuts: list[int]) -> None:
    text = " ".join(texts)
    assert pieces(text, cuts) == pieces(text)


@given(st.lists(st.integers(0, 511), min_size=1, max_size=4))
def test_codes_are_spelled_as_they_are_read(codes: list[int]) -> None:
    assert read(spell(codes)) == tuple(codes)
    assert pieces(f"x {spell(codes)}") == ["x ", NamedCodes("", tuple(codes))]
