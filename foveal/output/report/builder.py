"""report.html: one self-contained page of what a session saw, said and took. No script in it."""

import base64
import os
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2

from foveal.output.annotate import shrink
from foveal.output.report.html import COUNTS, facts, macros, stages
from stream.errors import OutputError
from stream.events import Answer, Region
from stream.frame import Image, Keyframe
from stream.writing import Writer, writing

MAX_THUMBNAILS = 48
THUMBNAIL_HEIGHT = 156  # pixels; shown at 104
PICTURE_HEIGHT = 640
MAX_EMBEDDED_AUDIO = 1_000_000  # bytes; longer speech is linked
MAX_EMBEDDED_TOTAL = 32_000_000  # bytes of speech in one page; what comes later is linked
FILES = ("annotated.mp4", "answers.jsonl", "events.jsonl", "trace.json")


class ReportBuilder(Writer):
    """Collects as the session runs, writes at its end.

    What it keeps in memory is bounded: cards go to a temporary file at once, and of the keyframes
    at most MAX_THUMBNAILS stay, evenly thinned. Raises OutputError when the disk refuses.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with writing(path):
            self._cards = tempfile.TemporaryFile("w+", encoding="utf-8", dir=path.parent)  # noqa: SIM115 - closed in close()
        self._answers = 0
        self._embedded = 0  # bytes of speech
        self._reasons: Counter[str] = Counter()
        self._thumbnails: list[str] = []
        self._stride = 1  # every stride-th keyframe is kept

    def add_keyframe(self, keyframe: Keyframe) -> None:
        """Count a keyframe and perhaps keep its thumbnail."""
        index = self._reasons.total()
        self._reasons[keyframe.reason] += 1
        if index % self._stride:
            return
        uri = picture_uri(shrink(keyframe.frame.image, THUMBNAIL_HEIGHT), 76)
        self._thumbnails.append(macros.thumbnail(uri, keyframe))
        if len(self._thumbnails) > MAX_THUMBNAILS:
            self._thumbnails = self._thumbnails[::2]
            self._stride *= 2

    def add_answer(
        self,
        answer: Answer,
        picture: Image,
        regions: tuple[Region, ...] = (),
        wav_path: Path | None = None,
        moment_uri: str | None = None,
    ) -> None:
        """Add one question's card; `picture` is the frame with its masks drawn.

        `moment_uri`: the picture of an earlier moment that the answer recalls.

        `regions` beyond the answer's own spans need no card: they are in the picture.
        """
        self._answers += 1
        uri = picture_uri(shrink(picture, PICTURE_HEIGHT), 84)
        audio = self._audio(wav_path) if wav_path else ""
        with writing(self._path):
            self._cards.write(macros.card(self._answers, answer, uri, audio, moment_uri))
            self._cards.flush()

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Write the page.

        Known keys: "clip" (title), "stages" (name -> StageSummary or its JSON), "refused",
        "dropped", "faults" (cause -> count). Every other plain value becomes a tile of the header.
        """
        part = self._path.with_name(self._path.name + ".part")
        try:
            with writing(self._path), part.open("w", encoding="utf-8") as file:
                file.write(self._head(summary))
                self._copy_cards(file)
                file.write(_tail(summary))
            with writing(self._path):
                part.replace(self._path)
        finally:
            part.unlink(missing_ok=True)
            self.close()

    def close(self) -> None:
        """Let go of the temporary file; for a session that ends without `finish`."""
        self._cards.close()

    def _head(self, summary: Mapping[str, Any]) -> str:
        title = str(summary.get("clip") or "Replay")
        found = [name for name in FILES if (self._path.parent / name).is_file()]
        told, reasons = facts(summary), self._reasons.most_common()
        return str(macros.head(title, Path(title).name, found, told, self._thumbnails, reasons))

    def _copy_cards(self, file: Any) -> None:
        if not self._answers:
            return
        file.write("<h2>Questions and answers</h2>\n")
        self._cards.seek(0)
        while chunk := self._cards.read(1 << 20):
            file.write(chunk)

    def _audio(self, wav: Path) -> str:
        """Where a player finds the speech: in the page, or in its file when it is long."""
        try:
            size = wav.stat().st_size
            if size >= MAX_EMBEDDED_AUDIO or self._embedded + size > MAX_EMBEDDED_TOTAL:
                return Path(os.path.relpath(wav, self._path.parent)).as_posix()
            data = base64.b64encode(wav.read_bytes()).decode("ascii")
        except OSError:
            return ""
        self._embedded += size
        return f"data:audio/wav;base64,{data}"


def picture_uri(image: Image, quality: int) -> str:
    """[H, W, 3] RGB as a JPEG data URI."""
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    done, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise OutputError(f"expected a picture that JPEG can hold, got {image.shape}")
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode("ascii")


def _tail(summary: Mapping[str, Any]) -> str:
    counted = {key: summary[key] for key in COUNTS if isinstance(summary.get(key), Mapping)}
    refused = [
        (f"{key}: {cause}", count)
        for key, causes in counted.items()
        for cause, count in causes.items()
    ]
    return str(macros.tail(stages(summary.get("stages") or {}), counted, refused))
