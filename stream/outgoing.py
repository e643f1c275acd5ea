"""What left the machine: a line for every request to a server, for the wearer to read.

Whoever sends notes it here: web search, vector database, chat models, MQTT. One log is of the
whole process; a session hears of its own requests by `heard_by`, which threads take along in their
context.
"""

import hashlib
import ipaddress
import json
import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Literal
from urllib.parse import urlsplit

from stream.clock import Clock, UnixClock
from stream.errors import OutputError
from stream.writing import writing

MAX_BYTES = 1 << 20  # of a file; a full one becomes NAME.1, in place of an older one
KEPT = 200  # in memory
MAX_PICTURES = 64  # of a request that are listed: its last
MAX_WORDS = 2000  # characters of a request that are kept: its last, where a question stands
logger = logging.getLogger(__name__)

Seam = Literal["chat", "web", "qdrant", "mqtt"]


@dataclass(frozen=True, slots=True)
class SentPicture:
    """A picture as it was sent, coded."""

    sha256: str
    size_bytes: int

    @classmethod
    def of(cls, coded: bytes) -> "SentPicture":
        """The picture of these bytes."""
        return cls(hashlib.sha256(coded).hexdigest(), len(coded))


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One request, also one that may not have arrived."""

    at_ns: int  # since 1970 (UTC)
    seam: Seam
    server: str  # host and port
    local: bool  # the server is this machine: nothing left it
    words: str  # the last MAX_WORDS characters of what was sent
    pictures: tuple[SentPicture, ...]  # the last MAX_PICTURES
    vectors: int  # numbers that stand for words or pictures, as rows
    outcome: str  # "5 results", "sent", or what went wrong

    def as_json(self) -> dict[str, Any]:
        """As a line of `outgoing.jsonl` holds it."""
        return asdict(self)


OnOutgoing = Callable[[Outgoing], None]  # called in any thread
_LISTENER: ContextVar[OnOutgoing | None] = ContextVar("outgoing", default=None)


@contextmanager
def heard_by(listener: OnOutgoing) -> Iterator[None]:
    """Tell `listener` of what is sent in the block, and in threads that copy its context."""
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)


class OutgoingFile:
    """JSON lines, at most 2 * MAX_BYTES of them; safe for threads."""

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, Lock()

    def begin(self) -> None:
        """Make it empty: an empty file says that nothing was sent. Raises OutputError."""
        with writing(self._path):
            self._older.unlink(missing_ok=True)
            self._path.write_bytes(b"")

    def add(self, sent: Outgoing) -> None:
        """Append a line; a file that cannot be written is warned of and stops nothing."""
        try:
            with self._lock, writing(self._path):
                self._append((json.dumps(sent.as_json()) + "\n").encode())
        except OutputError as error:
            logger.warning("%s", error)

    @property
    def _older(self) -> Path:
        return self._path.with_name(f"{self._path.name}.1")

    def _append(self, line: bytes) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if self._path.exists() and self._path.stat().st_size + len(line) > MAX_BYTES:
            self._path.replace(self._older)
        with self._path.open("ab") as file:
            file.write(line)


class OutgoingLog:
    """Of one process: keeps the last requests, in a file too where it has one; safe for threads."""

    def __init__(self, path: Path | None = None, clock: Clock | None = None) -> None:
        self._file = None if path is None else OutgoingFile(path)
        self._clock = clock or UnixClock()
        self._kept: deque[Outgoing] = deque(maxlen=KEPT)

    @property
    def recent(self) -> tuple[Outgoing, ...]:
        """The last requests of this process, oldest first."""
        return tuple(self._kept.copy())

    def add(
        self,
        seam: Seam,
        server: str,
        words: str,
        outcome: str,
        pictures: Sequence[SentPicture] = (),
        vectors: int = 0,
    ) -> None:
        """Note a request to a host and port; nothing that fails here stops it."""
        sent = Outgoing(
            self._clock.now_ns(),
            seam,
            server,
            is_local(server),
            words[-MAX_WORDS:],
            tuple(pictures[-MAX_PICTURES:]),
            vectors,
            outcome,
        )
        logger.info("sent to %s (%s): %s", server, seam, outcome)
        self._kept.append(sent)
        if self._file is not None:
            self._file.add(sent)
        listener = _LISTENER.get()
        if listener is None:
            return
        try:
            listener(sent)
        except Exception:  # a session that has ended hears nothing
            logger.exception("a listener to what is sent failed")


def is_local(server: str) -> bool:
    """Whether a host and port are of this machine by their name; other names are not looked up."""
    host = urlsplit(f"//{server}").hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
