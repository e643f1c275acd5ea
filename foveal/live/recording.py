"""Recordings of live sessions that `foveal replay` plays back to the same answers.

What is kept is what the models saw: every frame they took, without loss, and each question at the
frame that it was answered on. Nothing is recorded unless the server offers it and the client asks.
"""

import json
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error

from foveal.live.protocol.server import ServerMessage
from foveal.output.answer_records import answer_record
from foveal.output.blur import FaceBlur
from foveal.output.lines import LineFile
from stream.clock import NS_PER_MS, NS_PER_S, Clock
from stream.errors import OutputError
from stream.events import Answer, Question
from stream.frame import Frame
from stream.outgoing import Outgoing, OutgoingFile
from stream.writing import writing

CLIP, VIEW = "clip.mkv", "view.mp4"
QUESTIONS, ANSWERS, MESSAGES = "questions.jsonl", "answers.jsonl", "messages.jsonl"
SUMMARY, OUTGOING = "recording.json", "outgoing.jsonl"
VIEW_HEIGHT = 480
LOSSLESS = {"qp": "0", "preset": "ultrafast"}  # of libx264rgb: the pixels come back as they were


@dataclass(frozen=True, slots=True)
class RecordPolicy:
    """What may be kept, and for how long."""

    folder: Path
    max_age_s: float = 7 * 86_400.0  # older recordings are removed
    max_bytes: int = 10 * 1024**3  # of all together; the oldest go first
    max_seconds: float = 1800.0  # of one
    make_blur: Callable[[], FaceBlur] | None = None  # hides the faces of each, before it is stored


