"""Questions in, answers out: parsing, refusals, round trips."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foveal.output.answer_records import (
    MAX_AT_S,
    answer_record,
    clean_text,
    parse_ask,
    read_answers,
    read_questions,
)
from foveal.output.lines import json_line
from stream.errors import ConfigError
from stream.events import Answer, Evidence, Question, Region, SearchRecord, Span
from stream.geometry import Rle

NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
UNIT = st.floats(-1, 1)
BOXES = st.none() | st.tuples(*[st.integers(0, 9999)] * 4)


@st.composite
def answers(draw: st.DrawFn) -> Answer:
    text = draw(NAMES)
    rle = Rle((2, 3), draw(st.sampled_from([(6,), (0, 6), (1, 2, 3), (0, 1, 1, 4)])))
    spans = draw(
        st.lists(
            st.builds(
                Span,
                st.integers(0, len(text)),
                st.integers(0, len(text)),
                st.builds(
                    Region, st.integers(0, 9), st.integers(0, 10**15), st.just(rle), BOXES, UNIT
                ),
            ),
            max_size=3,
        )
    )
    evidence = st.builds(Evidence, NAMES, NAMES, NAMES, UNIT, NAMES, BOXES)
    search = st.builds(
        SearchRecord,
        st.sampled_from(["text", "image", "region"]),
        NAMES,
        st.lists(evidence, max_size=2).map(tuple),
    )
    return Answer(
        question=Question(
            draw(NAMES),
            draw(st.integers(0, 10**15)),
            draw(st.none() | st.tuples(st.integers(0, 99), st.integers(0, 99))),
            draw(BOXES),
        ),
        text=text,
        sequence=draw(NAMES),
        spans=tuple(spans),
        searches=tuple(draw(st.lists(search, max_size=2))),
        timings_ns=draw(st.dictionaries(NAMES, st.integers(0, 10**12), max_size=3)),
        model=draw(NAMES),
    )


@given(answers())
def test_an_answer_comes_back_as_it_was(answer: Answer) -> None:
    line = json_line(answer_record(answer, timed=True))
    assert line.count("\n") == 1
    path = _file("answers.jsonl", line + line)
    assert read_answers(path) == [answer, answer]


_FOLDER: list[Path] = []


@pytest.fixture(autouse=True, scope="module")
def _folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    _FOLDER.append(tmp_path_factory.mktemp("records"))


def _file(name: str, content: str) -> Path:
    path = _FOLDER[-1] / name
    path.write_text(content, encoding="utf-8", newline="")
    return path


def test_an_untimed_record_holds_no_durations() -> None:
    question = Question("What?", 3_000_000_000)
    quick = Answer(question, "A cup.", "A cup.", (), (), {"search": 1})
    slow = Answer(question, "A cup.", "A cup.", (), (), {"search": 2})
    lines = {json_line(answer_record(answer, timed=False)) for answer in (quick, slow)}
    assert len(lines) == 1
    assert "timings" not in lines.pop()
    assert answer_record(slow, timed=True)["timings_ms"] == {"search": 2e-6}


def test_a_record_says_what_a_span_covers() -> None:
    region = Region(4, 0, Rle((1, 2), (1, 1)), (1, 0, 2, 1), 0.5)
    answer = Answer(Question("What?", 0), "The red cup.", "", (Span(4, 11, region),), ())
    span = answer_record(answer, timed=False)["spans"][0]
    assert span["text"] == "red cup"
    assert span["mask"] == {"size": [1, 2], "counts": [1, 1]}


@given(st.integers(0, MAX_AT_S * 10**9))
def test_every_nanosecond_survives(at_ns: int) -> None:
    assert parse_ask(f"{at_ns / 10**9!r}: What is this?").asked_ns == at_ns


@pytest.mark.parametrize(
    ("text", "asked_ns", "words"),
    [
        ("3.0: What is this?", 3 * 10**9, "What is this?"),
        ("8:Where: here or there?", 8 * 10**9, "Where: here or there?"),
        (" .5 : 这是什么？", 5 * 10**8, "这是什么？"),
        ("1e1: \x1b[31mred\x00\x07 \t cup\n?", 10**10, "[31mred cup ?"),
        ("0: נ \ud800 x", 0, "נ ? x"),
        ("2: " + "word " * 10_000, 2 * 10**9, " ".join(["word"] * 10_000)),
    ],
)
def test_ask_is_parsed(text: str, asked_ns: int, words: str) -> None:
    assert parse_ask(text) == Question(words, asked_ns)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("What is this?", "SECONDS: TEXT"),
        ("soon: What is this?", "SECONDS: TEXT"),
        ("nan: What?", "SECONDS: TEXT"),
        ("inf: What?", "SECONDS: TEXT"),
        ("1_0: What?", "SECONDS: TEXT"),
        ("٣: What?", "SECONDS: TEXT"),
        ("-1: What?", "from 0 to"),
        ("1e999: What?", "from 0 to"),
        ("2000000: What?", "from 0 to"),
        ("3:", "expected words"),
        ("3: \x00\x1b \t", "expected words"),
        ("", "SECONDS: TEXT"),
    ],
)
def test_a_malformed_ask_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        parse_ask(text)
    assert str(caught.value).isprintable()


@given(st.text())
def test_ask_parses_or_refuses_anything(text: str) -> None:
    try:
        question = parse_ask(text)
    except ConfigError as error:
        assert str(error).isprintable()
    else:
        assert question.asked_ns >= 0
        assert clean_text(question.text) == question.text != ""


def test_question_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "questions.jsonl"
    path.write_bytes(
        b'\xef\xbb\xbf{"at": 3, "text": "What is this?", "point": [10, 20.4]}\r\n\n'
        b'{"text": "Et \xc3\xa7a?", "at": 0.5, "box": [0, 0, 5, 6], "point": null}\n'
    )
    assert read_questions(path) == [
        Question("What is this?", 3 * 10**9, point=(10, 20)),
        Question("Et ça?", 5 * 10**8, box=(0, 0, 5, 6)),
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("What is this?", "one JSON object"),
        ("[1]", "one JSON object"),
        ("[" * 100_000, "one JSON object"),
        ('{"at": 1' + "0" * 6000 + ', "text": "x"}', "one JSON object"),
        ('{"at": 1' + "0" * 400 + ', "text": "x"}', "from 0 to"),
        ('{"at": NaN, "text": "x"}', "from 0 to"),
        ('{"at": Infinity, "text": "x"}', "from 0 to"),
        ('{"at": -0.5, "text": "x"}', "from 0 to"),
        ('{"at": true, "text": "x"}', '"at" in seconds'),
        ('{"at": "3", "text": "x"}', '"at" in seconds'),
        ('{"text": "x"}', '"at" in seconds'),
        ('{"at": 1}', '"text" with the question'),
        ('{"at": 1, "text": ["x"]}', '"text" with the question'),
        ('{"at": 1, "text": " "}', "expected words"),
        ('{"at": 1, "text": "x", "pint": [1, 2]}', "did you mean 'point'"),
        ('{"at": 1, "text": "x", "point": [1]}', "2 pixel numbers"),
        ('{"at": 1, "text": "x", "point": [1, NaN]}', "2 pixel numbers"),
        ('{"at": 1, "text": "x", "point": [1, -2]}', "2 pixel numbers"),
        ('{"at": 1, "text": "x", "box": [5, 0, 5, 9]}', "x0 < x1"),
        ('{"at": 1, "text": "x", "box": [0, 0, 5, 9], "point": [1, 1]}', "got both"),
    ],
)
def test_a_malformed_line_names_its_place(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "questions.jsonl"
    path.write_text('{"at": 1, "text": "fine"}\n' + line + "\n")
    with pytest.raises(ConfigError, match=message) as caught:
        read_questions(path)
    assert str(caught.value).startswith(f"{path}:2: ")
    assert len(str(caught.value)) < 400 + len(str(path))


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists, max_leaves=5))
def test_question_files_parse_or_refuse_any_values(value: Any) -> None:
    line = json.dumps({"at": 1, "text": value, "point": value})
    path = _file("fuzz.jsonl", line)
    try:
        questions = read_questions(path)
    except ConfigError as error:
        assert f"{path}:1: " in str(error)
    else:
        assert len(questions) == 1


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.jsonl"):
        read_questions(tmp_path / "absent.jsonl")
    with pytest.raises(ConfigError, match=str(tmp_path)):
        read_questions(tmp_path)
    (tmp_path / "latin.jsonl").write_bytes(b'{"at": 1, "text": "\xe9"}')
    with pytest.raises(ConfigError, match="UTF-8"):
        read_questions(tmp_path / "latin.jsonl")
    (tmp_path / "answers.jsonl").write_text('{"answer": "x"}\n')
    with pytest.raises(ConfigError, match=r"answers\.jsonl:1: expected an answer"):
        read_answers(tmp_path / "answers.jsonl")


def test_json_lines_are_strict_json() -> None:
    record = {
        "score": np.float32(0.5),
        "box": np.array([1, 2]),
        "bad": math.nan,
        "worse": np.float64(math.inf),
        "path": Path("a"),
        "text": "é \ud800",
        "more": (1, None, {2: True}),
    }
    line = json_line(record)
    line.encode("utf-8")
    assert json.loads(line) == {
        "score": 0.5,
        "box": [1, 2],
        "bad": None,
        "worse": None,
        "path": "a",
        "text": "é \ud800",
        "more": [1, None, {"2": True}],
    }
    assert json_line({"text": "é"}) == '{"text":"é"}\n'
