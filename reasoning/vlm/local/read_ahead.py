"""Keyframes that are read before anybody asks, in a thread of their own.

Reading a picture takes a tenth of a second on an accelerator and seconds on a processor, so the
thread that keeps masks alive only leaves word here. Each session's newest keyframe counts: one that
still waits when the next one comes is not read at all. Whether something was read ahead changes
nothing but the time: head and tail of a conversation are two passes in either case.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from perception.scene.reader import SceneView
from reasoning.vlm.local.network import Reading

Views = tuple[SceneView, ...]  # oldest first, at least one


@dataclass(frozen=True, slots=True, eq=False)
class _Entry:
    times_ns: tuple[int, ...]  # of all views, which this holds no reference to
    reading: "Future[Reading]"


class ReadAhead:
    """What was read of the newest views, as long as somebody holds these; any thread may ask."""

    def __init__(self, read: Callable[[Views], Reading]) -> None:
        self._read = read
        self._entries: WeakKeyDictionary[SceneView, _Entry] = WeakKeyDictionary()
        self._lock = threading.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="foveal-vlm-read")
        self.skipped = 0  # keyframes that a newer one overtook before they were read

    def begin(self, views: Views, former: Views) -> None:
        """Have the views read soon; what was read of the `former` ones is forgotten."""
        with self._lock:
            for view in former:
                entry = self._entries.pop(view, None)
                if entry is not None and entry.reading.cancel():
                    self.skipped += 1
            if self._known(views) is None:
                self._entries[views[-1]] = _Entry(
                    _times(views), self._thread.submit(self._read, views)
                )

    def reading_of(self, views: Views) -> Reading:
        """A reading of its own to go on from; made now where it was not made before."""
        with self._lock:
            entry = self._known(views)
        # One that waits behind other sessions' is taken out of the queue and read at once.
        if entry is not None and not entry.reading.cancel():
            return entry.reading.result().fork()
        done: Future[Reading] = Future()
        done.set_result(self._read(views))
        with self._lock:
            self._entries[views[-1]] = _Entry(_times(views), done)
        return done.result().fork()

    def _known(self, views: Views) -> _Entry | None:
        entry = self._entries.get(views[-1])
        if entry is None or entry.times_ns != _times(views) or entry.reading.cancelled():
            return None
        if entry.reading.done() and entry.reading.exception() is not None:
            return None  # tried again, where its error is told to whoever asks
        return entry


def _times(views: Views) -> tuple[int, ...]:
    return tuple(view.frame.pts_ns for view in views)
