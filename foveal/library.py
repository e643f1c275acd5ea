"""Foveal as a library: open a profile; run recordings with questions, ask, track, search.

What this module exports through `foveal` is the public surface (docs/library.md); all other
modules may change without notice.
"""

import asyncio
import queue
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from foveal.config.load import load_config
from foveal.config.schema import Config, placed
from stream.clock import VirtualClock, seconds_to_ns
from stream.errors import PromptError, SourceError
from stream.events import Answer, AnswerEvent, Evidence, Query, Question, Region
from stream.frame import Frame, FrameSource, Image, Keyframe, Mask
from stream.geometry import Box, Point, encode_mask
from stream.sources.open import Recording, open_source
from stream.sources.playback import PlaybackOptions

if TYPE_CHECKING:
    from foveal.setup.assistant import Models
    from perception.masks.prompts import Prompt
    from retrieval.search import Searcher

WAITING = 64  # results that may wait for the caller; then the session waits for them

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class FrameResult:
    """A frame that was processed, with the masklets in it."""

    frame: Frame
    regions: tuple[Region, ...]
    keyframe: Keyframe | None  # why it was picked; None for a frame that was not


@dataclass(frozen=True, slots=True, eq=False)
class AnswerResult:
    """A finished answer, the frame it speaks of, and the regions of what it names."""

    answer: Answer
    frame: Frame
    regions: tuple[Region, ...]


Result = FrameResult | AnswerEvent | AnswerResult


def open_profile(profile: str | Path | Config = "embedded") -> "Foveal":
    """A profile by name, a YAML file, or a Config; models are loaded when first used.

    Raises ConfigError for an unknown profile or a wrong value.
    """
    return Foveal(profile if isinstance(profile, Config) else load_config(profile))


class Foveal:
    """One configuration with its models, shared by all that is run on it."""

    def __init__(self, config: Config) -> None:
        self.config = placed(config)

    @cached_property
    def _models(self) -> "Models":
        from foveal.setup.assistant import open_models
        from foveal.setup.phrases import open_phrase_segmenter

        models = open_models(self.config)
        models.reader.segment_by(open_phrase_segmenter(self.config.phrases))
        return models

    def run(
        self, source: str | Path | FrameSource, questions: Iterable[Question] = ()
    ) -> Iterator[Result]:
        """Run a recording (or any FrameSource) through a session, with questions at their times.

        Frames, events and answers come as they are made; a caller that is slow holds the session
        up and nothing is lost. Closing the iterator ends the session. Raises SourceError for a
        recording that cannot be read, AssetError for missing weights.
        """
        frames = _recording(source) if isinstance(source, str | Path) else source
        asked = tuple(questions)

        clip = Path(source) if isinstance(source, str | Path) else None

        async def job(put: Callable[[Result], None]) -> None:
            from foveal.jobs.clip_memory import ClipMemory
            from foveal.session.pipeline import Session
            from foveal.setup.standing import open_standing

            with ClipMemory.open(self.config.memory, clip, self._models) as memory:
                stages, sink = self._stages(memory.asked), memory.before(_Sink(put))
                standing = open_standing(self.config.standing, stages)
                session = Session(stages, sink, self.config.session, standing=standing)
                await session.run(frames, asked)

        return _results(job)

    def ask(
        self, image: Image, text: str, point: Point | None = None, box: Box | None = None
    ) -> Answer:
        """Answer a question about one picture [H, W, 3] uint8 RGB; `point` or `box` in pixels."""
        from foveal.setup.assistant import build_assistant

        assistant = build_assistant(self._models, self.config.reasoning)
        view = self._models.reader.read(Frame(0, 0, image, "picture"))
        return assistant.ask(Question(text, 0, point, box), view, lambda _: None)

    def track(
        self, source: str | Path | FrameSource, prompts: Sequence["Prompt"], start_s: float = 0.0
    ) -> Iterator[FrameResult]:
        """Follow prompted things from `start_s` on: one region a prompt and frame.

        Regions are in the prompts' order, without a box while their thing is out of view. Raises
        PromptError where a prompt cannot be used, SourceError where no frame lies there.
        """
        if not prompts:
            raise PromptError("expected at least one box, point or mask to follow, got none")
        frames = _recording(source, start_s) if isinstance(source, str | Path) else source

        async def job(put: Callable[[FrameResult], None]) -> None:
            from foveal.jobs.followers import open_follower

            follower, started = open_follower(self.config.masklets), False
            async for frame in frames.frames():
                if not started:
                    for prompt in prompts:
                        follower.start(frame, prompt)
                started = True
                put(FrameResult(frame, follower.follow(frame), None))
            if not started:
                raise SourceError(f"expected a frame at or after {start_s:g} s, the source ends")

        return _results(job)

    def search(
        self, text: str = "", image: Image | None = None, mask: Mask | None = None, k: int = 3
    ) -> list[Evidence]:
        """Evidence for words, a picture [H, W, 3], or a region of it (mask [H, W] bool).

        With a picture, `text` is what is asked of the thing. Raises QueryError for an empty query.
        """
        if image is None:
            query = Query("text", text, k)
        elif mask is None:
            query = Query("image", "<image>", k, image, about=text)
        else:
            query = Query("region", "<region>", k, image, encode_mask(mask), text)
        return self._models.indexes.search(query)

    def _stages(self, memory: "Searcher | None" = None) -> Any:
        from foveal.setup.stages import load_stages
        from stream.timing.trace import Tracer

        return load_stages(self.config, self._models, memory)(Tracer())