class FileRecording:
    """One recording, in a folder of its own. Every line is on disk when its call returns.

    `message` may be called in any thread, and after the end does nothing; the rest is one thread's.
    """

    def __init__(self, folder: Path, max_seconds: float, blur: FaceBlur | None = None) -> None:
        """Raises OutputError when the folder cannot be made."""
        self._blur = blur
        self.id, self._folder, self._max_ns = folder.name, folder, round(max_seconds * NS_PER_S)
        self._container: Any = None
        self._stream: Any = None
        self._size: tuple[int, int] | None = None
        self._frames, self._last_ns = 0, 0
        self._writing, self._closed = threading.Lock(), False
        with writing(folder):
            folder.mkdir(parents=True)
            folder.chmod(0o700)
        self._outgoing = OutgoingFile(folder / OUTGOING)
        self._outgoing.begin()
        self._lines = {name: LineFile(folder / name) for name in (QUESTIONS, ANSWERS, MESSAGES)}

    def frame(self, frame: Frame) -> None:
        """Keep a frame; raises OutputError when it cannot be kept, which ends the recording."""
        if frame.pts_ns > self._max_ns:
            raise OutputError(f"the recording has reached its limit of {self._max_ns // NS_PER_S}s")
        if self._size is not None and frame.size != self._size:
            raise OutputError(f"the picture changed its size from {self._size} to {frame.size}")
        self._size = frame.size
        for one in [frame] if self._blur is None else self._blur.step(frame):
            self._keep(one)

    def _keep(self, frame: Frame) -> None:
        with writing(self._folder / CLIP, av.error.FFmpegError):
            if self._container is None:
                self._open(frame.size)
            picture = av.VideoFrame.from_ndarray(frame.image, format="rgb24")
            picture.pts, picture.time_base = frame.pts_ns // NS_PER_MS, Fraction(1, 1000)
            self._container.mux(self._stream.encode(picture))
        self._frames, self._last_ns = self._frames + 1, frame.pts_ns

    def question(self, question: Question) -> None:
        """Keep a question in the form that `foveal replay --ask-file` reads."""
        row: dict[str, Any] = {"at": question.asked_ns / NS_PER_S, "text": question.text}
        if question.applied_ns is not None:
            row["applied"] = question.applied_ns / NS_PER_S
        if question.point is not None:
            row["point"] = list(question.point)
        if question.box is not None:
            row["box"] = list(question.box)
        self._lines[QUESTIONS].write(row)

    def answer(self, answer: Answer) -> None:
        """Keep an answer as `foveal replay` writes it."""
        self._lines[ANSWERS].write(answer_record(answer, timed=False))

    def message(self, message: ServerMessage, pts_ns: int) -> None:
        """Keep a message with the stream time it was sent at."""
        with self._writing:
            if not self._closed:
                self._lines[MESSAGES].write({"at_ms": pts_ns // NS_PER_MS, **message.told()})

    def sent(self, sent: Outgoing) -> None:
        """Keep what was sent to a server; in any thread."""
        with self._writing:
            if not self._closed:
                self._outgoing.add(sent)

    def close(self, reason: str) -> None:
        """Finish the files; raises OutputError when the last frames cannot be written."""
        for one in [] if self._blur is None else self._blur.flush():
            self._keep(one)
        summary = {
            "frames": self._frames,
            "seconds": round(self._last_ns / NS_PER_S, 3),
            "size": list(self._size or ()),
            "ended": reason,
            "faces": "as they were" if self._blur is None else "hidden",
        }
        with self._writing:
            self._closed = True
        with writing(self._folder, av.error.FFmpegError):
            if self._container is not None:
                self._container.mux(self._stream.encode(None))
                self._container.close()
            for file in self._lines.values():
                file.close()
            (self._folder / SUMMARY).write_text(json.dumps(summary) + "\n", encoding="utf-8")

    def _open(self, size: tuple[int, int]) -> None:
        self._container = av.open(str(self._folder / CLIP), "w", format="matroska")
        self._stream = self._container.add_stream("libx264rgb", options=LOSSLESS)
        self._stream.height, self._stream.width = size
        self._stream.pix_fmt = "rgb24"
        self._stream.codec_context.time_base = Fraction(1, 1000)
        self._stream.codec_context.max_b_frames = 0


class Library:
    """All recordings of a server, and their retention."""

    def __init__(self, policy: RecordPolicy, wall: Clock) -> None:
        """`wall` tells Unix time."""
        self._policy, self._wall = policy, wall

    @property
    def folder(self) -> Path:
        """Where they are."""
        return self._policy.folder

    def start(self) -> FileRecording:
        """A new recording; its name is the time. Raises OutputError when it cannot be made."""
        self.prune()
        now = datetime.fromtimestamp(self._wall.now_ns() / NS_PER_S, UTC)
        name = now.strftime("%Y%m%d-%H%M%S-%f")
        make_blur = self._policy.make_blur
        blur = None if make_blur is None else make_blur()
        return FileRecording(self._policy.folder / name, self._policy.max_seconds, blur)

    def all(self) -> list[dict[str, Any]]:
        """The finished ones, newest first: id, frames, seconds, size, whether it can be viewed."""
        rows = []
        for folder in sorted(self._folders(), reverse=True):
            try:
                row = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
                asked = (folder / QUESTIONS).read_text(encoding="utf-8").count("\n")
            except (OSError, ValueError):
                continue  # still being made, or cut off
            view = (folder / VIEW).is_file()
            rows.append({"id": folder.name, **row, "questions": asked, "view": view})
        return rows

    def path(self, name: str, file: str) -> Path | None:
        """A file of a recording, if there is one."""
        found = {folder.name: folder for folder in self._folders()}.get(name)
        known = file in (VIEW, MESSAGES, ANSWERS, QUESTIONS, OUTGOING)
        return found / file if found and known and (found / file).is_file() else None

    def remove(self, name: str) -> bool:
        """Remove one; whether there was one."""
        found = {folder.name: folder for folder in self._folders()}.get(name)
        if found is not None:
            shutil.rmtree(found, ignore_errors=True)
        return found is not None

    def prune(self) -> list[str]:
        """Remove what is too old or too much; the names of what went."""
        now_s, gone = self._wall.now_ns() / NS_PER_S, []
        sizes = {folder: _size(folder) for folder in sorted(self._folders())}
        total = sum(sizes.values())
        for folder, size in sizes.items():
            old = now_s - folder.stat().st_mtime > self._policy.max_age_s
            if old or total > self._policy.max_bytes:
                shutil.rmtree(folder, ignore_errors=True)
                total -= size
                gone.append(folder.name)
        return gone

    def _folders(self) -> list[Path]:
        """Only folders that look like ours: a retention limit must not reach anything else."""
        if not self._policy.folder.is_dir():
            return []
        marks = (MESSAGES, SUMMARY)  # while it is made, and afterwards
        folders = self._policy.folder.iterdir()
        return [one for one in folders if any((one / mark).is_file() for mark in marks)]


def make_view(folder: Path) -> None:
    """Transcode a recording's clip for browsers: H.264, at most 480 lines.

    Raises OutputError when the clip cannot be read or the view not be written.
    """
    part = folder / f".{VIEW}.part"
    try:
        with (
            writing(folder / VIEW, av.error.FFmpegError),
            av.open(str(folder / CLIP)) as clip,
            av.open(str(part), "w", format="mp4") as view,
        ):
            source = clip.streams.video[0]
            height = min(VIEW_HEIGHT, source.height) & ~1
            out = view.add_stream("libx264", options={"preset": "veryfast", "crf": "26"})
            out.height, out.width = height, round(source.width * height / source.height) & ~1
            out.pix_fmt, out.codec_context.time_base = "yuv420p", Fraction(1, 1000)
            for picture in clip.decode(source):
                small = picture.reformat(out.width, out.height, "yuv420p")
                small.pts, small.time_base = picture.pts, picture.time_base
                view.mux(out.encode(small))
            view.mux(out.encode(None))
        with writing(folder / VIEW):
            part.replace(folder / VIEW)
    finally:
        part.unlink(missing_ok=True)


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
