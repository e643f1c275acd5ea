"""What models of each family write, as it streams: words, named places and searches."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasoning.generation.grammar import Call
from reasoning.vlm.coordinates import THOUSANDTHS, Coordinates, format_of
from reasoning.vlm.grounding_formats import TagParser
from reasoning.vlm.markup import MAX_TAG, NamedPlace, ParsedPiece, PlainText

SIZE = (720, 1280)
REGION = Call("region", "<region>")


def parse(text: str, on: Coordinates = THOUSANDTHS, cuts: Sequence[int] = ()) -> list[object]:
    """All pieces, words joined; `cuts`: lengths of what comes at once, again and again."""
    parser, found, start, number = TagParser(on), [], 0, 0
    while start < len(text):
        length = cuts[number % len(cuts)] if cuts else len(text)
        found += parser.push(text[start : start + length])
        start, number = start + length, number + 1
    return joined([*found, *parser.close()])


def joined(pieces: Sequence[ParsedPiece]) -> list[object]:
    out: list[object] = []
    for piece in pieces:
        if isinstance(piece, PlainText) and out and isinstance(out[-1], str):
            out[-1] += piece.text
        else:
            out.append(piece.text if isinstance(piece, PlainText) else piece)
    return out


CUP = NamedPlace("cup", (100, 200, 300, 400))
SAMPLES: list[tuple[str, str, list[object]]] = [
    ("ours", "The [cup](100,200,300,400) is red.", ["The ", CUP, " is red."]),
    ("ours", "A [cup](100.0, 200, 300 ,400)!", ["A ", CUP, "!"]),
    (
        "qwen3-vl",
        'The {"bbox_2d": [100, 200, 300, 400], "label": "cup"} is red.',
        ["The ", CUP, " is red."],
    ),
    (
        "qwen3-vl",
        '```json\n[\n\t{"bbox_2d": [100, 200, 300, 400], "label": "cup"},\n'
        '\t{"bbox_2d": [1, 2, 3, 4], "label": "dish"}\n]\n```',
        ["\n", CUP, ", ", NamedPlace("dish", (1, 2, 3, 4)), "\n"],
    ),
    (
        "qwen3-vl",
        'At {"point_2d": [500, 250], "label": "a \\"mug\\""}.',
        ["At ", NamedPlace('a "mug"', (500, 250)), "."],
    ),
    (
        "qwen2.5-vl",  # 720 x 1280 is read at 728 x 1288
        '[{"bbox_2d": [644, 364, 1288, 728], "label": "cup"}]',
        [NamedPlace("cup", (500, 500, 1000, 1000))],
    ),
    (
        "qwen2-vl",
        "<|object_ref_start|>cup<|object_ref_end|><|box_start|>(100,200),(300,400)<|box_end|>.",
        [CUP, "."],
    ),
    # Servers leave special tokens out.
    ("qwen2-vl", "a cup(100,200),(300,400).", ["a cup", NamedPlace("", CUP.place), "."]),
    (
        "gemini",
        'Here: {"box_2d": [200, 100, 400, 300], "label": "cup"} and so on',
        ["Here: ", CUP, " and so on"],
    ),
    ("gemma-3", '[{"point": [250, 500], "label": "cup"}]', [NamedPlace("cup", (500, 250))]),
    (
        "paligemma",
        "<loc0256><loc0128><loc0512><loc0768> cat ; <loc0000><loc0000><loc0512><loc0512> dog",
        [NamedPlace("cat", (125, 250, 750, 500)), " ; ", NamedPlace("dog", (0, 0, 500, 500))],
    ),
    (
        "florence-2",
        "A green car<loc_52><loc_332><loc_932><loc_774> parked",
        ["A green car", NamedPlace("", (52, 332, 932, 774)), " parked"],
    ),
    (
        "kosmos-2",
        "<grounding> An image of<phrase> a snowman</phrase>"
        "<object><patch_index_0044><patch_index_0863></object> by a fire",
        [
            " An image of",
            NamedPlace("a snowman", (390.625, 46.875, 984.375, 828.125)),
            " by a fire",
        ],
    ),
    ("moondream", "a [cup](0.1,0.2,0.3,0.4)", ["a ", CUP]),
    (
        "molmo",
        'The <point x="61.5" y="40.4" alt="mug">mug</point> is',
        ["The ", NamedPlace("mug", (615, 404)), " is"],
    ),
    (
        "molmo",
        '<points x1="10" y1="20" x2="30.5" y2="40" alt="mugs">mugs</points>',
        [NamedPlace("mugs", (100, 200)), NamedPlace("", (305, 400))],
    ),
    (
        "molmo2",
        'Counting <points coords="1 1 073 160 2 173 600">the boats</points> shows 2.',
        ["Counting ", NamedPlace("the boats", (73, 160)), NamedPlace("", (173, 600)), " shows 2."],
    ),
    (
        "internvl3",
        "<ref>cup</ref><box>[[100, 200, 300, 400], [5, 6, 7, 8]]</box> there",
        [CUP, NamedPlace("", (5, 6, 7, 8)), " there"],
    ),
    (
        "deepseek-vl2",
        "<|ref|>cup<|/ref|><|det|>[[999, 0, 999, 999]]<|/det|><｜end▁of▁sentence｜>",
        [NamedPlace("cup", (1000, 0, 1000, 1000)), "<｜end▁of▁sentence｜>"],
    ),
    # What none of them writes on purpose, but all of them may.
    ("ours", "It<search>what cats eat</search> x", ["It", Call("text", "what cats eat"), " x"]),
    ("ours", "<search> <region> </search><search></search>", [REGION]),
    ("ours", "<search><picture></search>.", [Call("image", "<image>"), "."]),
    ("ours", "<think>A [cup](1,2)? <search>x</search></think>\n\nA cup", ["\n\nA cup"]),
    ("ours", "A cup<think>and then", ["A cup"]),
    ("ours", "# Cups\n- **one** is *red*\n  * `two` is not", ["Cups\none is red\ntwo is not"]),
    ("ours", "5*3 is 15, a < b", ["5*3 is 15, a < b"]),
    ("ours", "- 5 degrees, -5 degrees", ["5 degrees, -5 degrees"]),
    ("ours", "see [this](http://a.b/c) and [that]", ["see this and that"]),
    ("ours", '{"answer": "red", "why": ["it is"]}', ["red, it is"]),
    ("ours", '{"bbox_2d": [1, 2], "label": []}', [NamedPlace("", (1, 2))]),
    ("ours", '{"bbox_2d": [1, "x", 2], "label": "cup"}', ["x, cup"]),
    ("ours", "<ref>cup</ref> alone<|im_end|>", ["cup alone"]),
    # Cut off.
    ("ours", "I see [a", ["I see "]),
    ("ours", "I see [a cup](12,", ["I see a cup"]),
    ("ours", "It <search>what", ["It "]),
    ("ours", 'The {"bbox_2d": [100, 2', ["The "]),
    ("internvl3", "The <ref>cup</ref><bo", ["The cup"]),
]


@pytest.mark.parametrize(("model", "text", "expected"), SAMPLES, ids=lambda v: str(v)[:30])
def test_written_samples(model: str, text: str, expected: list[object]) -> None:
    on = format_of(model).on(SIZE)
    assert parse(text, on) == expected
    assert parse(text, on, [1]) == expected


PARTS = st.sampled_from(
    [
        *(text for _, text, _ in SAMPLES),
        *'[](){}<>*`#-\n" ',
        "word ",
        "1,2",
        "[a](1,2)",
        "<search>",
        "</search>",
        "<region>",
        "<think>",
        "</think>",
        "```json\n",
        '{"box_2d": ',
        "<loc0001>" * 4,
        "\0",
    ]
)


@given(st.lists(PARTS, max_size=10).map("".join), st.lists(st.integers(1, 9), min_size=1))
def test_how_the_stream_is_cut_does_not_matter(text: str, cuts: Sequence[int]) -> None:
    assert parse(text, cuts=cuts) == parse(text)


@given(st.text("ab,. \n'é", max_size=40))
def test_words_are_words(text: str) -> None:
    assert "".join(map(str, parse(text))) == text


def test_words_are_given_as_soon_as_they_are_certain() -> None:
    parser = TagParser()
    assert parser.push("I see ") == [PlainText("I see ")]
    assert parser.push("[the cup](1,2") == []
    assert parser.push(") on") == [NamedPlace("the cup", (1, 2)), PlainText(" on")]
    assert parser.push(" <search>what") == [PlainText(" ")] and parser.close() == []


def test_what_never_closes_is_not_held_for_ever() -> None:
    parser = TagParser()
    given = "[" + "x" * 2 * MAX_TAG
    assert joined(parser.push(given)) == [given]


@pytest.mark.parametrize("text", ['{"a": ' * 900, "[" * 4000, '{"' + "a" * 9000, "*" * 4000])
def test_garbage_is_read_in_bounded_time_and_space(text: str) -> None:
    parser = TagParser()
    for start in range(0, len(text), 7):
        parser.push(text[start : start + 7])
        assert len(parser._held) < 5000
    parser.close()
