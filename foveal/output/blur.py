"""Faces made unrecognisable in pictures that are kept.

A detector misses a face now and then, and sees one later than it appears. So a box that was found
also hides what is there for some frames before and after, larger the longer ago; that is why frames
come out later than they go in.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import count

import cv2
import numpy as np

from stream.clock import NS_PER_MS, NS_PER_S
from stream.frame import Frame, Image
from stream.geometry import Box

FindFaces = Callable[[Image], Sequence[Box]]  # [H, W, 3] uint8 RGB -> x0, y0, x1, y1 of each
MAX_WAITING = 30  # frames
MAX_SHARE = 1.0  # of a box's sides, on each
PARTS = ((0.0, 0.0), (0.4, 0.0), (0.0, 0.4), (0.4, 0.4))  # x, y of their corners, as shares
PART_SIDE = 0.6
LARGE = 360  # pixels of the shorter side from which parts are looked at


@dataclass(frozen=True, slots=True)
class BlurConfig:
    """How much is hidden."""

    margin: float = 0.2  # of a box's sides, on each, beyond what was found
    growth: float = 0.6  # more of that for each second between the frame and the box
    keep_ns: int = 600 * NS_PER_MS  # a box hides so long before and after
    keep_frames: int = 3  # and at least in so many frames before and after
    cells: int = 5  # a hidden face is so many squares across


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """A frame with its number, and what was found in it."""

    number: int
    frame: Frame
    boxes: tuple[Box, ...]


class FaceBlur:
    """Hides the faces of one stream; not thread-safe."""

    def __init__(self, find: FindFaces, config: BlurConfig | None = None) -> None:
        self._find, self._config = find, config or BlurConfig()
        self._numbers = count()
        self._waiting: deque[_Seen] = deque()  # not handed out
        self._found: deque[_Seen] = deque()  # with boxes that may still hide something
        self.hidden = 0  # faces, in frames handed out

    def step(self, frame: Frame) -> list[Frame]:
        """Take the next frame; those before it whose faces are known by now, hidden."""
        number = next(self._numbers)
        seen = _Seen(number, frame, tuple(self._look(frame.image, number)))
        self._waiting.append(seen)
        if seen.boxes:
            self._found.append(seen)
        ready: list[Frame] = []
        while self._waiting and (
            len(self._waiting) > MAX_WAITING or not self._reaches(self._waiting[0], seen)
        ):
            ready.append(self._hide(self._waiting.popleft()))
        while self._found and not self._reaches(self._found[0], self._waiting[0]):
            self._found.popleft()
        return ready

    def flush(self) -> list[Frame]:
        """The frames that still wait, hidden; the stream has ended."""
        ready = [self._hide(seen) for seen in self._waiting]
        self._waiting.clear()
        self._found.clear()
        return ready

    def _look(self, image: Image, number: int) -> list[Box]:
        """Faces in the whole picture, and in one of its parts in turn: those farther off."""
        boxes = list(self._find(image))
        height, width = image.shape[:2]
        if min(height, width) >= LARGE:
            x, y = PARTS[number % len(PARTS)]
            left, top = round(x * width), round(y * height)
            part = image[
                top : top + round(PART_SIDE * height), left : left + round(PART_SIDE * width)
            ]
            found = self._find(np.ascontiguousarray(part))
            boxes += [(x0 + left, y0 + top, x1 + left, y1 + top) for x0, y0, x1, y1 in found]
        return boxes

    def _reaches(self, one: _Seen, other: _Seen) -> bool:
        """Whether a box of one may hide something in the other."""
        near = abs(one.frame.pts_ns - other.frame.pts_ns) <= self._config.keep_ns
        return near or abs(one.number - other.number) <= self._config.keep_frames

    def _hide(self, seen: _Seen) -> Frame:
        boxes = []
        for found in self._found:
            if self._reaches(found, seen):
                apart_s = abs(found.frame.pts_ns - seen.frame.pts_ns) / NS_PER_S
                share = min(MAX_SHARE, self._config.margin + self._config.growth * apart_s)
                boxes += [grown(box, share, seen.frame.size) for box in found.boxes]
        if not boxes:
            return seen.frame
        self.hidden += len(boxes)
        return replace(seen.frame, image=pixelated(seen.frame.image, boxes, self._config.cells))


def grown(box: Box, share: float, size: tuple[int, int]) -> Box:
    """A box with `share` of its sides more on each side, within a picture of (height, width)."""
    x0, y0, x1, y1 = box
    right, down = round(share * (x1 - x0)), round(share * (y1 - y0))
    return max(0, x0 - right), max(0, y0 - down), min(size[1], x1 + right), min(size[0], y1 + down)


def pixelated(image: Image, boxes: Sequence[Box], cells: int) -> Image:
    """A copy of a [H, W, 3] uint8 picture whose boxes are `cells` squares of mean colour across."""
    out = image.copy()
    for x0, y0, x1, y1 in boxes:
        if x1 <= x0 or y1 <= y0:
            continue
        small = cv2.resize(image[y0:y1, x0:x1], (cells, cells), interpolation=cv2.INTER_AREA)
        out[y0:y1, x0:x1] = cv2.resize(small, (x1 - x0, y1 - y0), interpolation=cv2.INTER_NEAREST)
    return out
