"""Keyframes that were read before anybody asks: at most one reading a session.

Whether something was read ahead changes nothing but the time: head and tail of a conversation are
two passes in either case.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from perception.scene.reader import SceneView
from reasoning.vlm.local.network import Reading

Views = tuple[SceneView, ...]  # oldest first, at least one


@dataclass(frozen=True, slots=True, eq=False)
class _Entry:
    times_ns: tuple[int, ...]  # of all views, to which this holds no reference
    reading: Reading


class ReadAhead:
    """What was read of the newest views, as long as somebody holds these; any thread may ask."""

    def __init__(self, read: Callable[[Views], Reading]) -> None:
        self._read = read
        self._entries: WeakKeyDictionary[SceneView, _Entry] = WeakKeyDictionary()
        self._lock = threading.Lock()

    def read(self, views: Views, former: Views = ()) -> Reading:
        """A reading of its own to go on from; made and kept where it was not.

        What was kept of the `former` views is forgotten.
        """
        times_ns = tuple(view.frame.pts_ns for view in views)
        with self._lock:
            for view in former:
                self._entries.pop(view, None)
            entry = self._entries.get(views[-1])
        if entry is None or entry.times_ns != times_ns:
            entry = _Entry(times_ns, self._read(views))
            with self._lock:
                self._entries[views[-1]] = entry
        return entry.reading.fork()
