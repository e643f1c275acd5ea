"""Pictures of the last moments that a session remembers: in this process alone, and never stored.

A memory has no pictures. As long as its session runs, the best views of its latest sights are kept
here, so that an answer about a moment can show it.
"""

import threading
from collections import OrderedDict
from dataclasses import dataclass

import cv2
import numpy as np

from stream.errors import OutputError
from stream.events import Answer, Evidence, Region
from stream.frame import Image

MAX_VIEWS = 64  # of about 100 kB each
QUALITY = 88  # of JPEG, 0..100
SOURCE = "memory"  # of evidence that was remembered


@dataclass(frozen=True, slots=True, eq=False)
class KeptView:
    """Where a thing was seen best in an event."""

    event: str  # Event.id
    image: Image  # [H, W, 3] uint8 RGB
    region: Region


class KeptViews:
    """The latest of them; any thread may use it."""

    def __init__(self, limit: int = MAX_VIEWS) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._views: OrderedDict[tuple[str, int], tuple[bytes, Region]] = OrderedDict()

    def keep(self, event: str, image: Image, region: Region) -> None:
        """Raises OutputError for a picture that JPEG cannot hold."""
        bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        done, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        if not done:
            raise OutputError(f"expected a picture that JPEG can hold, got {image.shape}")
        with self._lock:
            self._views[event, region.track_id] = data.tobytes(), region
            while len(self._views) > self._limit:
                self._views.popitem(last=False)

    def of(self, evidence: Evidence) -> KeptView | None:
        """The picture of what was recalled; None where none is kept."""
        with self._lock:
            found = next(
                (
                    one
                    for (event, _), one in self._views.items()
                    if event == evidence.id and one[1].box == evidence.region
                ),
                None,
            )
        if found is None:
            return None
        bgr = cv2.imdecode(np.frombuffer(found[0], np.uint8), cv2.IMREAD_COLOR)
        image = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
        return KeptView(evidence.id, image, found[1])

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._views.clear()


def recalled(answer: Answer) -> Evidence | None:
    """The moment that an answer is about; None for an answer of what is seen now or known."""
    found = (one for search in answer.searches for one in search.evidence if one.source == SOURCE)
    return next(found, None)
