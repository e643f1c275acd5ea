"""Lines of bounded length."""

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.sources.lines import MAX_LINE_CHARS, encoding_of, text_lines


def test_a_line_without_end_is_cut_at_spaces(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    text = "word " * 10_000
    path.write_text(text)
    lines = list(text_lines(path, encoding_of(path)))
    assert "".join(lines) == text and len(lines) > 3
    assert all(line.endswith(" ") for line in lines)
    path.write_text("x" * 50_000)
    assert "".join(text_lines(path, "utf-8")) == "x" * 50_000


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 3 * MAX_LINE_CHARS), max_size=4), st.sampled_from(["x", "x ", " "]))
def test_nothing_is_lost(lengths: list[int], word: str) -> None:
    text = "\n".join(word * length for length in lengths)

    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.txt"
        path.write_text(text)
        lines = list(text_lines(path, "utf-8"))
    assert "".join(lines) == text and all(len(line) <= 2 * MAX_LINE_CHARS for line in lines)
