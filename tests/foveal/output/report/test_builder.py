"""The report page: complete, self-contained, escaped, bounded."""

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.audio.wav import write_wav
from foveal.output.annotate import colour
from foveal.output.report import builder as page_builder
from foveal.output.report import html as page_html
from foveal.output.report.builder import MAX_THUMBNAILS, ReportBuilder
from stream.clock import VirtualClock
from stream.errors import OutputError
from stream.events import Answer, Evidence, Question, SearchRecord, Span
from stream.frame import Keyframe
from stream.timing.trace import Tracer
from tests.foveal.media import answer, frame, region

VOID = {"meta", "img", "br", "link", "input", "hr"}
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>\x00\x1b\ud800&amp;"


class Page(HTMLParser):
    """Collects elements, and fails on unbalanced ones."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return "".join(self.words)

    def all(self, tag: str, name: str | None = None) -> list[dict[str, str | None]]:
        found = (attrs for kind, attrs in self.elements if kind == tag)
        return [attrs for attrs in found if name is None or attrs.get("class") == name]


def build(path: Path, *answers: Answer, wav: Path | None = None, **summary: object) -> Page:
    builder = ReportBuilder(path)
    for one in answers:
        builder.add_answer(one, frame(0).image, (), wav)
    builder.finish(summary)
    assert not path.with_name(path.name + ".part").exists()
    return Page(path.read_text(encoding="utf-8"))


def test_a_report_shows_everything(tmp_path: Path) -> None:
    clock = VirtualClock()
    tracer = Tracer(clock=clock)
    with tracer.span("tracker"):
        clock.advance_to(30_000_000)
    with tracer.span("answer"):
        clock.advance_to(40_000_000)
    (tmp_path / "annotated.mp4").touch()
    builder = ReportBuilder(tmp_path / "report.html")
    builder.add_keyframe(Keyframe(frame(12), 0.31, "scene"))
    builder.add_answer(answer(asked_ns=3_000_000_000), frame(30).image, (region(1),))
    builder.finish(
        {
            "clip": "/somewhere/walk.mp4",
            "frames": 1234,
            "wall_s": 12.5,
            "profile": "embedded",
            "stages": tracer.summary(),
            "refused": {"bad frame": 2},
        }
    )
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    for words in (
        "walk.mp4",
        "1,234",
        "12.50 s",
        "embedded",
        "0:01.2 scene 0.31",
        "What is this?",
        "0:03.0 · pointing at 30, 40",
        "A red cup, first made in China.",
        "region search",
        "0.710",
        "wiki-vital · wiki:7",
        "A cup is a small container.",
        "first token 123.0 ms",
        "tracker",
        "30.0 ms",
        "refused: bad frame",
    ):
        assert words in page.text, words
    assert [link["href"] for link in page.all("a")] == ["annotated.mp4"]
    widths = [
        re.findall(r"width:([\d.]+)%", attrs.get("style") or "") for attrs in page.all("span")
    ]
    assert [w[0] for w in widths if w] == ["75.00", "25.00"] * 2


def test_a_report_is_self_contained_and_has_no_script(tmp_path: Path) -> None:
    page = build(tmp_path / "report.html", answer())
    sources = [attrs["src"] for tag, attrs in page.elements if "src" in attrs]
    assert sources
    assert all(source is not None and source.startswith("data:") for source in sources)
    assert not page.all("script") + page.all("link")
    assert "http://" not in (text := (tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "https://" not in text
    assert "prefers-color-scheme: dark" in text
    assert not list(tmp_path.glob("*.part"))


def test_pictures_can_be_decoded(tmp_path: Path) -> None:
    page = build(tmp_path / "report.html", answer())
    source = page.all("img")[0]["src"] or ""
    data = base64.b64decode(source.removeprefix("data:image/jpeg;base64,"))
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    assert picture is not None
    assert np.abs(picture.astype(int) - frame(0).image).mean() < 4


def test_hostile_texts_are_only_text(tmp_path: Path) -> None:
    found = Evidence(HOSTILE, HOSTILE, HOSTILE, 0.5, HOSTILE)
    given = Answer(
        Question(HOSTILE, 0),
        HOSTILE,
        f"<search>{HOSTILE}</search><information>{HOSTILE}",
        (Span(0, 30, region(1)),),
        (SearchRecord("text", HOSTILE, (found,)),),
        {HOSTILE: 1},
        HOSTILE,
    )
    tracer = Tracer()
    with tracer.span(HOSTILE):
        pass
    page = build(
        tmp_path / "report.html",
        given,
        clip=HOSTILE,
        note=HOSTILE,
        stages=tracer.summary(),
        refused={HOSTILE: 1},
        counts={HOSTILE: 1},
    )
    assert not page.all("script")
    assert len(page.all("img")) == 1
    assert not [attrs for _, attrs in page.elements if any(key.startswith("on") for key in attrs)]
    assert page.text.count("<script>alert(1)</script>") >= 10
    assert "\x00" not in page.text


def test_speech_is_embedded_when_short_and_linked_when_long(tmp_path: Path) -> None:
    wav = tmp_path / "speech" / "01.wav"
    wav.parent.mkdir()
    write_wav(wav, [np.zeros(8000, np.int16)], 16_000)
    source = build(tmp_path / "a.html", answer(), wav=wav).all("audio")[0]["src"] or ""
    assert base64.b64decode(source.removeprefix("data:audio/wav;base64,")) == wav.read_bytes()
    write_wav(wav, [np.zeros(800_000, np.int16)], 16_000)
    page = build(tmp_path / "b.html", answer(), wav=wav)
    assert page.all("audio")[0]["src"] == "speech/01.wav"
    assert not build(tmp_path / "c.html", answer(), wav=tmp_path / "gone.wav").all("audio")


def test_a_page_embeds_only_so_much_speech(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_builder, "MAX_EMBEDDED_TOTAL", 40_000)
    write_wav(tmp_path / "01.wav", [np.zeros(8000, np.int16)], 16_000)
    page = build(tmp_path / "a.html", *[answer()] * 4, wav=tmp_path / "01.wav")
    sources = [str(attrs["src"])[:5] for attrs in page.all("audio")]
    assert sources == ["data:", "data:", "01.wa", "01.wa"]


def test_keyframes_are_thinned_evenly(tmp_path: Path) -> None:
    builder = ReportBuilder(tmp_path / "report.html")
    for index in range(1000):
        builder.add_keyframe(Keyframe(frame(index, (8, 8)), 0.1, "drift" if index else "first"))
    builder.finish({})
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert MAX_THUMBNAILS // 2 <= len(page.all("img")) <= MAX_THUMBNAILS
    shown = [
        60 * int(m) + float(s) for m, s in re.findall(r"\n(\d+):(\d\d\.\d) ", "\n".join(page.words))
    ]
    steps = set(np.round(np.diff(shown), 3))
    assert shown[0] == 0
    assert len(steps) == 1
    assert "drift 999" in page.text


def test_an_empty_session_has_a_page(tmp_path: Path) -> None:
    page = build(tmp_path / "report.html", refused={})
    assert "Nothing was dropped, refused or repaired." in page.text
    assert not page.all("article")


def test_a_report_that_cannot_be_written_says_where(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"absent/report\.html"):
        ReportBuilder(tmp_path / "absent" / "report.html")
    builder = ReportBuilder(tmp_path / "report.html")
    (tmp_path / "report.html").mkdir()
    with pytest.raises(OutputError, match=r"report\.html, got: Is a directory"):
        builder.finish({})
    assert not list(tmp_path.glob("*.part"))


def test_search_and_evidence_are_set_apart() -> None:
    html = page_html.sequence(
        "The car<search> <region> </search><information> WRX | 2.5 L</information> is old."
    )
    page = Page(html)
    assert page.text == (
        "The car<search> <region> </search><information> WRX | 2.5 L</information> is old."
    )
    assert [attrs["class"] for attrs in page.all("span")] == [
        "search",
        "token",
        "token",
        "token",
        "information",
        "token",
        "token",
    ]


TOKENS = st.sampled_from(
    ["<search>", "</search>", "<information>", "</information>", "<region>", "[SEG]", "a < b", "&"]
)


@given(st.lists(TOKENS | st.text(max_size=5), max_size=12).map("".join))
def test_any_sequence_is_balanced_html_with_its_own_text(decoded: str) -> None:
    page = Page(page_html.sequence(decoded))
    printed = Page(page_html.text(decoded))
    assert page.text == printed.text


@given(
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30),
    st.lists(st.tuples(st.integers(-5, 40), st.integers(-5, 40)), max_size=5),
)
def test_spans_never_change_the_answers_text(text: str, bounds: list[tuple[int, int]]) -> None:
    spans = [Span(start, end, region(1)) for start, end in bounds]
    assert Page(page_html.grounded(text, spans)).text == text


def test_a_span_has_the_colour_of_its_mask() -> None:
    html = page_html.grounded("A red cup.", [Span(2, 9, region(5))])
    red, green, blue = colour(5)
    assert f'<mark style="--tone:#{red:02x}{green:02x}{blue:02x}">red cup</mark>' in html
