"""The memory of a live session: whose it is, what the wearer is told of it, what is forgotten."""

import secrets
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime

import cv2

from foveal.live.protocol.parts import RememberedMoment
from foveal.output.moments import drawn
from foveal.output.report.builder import picture_uri
from foveal.session.memory.kept_views import recalled
from foveal.session.memory.remember import Rememberer, Remembering
from foveal.session.stages import SessionSink
from retrieval.memory.disk.forgetting import Forgotten
from stream.clock import NS_PER_S, Clock
from stream.errors import PromptError
from stream.events import Answer

REMEMBERED = "I remember what you see here. Say forget everything, and it is gone."  # said once
NOT_REMEMBERED = "I cannot remember what you see now: the memory cannot be written."
PICTURE_HEIGHTS = (180, 240)  # rows of a moment's picture
QUALITY = 75  # of JPEG
MOST_CHARS = 48_000  # of a picture in a message: data channels carry 64 kB


@dataclass(slots=True, eq=False)
class LiveMemory:
    """Of one session; `allowed` says whether it is the wearer's own, once somebody is there."""

    memory: Rememberer
    wall: Clock  # Unix time
    allowed: Callable[[], bool] = lambda: True
    tap: Remembering | None = None
    on: bool = True  # False: the wearer wants nothing remembered
    told: bool = False  # that it is remembered

    @property
    def running(self) -> bool:
        """Whether what is seen now is remembered."""
        return self.tap is not None and self.tap.on

    def before(self, sink: SessionSink) -> SessionSink:
        """The sink of a new conversation with its tap in front; the one before it has ended."""
        self.close()
        if not self.allowed():
            return sink
        now_ns = self.wall.now_ns()
        stamp = datetime.fromtimestamp(now_ns / NS_PER_S, UTC).strftime("%Y%m%d-%H%M%S")
        self.tap = self.memory.tap(sink, f"live@{stamp}-{secrets.token_hex(3)}", now_ns)
        self.tap.on = self.on
        return self.tap

    def switch(self, on: bool) -> None:
        """Remember from now on, or no longer; raises PromptError where nothing may be."""
        self._need()
        self.on = on
        if self.tap is not None and on:
            self.tap.on = True
        elif self.tap is not None:
            self.tap.stop()

    def forget(self, last_s: float | None = None, since_ns: int | None = None) -> Future[Forgotten]:
        """The last seconds, what ended since a Unix time, or everything; raises PromptError."""
        self._need()
        if last_s:
            since_ns = self.wall.now_ns() - round(last_s * NS_PER_S)
        return self.memory.forget(since_ns or None)

    def moment(self, answer: Answer) -> RememberedMoment | None:
        """What an answer recalls, with its picture where this process still has it."""
        evidence = recalled(answer)
        if evidence is None:
            return None
        view = self.memory.views.of(evidence)
        picture = None
        if view is not None:
            uri = picture_uri(_small(drawn(view, PICTURE_HEIGHTS)), QUALITY)
            picture = uri if len(uri) <= MOST_CHARS else None
        return RememberedMoment(event=evidence.id, text=evidence.text, picture=picture)

    def close(self) -> None:
        """The conversation has ended; twice is fine."""
        if self.tap is not None:
            self.tap.close()
            self.tap = None

    def _need(self) -> None:
        if not self.allowed():
            raise PromptError("nothing is remembered here: the memory is its owner's alone")


def _small(picture: "cv2.typing.MatLike") -> "cv2.typing.MatLike":
    height, width = picture.shape[:2]
    scale = min(1.0, PICTURE_HEIGHTS[1] / height)
    return cv2.resize(picture, (max(1, round(width * scale)), max(1, round(height * scale))))
