"""What left the machine: a line for every request, for the wearer to read."""

import json
import logging
from collections import deque
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock

from stream.clock import Clock, UnixClock
from stream.writing import output_error

MAX_BYTES = 1 << 20  # of the file; a full one becomes NAME.1, in place of an older one
KEPT = 200  # in memory
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sent:
    """One request."""

    at_ns: int  # since 1970 (UTC)
    server: str
    words: str  # all that was sent of the wearer's; pictures never are
    outcome: str  # "5 results", or what went wrong


class SentLog:
    """Appends to a file of JSON lines, and keeps the last ones; safe for threads."""

    def __init__(self, path: Path | None = None, clock: Clock | None = None) -> None:
        self._path, self._clock = path, clock or UnixClock()
        self._kept: deque[Sent] = deque(maxlen=KEPT)
        self._lock = Lock()

    @property
    def recent(self) -> tuple[Sent, ...]:
        """The last requests of this process, oldest first."""
        with self._lock:
            return tuple(self._kept)

    def add(self, server: str, words: str, outcome: str) -> None:
        """Note a request; a file that cannot be written is warned of and stops nothing."""
        sent = Sent(self._clock.now_ns(), server, words, outcome)
        logger.info("sent to %s: %r (%s)", server, words, outcome)
        with self._lock:
            self._kept.append(sent)
            try:
                self._append(json.dumps(asdict(sent)) + "\n")
            except OSError as error:
                logger.warning("%s", output_error(self._path or Path(), error))

    def _append(self, line: str) -> None:
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if self._path.exists() and self._path.stat().st_size + len(line) > MAX_BYTES:
            self._path.replace(self._path.with_name(f"{self._path.name}.1"))
        with self._path.open("a", encoding="utf-8") as file:
            file.write(line)
