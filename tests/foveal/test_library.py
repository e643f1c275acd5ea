"""The public surface: results arrive in order, closing ends the work, and the examples run."""

import asyncio
import runpy
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import skimage.data

import foveal
from foveal import AnswerResult, BoxPrompt, FovealError, FrameResult, Question, open_profile
from foveal.library import WAITING, _results
from stream.errors import PromptError, SourceError
from stream.frame import Frame

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SIDE = 240


def _clip(path: Path, frames: int = 10) -> Path:
    """A cup of coffee that moves a little, 10 frames a second."""
    photo = skimage.data.coffee()[60:380, 80:500]
    with av.open(str(path), "w") as file:
        video = file.add_stream("mpeg4", rate=10)
        video.width, video.height, video.bit_rate = 320, SIDE, 2_000_000
        video.time_base = Fraction(1, 10)
        for number in range(frames):
            picture = np.ascontiguousarray(photo[number : number + SIDE, 40:360])
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            file.mux(video.encode(frame))
        file.mux(video.encode(None))
    return path


def _threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if thread.name == "foveal-library"}


def _counted(upto: int, made: list[int]) -> Iterator[int]:
    async def job(put: Callable[[int], None]) -> None:
        for number in range(upto):
            await asyncio.sleep(0)
            put(number)
            made.append(number)

    return _results(job)


def test_results_come_in_order_and_none_is_lost_however_slow_the_caller_is() -> None:
    made: list[int] = []
    results = _counted(10 * WAITING, made)
    first = next(results)
    threading.Event().wait(0.2)
    assert len(made) <= WAITING + 2  # the job waits for the caller
    assert [first, *results] == list(range(10 * WAITING))
    assert not _threads()


def test_closing_ends_the_work() -> None:
    made: list[int] = []
    results = _counted(10**9, made)
    assert list(islice(results, 3)) == [0, 1, 2]
    results.close()  # type: ignore[attr-defined]  # a generator
    assert not _threads()
    assert len(made) < 10 * WAITING


def test_what_the_job_raises_is_raised_where_it_is_read() -> None:
    async def job(put: Callable[[int], None]) -> None:
        put(1)
        raise SourceError("expected a clip, got none")

    results = _results(job)
    assert next(results) == 1
    with pytest.raises(SourceError, match="expected a clip"):
        next(results)
    assert not _threads()


async def test_it_works_where_a_loop_runs_already() -> None:
    made: list[int] = []
    assert sum(_counted(3, made)) == 3


def test_what_is_not_public_is_refused_by_name() -> None:
    assert set(foveal.__all__) <= {name for name in foveal.__all__ if hasattr(foveal, name)}
    with pytest.raises(AttributeError, match="open_profile"):
        foveal.nothing_of_that_name  # noqa: B018


def test_bad_input_is_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    here = open_profile()
    with pytest.raises(PromptError, match="at least one"):
        here.track(_clip(tmp_path / "cup.avi"), [])
    with pytest.raises(SourceError, match="nothing is there"):
        here.run(tmp_path / "absent.mp4")
    with pytest.raises(FovealError, match="profile"):
        open_profile("no such profile")


class _Still:
    """A FrameSource of the caller's own."""

    async def frames(self) -> AsyncIterator[Frame]:
        picture = np.ascontiguousarray(skimage.data.coffee()[60:380, 80:500])
        for number in range(2):
            yield Frame(number * 10**8, 0, picture, "own")


@pytest.mark.assets
def test_an_own_source_is_tracked(models: Any) -> None:
    results = list(open_profile().track(_Still(), [BoxPrompt((150, 60, 330, 230))]))
    assert [len(result.regions) for result in results] == [1, 1]
    assert all(result.regions[0].box is not None for result in results)


@pytest.mark.assets
def test_a_recording_is_run_with_a_question(models: Any, tmp_path: Path) -> None:
    here = open_profile()
    here.__dict__["_models"] = models  # loaded once for all tests
    question = Question("What colour is the table?", 300_000_000)
    results = list(here.run(_clip(tmp_path / "cup.avi"), [question]))
    assert sum(isinstance(one, FrameResult) for one in results) == 10
    (answered,) = [one for one in results if isinstance(one, AnswerResult)]
    assert answered.answer.question == question
    assert answered.answer.text


def _arguments(clip: Path) -> Iterator[tuple[str, list[str]]]:
    yield "answer.py", [str(clip), "0.3: What colour is the table?"]
    yield "track.py", [str(clip), "0.2", "110,0,290,170"]
    yield "find.py", ["tallest mountain on Earth"]


@pytest.mark.assets
def test_the_examples_run(
    models: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("foveal.setup.assistant.load_models", lambda *_: models)
    said = {}
    for name, arguments in _arguments(_clip(tmp_path / "cup.avi")):
        monkeypatch.setattr("sys.argv", [name, *arguments])
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        said[name] = capsys.readouterr().out
    assert "What colour is the table? -> " in said["answer.py"]
    assert len(said["track.py"].splitlines()) == 8
    assert "Everest" in said["find.py"]
