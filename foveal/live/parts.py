"""What a live session is made of."""

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Protocol

from devices.speaking.speaker import Speaker
from foveal.config.schema import SessionConfig
from foveal.live.protocol.server import ServerMessage
from foveal.live.worker import Lane
from foveal.session.stages import Stages
from stream.events import Answer, Question
from stream.frame import Frame


class LiveRecording(Protocol):
    """Keeps what a session takes and says; called in the worker, `close` too."""

    id: str

    def frame(self, frame: Frame) -> None:
        """A frame the session is about to take; raises OutputError when it cannot be kept."""

    def question(self, question: Question) -> None: ...

    def message(self, message: ServerMessage, pts_ns: int) -> None: ...

    def answer(self, answer: Answer) -> None: ...

    def close(self, reason: str) -> None: ...


@dataclass(frozen=True, slots=True, eq=False)
class LiveParts:
    """What a session is made of; the stages are made in the worker, again for each recording."""

    make_stages: Callable[[], Stages]
    lane: Lane
    speech_pool: Executor
    view_pool: Executor  # draws the annotated view
    config: SessionConfig = field(default_factory=SessionConfig)
    speaker: Speaker | None = None
    lead_in: str | None = None  # said when an answer takes a while to begin