def _recording(path: str | Path, start_s: float = 0.0) -> Recording:
    """A recording as fast as it is read."""
    return open_source(path, VirtualClock(), PlaybackOptions(0, seconds_to_ns(start_s)))


class _Sink:
    """A session's sink that hands everything on."""

    def __init__(self, put: Callable[[Result], None]) -> None:
        self._put = put

    def frame(self, frame: Frame, regions: tuple[Region, ...], keyframe: Keyframe | None) -> None:
        self._put(FrameResult(frame, regions, keyframe))

    def event(self, event: AnswerEvent) -> None:
        self._put(event)

    def answer(self, answer: Answer, frame: Frame, regions: tuple[Region, ...]) -> None:
        self._put(AnswerResult(answer, frame, regions))


class _Closed(Exception):
    """The caller reads no more; ends the job where it puts its next result."""


class _Bridge(Generic[T]):
    """A job in a thread with an event loop of its own; its results one by one in the caller's.

    A thread, because the caller may have a running loop already (a notebook has).
    """

    def __init__(self, job: Callable[[Callable[[T], None]], Coroutine[Any, Any, None]]) -> None:
        self._job = job
        self._queue: queue.Queue[tuple[T | None, BaseException | None]] = queue.Queue(WAITING)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._work, name="foveal-library", daemon=True)

    def results(self) -> Iterator[T]:
        """Yield what the job puts; raises what it raised."""
        self._thread.start()
        try:
            while True:
                result, error = self._queue.get()
                if error is not None:
                    raise error
                if result is None:
                    return
                yield result
        finally:
            self._closed.set()
            while self._thread.is_alive():  # a job that waits to put is let go
                with suppress(queue.Empty):
                    self._queue.get(timeout=0.05)
            self._thread.join()

    def _work(self) -> None:
        error: BaseException | None = None
        try:
            asyncio.run(self._job(self._put))
        except _Closed:
            pass
        except BaseException as raised:
            error = raised
        self._queue.put((None, error))

    def _put(self, result: T) -> None:
        if self._closed.is_set():
            raise _Closed
        self._queue.put((result, None))


def _results(job: Callable[[Callable[[T], None]], Coroutine[Any, Any, None]]) -> Iterator[T]:
    return _Bridge(job).results()
