"""The standing questions of all wearers, kept in a small file that outlives the server."""

import base64
import json
import logging
import os
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch

from reasoning.standing.requests import MAX_CHARS, WatchKind, WatchRequest
from stream.events import MAX_QUESTION_CHARS
from stream.writing import writing

logger = logging.getLogger(__name__)

VERSION = 1
MAX_BYTES = 4 << 20
MAX_LOOK = 8192  # components of a look
MAX_KEPT = 256  # of one wearer, whatever the settings were


@dataclass(frozen=True, slots=True, eq=False)
class Watch:
    """One standing question."""

    id: int  # unique in its book
    request: WatchRequest
    text: str  # as it was asked
    looks: torch.Tensor | None = None  # [C] of the thing that was pointed at
    track_id: int | None = None  # its masklet in the session that was asked; not kept


@dataclass(slots=True, eq=False)
class WatchBook:
    """Any thread may use it. Without a path nothing is kept beyond the process."""

    path: Path | None = None
    _owners: dict[str, dict[int, Watch]] = field(default_factory=dict)
    _next: int = 1
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        """What cannot be read is put aside, told in the log, and the rest is watched for."""
        if self.path is None or not self.path.is_file():
            return
        try:
            if self.path.stat().st_size > MAX_BYTES:
                raise ValueError(f"more than {MAX_BYTES} bytes")
            data = json.loads(self.path.read_text(encoding="utf-8"))
            if not isinstance(data, dict) or data.get("version") != VERSION:
                raise ValueError(f"no standing questions of version {VERSION}")
            rows = list(data["watches"])
        except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
            aside = self.path.with_suffix(".unread")
            logger.warning("standing questions in %s: %s; put aside: %s", self.path, error, aside)
            self.path.replace(aside)
            return
        for row in rows:
            self._read(row)

    def of(self, owner: str) -> tuple[Watch, ...]:
        """A wearer's standing questions, the oldest first."""
        with self._lock:
            return tuple(self._owners.get(owner, {}).values())

    def add(
        self,
        owner: str,
        request: WatchRequest,
        text: str,
        looks: torch.Tensor | None = None,
        track_id: int | None = None,
    ) -> Watch:
        """Take one and keep it; where it cannot be kept it holds until the end of the process."""
        with self._lock:
            watch = Watch(self._next, request, text[:MAX_QUESTION_CHARS], looks, track_id)
            self._next += 1
            self._owners.setdefault(owner, {})[watch.id] = watch
            return watch

    def remove(self, owner: str, ids: tuple[int, ...]) -> None:
        """Forget some; unknown ids are passed over."""
        with self._lock:
            for one in ids:
                self._owners.get(owner, {}).pop(one, None)

    def save(self) -> None:
        """Write all that is kept; raises OutputError, and then the file is as it was before."""
        if self.path is None:
            return
        with self._lock, writing(self.path):
            rows = [
                _row(owner, one) for owner, kept in self._owners.items() for one in kept.values()
            ]
            self.path.parent.mkdir(parents=True, exist_ok=True)
            part = self.path.with_suffix(".part")
            with part.open("w", encoding="utf-8") as file:
                part.chmod(0o600)
                json.dump({"version": VERSION, "watches": rows}, file)
                file.flush()
                os.fsync(file.fileno())
            part.replace(self.path)

    def _read(self, row: Any) -> None:
        """One that makes no sense is left out; the others hold."""
        try:
            owner, text = str(row["owner"]), str(row["text"])[:MAX_QUESTION_CHARS]
            looks = None if row.get("looks") is None else _vector(row["looks"])
            request = _request(row, looks is not None)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            logger.warning("a standing question in %s is left out: %s", self.path, error)
            return
        kept = self._owners.setdefault(owner, {})
        if len(kept) < MAX_KEPT:
            kept[self._next] = Watch(self._next, request, text, looks)
            self._next += 1


def _row(owner: str, watch: Watch) -> dict[str, Any]:
    request = watch.request
    row: dict[str, Any] = {
        "owner": owner,
        "text": watch.text,
        "kind": request.kind,
        "things": list(request.things),
        "repeats": request.repeats,
    }
    if watch.looks is not None:
        small = watch.looks.numpy().astype("<f2").tobytes()
        row["looks"] = base64.b64encode(small).decode("ascii")
    return row


def _request(row: Any, shown: bool) -> WatchRequest:
    kind, things, repeats = row["kind"], tuple(row["things"]), row["repeats"]
    counts = {"see": things[:1], "sequence": things if len(things) > 1 else None}
    counts |= {"leave": things[:1], "again": ()}
    if kind not in get_args(WatchKind) or counts[kind] != things or repeats not in (True, False):
        raise ValueError(f"no standing question: {str(row)[:80]}")
    if (kind == "again") != shown or (kind != "again" and not things):
        raise ValueError("expected a look for what was pointed at, and words for all else")
    if any(not isinstance(one, str) or not 0 < len(one) <= MAX_CHARS for one in things):
        raise ValueError(f"expected 1 to {MAX_CHARS} characters for each thing")
    return WatchRequest(kind, things, repeats)


def _vector(code: str) -> torch.Tensor:
    values = np.frombuffer(base64.b64decode(code, validate=True), "<f2").astype(np.float32)
    norm = float(np.linalg.norm(values)) if 0 < len(values) <= MAX_LOOK else 0.0
    if not np.isfinite(norm) or norm < 1e-3:
        raise ValueError("expected the look of a thing")
    return torch.from_numpy(values / norm)
