"""Which keyframes a server has read, and in which session of its own.

A wearer's keyframes follow each other in one session, each appended to the one before; a question
branches off the newest that was read, so neither questions nor answers stand between pictures, and
one that is cancelled leaves nothing behind. What was read is kept as long as the view lives; when
no view of a session does, the session is closed. A session that holds too much, or was lost, is
followed by a new one with the next keyframe.
"""

import asyncio
import atexit
import concurrent.futures
import logging
import threading
import uuid
import weakref
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from perception.scene.reader import SceneView
from reasoning.generation.cancel import CancelToken
from reasoning.vlm.openai_client import ChatClient, Delta
from reasoning.vlm.sglang.native_api import (
    Limits,
    SglangLink,
    append,
    close_session,
    generate,
    limits,
    open_session,
)
from stream.errors import BackendError

logger = logging.getLogger(__name__)

MAX_ASKED = 100  # questions of a session: the server keeps each until it is closed
FILLED = 0.75  # of a request's tokens that keyframes may take
MAX_PAUSE = 64  # keyframes that are left out after sessions that could not be opened
CLOSE_S = 2.0  # waited for at the end of the process


@dataclass(slots=True, weakref_slot=True, eq=False)
class VideoSession:
    """One session of the server."""

    name: str
    limits: Limits = field(default_factory=Limits)
    tokens: int = 0  # that it holds
    asked: int = 0
    lost: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class AppendedKeyframe:
    """A keyframe in a session; `link` is there once the server has read it."""

    session: VideoSession
    link: "concurrent.futures.Future[SglangLink]"


class VideoSessions:
    """Those of one server; any thread may ask."""

    def __init__(self, client: ChatClient, max_tokens: int) -> None:
        self._client, self._max_tokens = client, max_tokens
        self._kept: WeakKeyDictionary[SceneView, AppendedKeyframe] = WeakKeyDictionary()
        self._open: WeakSet[VideoSession] = WeakSet()
        self._lock = threading.Lock()
        self._failures = self._pause = 0
        atexit.register(_at_exit, weakref.ref(self))

    def append(
        self, view: SceneView, earlier: Sequence[SceneView], start: str, text: str, picture: str
    ) -> None:
        """Have a keyframe read; nobody waits for it, and it is left out while one is being read.

        `start` stands before the first of a session, `text` before every picture.
        """
        before = self.newest(earlier)
        if before is not None and not before.link.done():
            return
        if before is None or self._is_full(before.session):
            if self._pause > 0:
                self._pause -= 1
                return
            session, link = self._new(), None
        else:
            session, link = before.session, before.link.result()
        work = self._append(session, link, text if link else start + text, picture)
        with self._lock:
            self._kept[view] = AppendedKeyframe(session, self._client.start(work))

    def newest(self, views: Sequence[SceneView]) -> AppendedKeyframe | None:
        """The last of the views, oldest first, that was read or is being read."""
        with self._lock:
            kept = [self._kept.get(view) for view in reversed(views)]
        for one in kept:
            if one is not None and not one.session.lost and not _failed(one.link):
                return one
        return None

    def ask(
        self,
        base: AppendedKeyframe,
        text: str,
        pictures: Sequence[str],
        sampling: Mapping[str, Any],
        cancel: CancelToken | None,
    ) -> Generator[Delta, None, None]:
        """An answer on top of a keyframe; raises BackendError, and Cancelled at once."""
        base.session.asked += 1

        async def deltas() -> AsyncGenerator[Delta, None]:
            link = await asyncio.shield(asyncio.wrap_future(base.link))
            words = base.session.limits.incremental
            made = generate(self._client, link, text, pictures, sampling, words)
            async with aclosing(made) as answer:
                async for delta in answer:
                    yield delta

        return self._client.wait_for(deltas(), cancel)

    def lose(self, session: VideoSession) -> None:
        """It is not gone on with; the next keyframe opens a new one."""
        session.lost = True

    def _is_full(self, session: VideoSession) -> bool:
        most = session.limits.tokens
        room = self._max_tokens if most is None else min(self._max_tokens, int(most * FILLED))
        return session.tokens >= room or session.asked >= MAX_ASKED

    def _new(self) -> VideoSession:
        session = VideoSession(f"foveal-{uuid.uuid4().hex}")
        client = self._client
        weakref.finalize(session, _close, client, session.name).atexit = False
        self._open.add(session)
        return session

    async def _append(
        self, session: VideoSession, link: SglangLink | None, text: str, picture: str
    ) -> SglangLink:
        try:
            if link is None:
                session.limits = await limits(self._client)
                await open_session(self._client, session.name, self._max_tokens)
                link = SglangLink(session.name, None)
            link, session.tokens = await append(self._client, link, text, [picture])
        except BackendError as error:
            self._failures += 1
            self._pause = min(2**self._failures, MAX_PAUSE)
            session.lost = True
            logger.warning(
                "no video session at %s (%s): the whole context is sent with questions",
                self._client.endpoint.url, error,
            )  # fmt: skip
            raise
        self._failures = self._pause = 0
        return link

    def close(self) -> None:
        """Close what is open, and wait for it a little."""
        left = [_close(self._client, one.name) for one in list(self._open) if not one.lost]
        concurrent.futures.wait(left, CLOSE_S)


def _failed(link: "concurrent.futures.Future[SglangLink]") -> bool:
    return link.done() and (link.cancelled() or link.exception() is not None)


def _close(client: ChatClient, name: str) -> "concurrent.futures.Future[None]":
    return client.start(close_session(client, name))


def _at_exit(sessions: "weakref.ref[VideoSessions]") -> None:
    left = sessions()
    if left is not None:
        left.close()
