"""Questions from narrations, on rows made up here in the published form."""

from pathlib import Path

import pytest

from benchmarks.epic import half_of, read_cases, read_narrations
from benchmarks.memory_epic import Asked, Said, by_words, counted, figures
from stream.clock import NS_PER_S
from stream.errors import SourceError

HEAD = (
    "narration_id,participant_id,video_id,start_timestamp,stop_timestamp,narration,"
    "verb,verb_class,noun,noun_class"
)
ROWS = [
    ("P01_1", 5, 7, "grab towel:tea", (3, 4)),
    ("P01_1", 1, 2, "take towel:tea", (3, 4)),
    ("P01_1", 40, 41, "take towel:tea", (3, 4)),
    ("P01_1", 60, 61, "fold towel:tea", (8, 4)),
    ("P02_1", 1, 2, "fetch cloth", (3, 4)),
]


def write(path: Path) -> Path:
    lines = [HEAD]
    for number, (video, start, stop, words, (verb, noun)) in enumerate(ROWS):
        said, name = words.split(" ")
        text = f"{said} {' '.join(reversed(name.split(':')))} from rail"
        times = f"00:00:{start % 60:02}.50,00:{stop // 60:02}:{stop % 60:02}.00"
        if start >= 60:
            times = f"00:01:{start - 60:02}.50,00:{stop // 60:02}:{stop % 60:02}.00"
        lines.append(
            f"{video}_{number},{video[:3]},{video},{times},{text},{said},{verb},{name},{noun}"
        )
    path.write_text("\n".join(lines))
    return path


def test_narrations_come_in_order_of_time(tmp_path: Path) -> None:
    rows = read_narrations(write(tmp_path / "rows.csv"))["P01_1"]
    assert [row.event.text.split()[0] for row in rows] == ["take", "grab", "take", "fold"]
    assert rows[0].event.start_ns == 1.5 * NS_PER_S and rows[0].kind == (3, 4)


def test_acts_done_twice_are_asked_about(tmp_path: Path) -> None:
    videos = read_narrations(write(tmp_path / "rows.csv"))
    (own,) = read_cases(videos, "own")
    assert own.said in ("take the tea towel", "grab the tea towel") and len(own.truth) == 2
    other = read_cases(videos, "other")
    # Words of another wearer's, where one of the same half has done the same.
    assert [case.said for case in other] == ["fetch the cloth"] * (
        half_of("P01_1") == half_of("P02_1")
    )


def test_methods_are_marked_by_the_truth(tmp_path: Path) -> None:
    import numpy as np

    videos = read_narrations(write(tmp_path / "rows.csv"))
    events = [row.event for row in videos["P01_1"]]
    asked = [
        Asked(case, events, np.zeros(len(events), np.float32)) for case in read_cases(videos, "own")
    ]
    assert counted(asked[0]) == Said(2, 41 * NS_PER_S)
    right = figures(asked, counted)
    assert (right["count_exact"], right["last"], right["last_low"]) == (1, 1, 1)
    wrong = figures(asked, lambda _: Said(3, None))
    assert (wrong["count_exact"], wrong["count_within_1"], wrong["last"]) == (0, 1, 0)
    nothing = by_words(asked[0], lambda word, verb: frozenset())
    assert nothing == Said(0, None)


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n"])
def test_another_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "rows.csv").write_text(text)
    if text:
        with pytest.raises(SourceError, match="EPIC_100_validation"):
            read_narrations(tmp_path / "rows.csv")
    with pytest.raises(SourceError, match="CC BY-NC"):
        read_narrations(tmp_path / "absent.csv")
