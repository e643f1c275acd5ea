"""A live session's questions on their way to their answers, and keyframes that are read ahead."""

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from foveal.live.protocol import server
from foveal.live.recording import FileRecording
from foveal.live.threads.answer_threads import AnswerThreads, Seat
from foveal.session.state import Asked
from reasoning.generation.cancel import CancelToken
from stream.errors import BackendError

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class LiveTurn:
    """One question on its way to its answer."""

    told: server.AskedMessage
    asked_ns: int  # on the clock
    began_ns: int = 0
    heard: bool = False  # its first audio was queued
    age_ms: int | None = None  # of the picture then, where it is an old one


@dataclass(slots=True, eq=False)
class AnswerJob:
    """A question whose answer is being made."""

    turn: LiveTurn
    recording: FileRecording | None
    asked: Asked
    sign_ns: int  # of its last sign of life, on the clock
    paused: bool = False  # no other frame may come to show its masks
    begun: bool = False  # a token of it has come
    cause: str = "stopped"  # told when it is cancelled


class ReadingAhead:
    """Lets the model read keyframes beside the stream; of those that wait only the newest."""

    def __init__(self, threads: AnswerThreads, remote: bool) -> None:
        self._threads, self._remote = threads, remote
        self._lock = threading.Lock()  # of both below
        self._next: deque[Callable[[], None]] = deque(maxlen=1)
        self._reading = False  # a thread will still look at `_next`

    def put(self, work: Callable[[], None]) -> None:
        """Read this one; it depends on nothing but its own frame."""
        with self._lock:
            self._next.append(work)
            if self._reading:
                return
            self._reading = True
        try:
            self._threads.start(self._read, CancelToken(), self._remote)
        except BackendError:  # then answers are refused, too, and told
            with self._lock:
                self._reading = False

    def _take(self) -> Callable[[], None] | None:
        """The keyframe that waits; None ends the thread, and the next one to come begins another.

        Whether a thread is alive says nothing: it may have looked for the last time.
        """
        with self._lock:
            self._reading = bool(self._next)
            return self._next.popleft() if self._next else None

    def _read(self, seat: Seat) -> None:
        while (work := self._take()) is not None:
            try:
                work()
            except Exception:  # the next question reads its view itself, and tells what fails
                logger.warning("a keyframe could not be read ahead", exc_info=True)
            seat.hand_on()
