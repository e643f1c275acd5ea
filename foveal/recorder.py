"""Writes what a session makes into its output folder, as it is made."""

from collections import Counter, deque
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from devices.speech import Pcm, Speaker, write_wav
from devices.voice import StreamingVoice
from foveal.annotate import draw, mark_question, told_apart
from foveal.annotated_video import AnnotatedVideo
from foveal.records import answer_record, json_line
from foveal.report import ReportBuilder
from stream.clock import NS_PER_S
from stream.errors import DeviceError, FovealError, OutputError
from stream.events import Answer, AnswerEvent, Region
from stream.frame import Frame, Keyframe
from stream.trace import Tracer

HEIGHTS = (480, 720)  # least and most pixels of annotated.mp4 and the report's pictures
MIN_SUBTITLE_NS, MAX_SUBTITLE_NS = 4 * NS_PER_S, 9 * NS_PER_S
READING_NS = 55_000_000  # a character: about 200 words a minute
MAX_WAITING = 16  # subtitles that wait for the one on screen
RESULTS = ("answers.jsonl", "events.jsonl", "annotated.mp4", "report.html", "speech/*.wav")


class Recorder:
    """A SessionSink that fills a folder: answers, events, video, speech and the report.

    Every line is on disk when its call returns, so an interrupted run keeps what was finished.
    Results of an earlier run in the same folder are removed first. A voice or video that fails is
    refused with its reason, and the session goes on; a folder that takes no answers raises
    OutputError. `timed` puts measured durations into answers.jsonl: leave it off on a virtual
    clock, where two replays must give the same bytes.
    """

    def __init__(
        self,
        folder: Path,
        speaker: Speaker | None,
        timed: bool,
        *,
        video: bool = True,
        tracer: Tracer | None = None,
    ) -> None:
        self.folder = folder
        self.answers: list[Answer] = []
        self.refused: Counter[str] = Counter()  # cause -> count, of what this recorder refused
        self._speaker = speaker
        self._voice: StreamingVoice | None = None  # of the answer that is being made
        self._timed = timed
        self._tracer = tracer or Tracer()
        self._wants_video = video
        self._video: AnnotatedVideo | None = None
        self._subtitles = _Subtitles()
        self._last: tuple[Frame, tuple[Region, ...]] | None = None
        self._finished = False
        self._open()

    def _open(self) -> None:
        """Make the folder and its files; on an error nothing stays open."""
        with ExitStack() as opened:
            _prepare(self.folder)
            self._answers = opened.enter_context(_LineFile(self.folder / "answers.jsonl"))
            self._events = opened.enter_context(_LineFile(self.folder / "events.jsonl"))
            self._report = ReportBuilder(self.folder / "report.html")
            self._files = opened.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if not self._finished:
                self.finish({"ended": "early" if kind is None else kind.__name__})
        except FovealError:
            if error is None:  # what ended the session says more than what followed from it
                raise
        finally:
            self._close_video()
            self._report.close()
            self._files.close()

    def event(self, event: AnswerEvent) -> None:
        """Append one event with its stream time in seconds."""
        at_s = event.stream_ns / NS_PER_S
        # Nested, because a search has a kind of its own.
        self._events.write({"event": event.kind, "at_s": at_s, "data": event.data})
        if event.kind == "question" and self._speaker is not None:
            self._voice = StreamingVoice(self._speaker)
        elif event.kind == "token" and event.data.get("spoken"):
            self._say(str(event.data["text"]), event.stream_ns)

    def frame(self, frame: Frame, regions: tuple[Region, ...], keyframe: Keyframe | None) -> None:
        """Draw one frame of the annotated video, and keep keyframes for the report."""
        if keyframe is not None:
            self._report.add_keyframe(keyframe)
        self._last = (frame, regions)
        if self._wants_video:
            self._show(frame, regions, keyframe, self._subtitles.at(frame.pts_ns), frame.pts_ns)

    def answer(self, answer: Answer, frame: Frame, regions: tuple[Region, ...]) -> None:
        """Write, speak and report one answer; `regions` are what its spans name in `frame`."""
        self._answers.write(answer_record(answer, timed=self._timed))
        self.answers.append(answer)
        self._subtitles.add(f"Q: {answer.question.text}\nA: {answer.text}", frame.pts_ns)
        with self._tracer.span("speech", frame.pts_ns):
            wav = self._speak(answer, frame.pts_ns)
        with self._tracer.span("report", frame.pts_ns):
            self._tell(answer, frame, regions, wav)

    def finish(self, summary: Mapping[str, Any]) -> None:
        """End the video and write the report; `summary` as ReportBuilder.finish takes it."""
        self._finished = True
        self._play_out()
        self._close_video()
        refused = Counter(summary.get("refused") or {}) + self.refused
        self._report.finish({**summary, "refused": dict(refused)})

    def _tell(
        self, answer: Answer, frame: Frame, regions: tuple[Region, ...], wav: Path | None
    ) -> None:
        """The answer's card in the report."""
        apart = told_apart((*(span.region for span in answer.spans), *regions))
        spans = tuple(replace(span, region=apart[span.region]) for span in answer.spans)
        drawn = tuple(dict.fromkeys(apart.values()))
        picture = draw(frame, drawn, None, None, HEIGHTS)
        mark_question(picture, answer.question, frame.size)
        self._report.add_answer(replace(answer, spans=spans), picture, drawn, wav)

    def _show(
        self,
        frame: Frame,
        regions: tuple[Region, ...],
        keyframe: Keyframe | None,
        subtitle: str | None,
        pts_ns: int,
    ) -> None:
        try:
            with self._tracer.span("draw", pts_ns):
                picture = draw(frame, regions, keyframe, subtitle, HEIGHTS)
            with self._tracer.span("encode", pts_ns):
                if self._video is None:
                    height, width = picture.shape[:2]
                    path = self.folder / "annotated.mp4"
                    self._video = AnnotatedVideo(path, (width, height), HEIGHTS[1])
                self._video.write(picture, pts_ns)
        except Exception as error:  # whatever a codec or font does, the answers go on
            self._wants_video = False
            self._refuse("video", error, pts_ns)

    def _play_out(self) -> None:
        """Hold the last picture for answers that came at the end, so that they can be read."""
        if self._last is None:
            return
        frame, regions = self._last
        now_ns = frame.pts_ns
        for subtitle, duration_ns in self._subtitles.rest(now_ns):
            for pts_ns in (now_ns + NS_PER_S // 10, now_ns + duration_ns):
                if self._wants_video:
                    self._show(frame, regions, None, subtitle, pts_ns)
            now_ns += duration_ns

    def _close_video(self) -> None:
        video, self._video = self._video, None
        if video is None:
            return
        try:
            video.close()
        except OutputError as error:
            if self._wants_video:
                self._refuse("video", error, 0 if self._last is None else self._last[0].pts_ns)

    def _say(self, words: str, at_ns: int) -> None:
        """Speak what these words finish, while the answer goes on."""
        if self._voice is None or self._speaker is None:
            return
        try:
            with self._tracer.span("speech", at_ns):
                made = self._voice.feed(words)
        except Exception as error:  # a voice is third-party code: no failure of it ends a session
            self._voice = None
            self._refuse("speech", error, at_ns)
            return
        samples = sum(len(chunk) for chunk in made)
        if samples:
            seconds = samples / self._speaker.sample_rate
            data = {"answer": len(self.answers) + 1, "duration_s": seconds}
            self.event(AnswerEvent("audio", at_ns, data))

    def _audio(self, answer: Answer, speaker: Speaker) -> Iterator[Pcm]:
        """What was spoken as the answer streamed, or all of it now."""
        voice, self._voice = self._voice, None
        spoken = voice.finish() if voice is not None else []
        return iter(spoken) if spoken else speaker.synthesize(answer.text)

    def _speak(self, answer: Answer, pts_ns: int) -> Path | None:
        if self._speaker is None:
            return None
        path = self.folder / "speech" / f"{len(self.answers):02d}.wav"
        try:
            path.parent.mkdir(exist_ok=True)
            chunks = _some(self._audio(answer, self._speaker), self._speaker.name)
            duration_ns = write_wav(path, chunks, self._speaker.sample_rate)
        except Exception as error:  # a voice is third-party code: no failure of it ends a session
            self._refuse("speech", error, pts_ns)
            return None
        file = path.relative_to(self.folder).as_posix()
        data = {"answer": len(self.answers), "file": file, "duration_s": duration_ns / NS_PER_S}
        self.event(AnswerEvent("audio", pts_ns, data))
        return path

    def _refuse(self, cause: str, error: Exception, pts_ns: int) -> None:
        self.refused[cause] += 1
        reason = str(error) or type(error).__name__
        self.event(AnswerEvent("refused", pts_ns, {"cause": cause, "reason": reason}))


class _Subtitles:
    """One answer on screen at a time, each long enough to read."""

    def __init__(self) -> None:
        self._waiting: deque[str] = deque(maxlen=MAX_WAITING)
        self._text: str | None = None
        self._until_ns = 0

    def add(self, text: str, now_ns: int) -> None:
        if self.at(now_ns) is None:
            self._show(text, now_ns)
        else:
            self._waiting.append(text)

    def at(self, now_ns: int) -> str | None:
        """What to show at that time."""
        if self._text is not None and now_ns >= self._until_ns:
            self._text = None
            if self._waiting:
                self._show(self._waiting.popleft(), now_ns)
        return self._text

    def rest(self, now_ns: int) -> Iterator[tuple[str, int]]:
        """What is still to be shown at the end, with durations in ns."""
        if self._text is not None and self._until_ns > now_ns:
            yield self._text, self._until_ns - now_ns
        while self._waiting:
            text = self._waiting.popleft()
            yield text, _reading_ns(text)
        self._text = None

    def _show(self, text: str, now_ns: int) -> None:
        self._text, self._until_ns = text, now_ns + _reading_ns(text)


class _LineFile:
    """A JSONL file that is flushed after each line; errors name the file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file: TextIO = path.open("w", encoding="utf-8", newline="\n")
        except OSError as error:
            raise _output_error(path, error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # a full disk was reported by the write that met it
            self._file.close()

    def write(self, record: Mapping[str, Any]) -> None:
        try:
            self._file.write(json_line(record))
            self._file.flush()
        except OSError as error:
            raise _output_error(self._path, error) from error


def _prepare(folder: Path) -> None:
    """Make the folder, and remove an earlier run's results, so that no two runs mix."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for pattern in RESULTS:
            for path in folder.glob(pattern):
                path.unlink()
    except OSError as error:
        raise _output_error(folder, error) from error


def _some(chunks: Iterator[Pcm], name: str) -> Iterator[Pcm]:
    """The same chunks; raises DeviceError at once when there are none."""
    first = next(chunks, None)
    if first is None:
        raise DeviceError(f"expected speech from {name}; the answer has nothing it can say")
    return chain((first,), chunks)


def _output_error(path: Path, error: OSError) -> OutputError:
    reason = error.strerror or type(error).__name__
    return OutputError(
        f"expected to write to {path}, got: {reason}; free space or choose another folder"
    )


def _reading_ns(text: str) -> int:
    return min(MAX_SUBTITLE_NS, max(MIN_SUBTITLE_NS, len(text) * READING_NS))
