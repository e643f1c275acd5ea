"""Cut detectors fed frame by frame: foveal, PySceneDetect's four, TransNetV2."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import cv2
from scenedetect import (
    AdaptiveDetector,
    ContentDetector,
    FrameTimecode,
    HashDetector,
    HistogramDetector,
    SceneDetector,
)

from benchmarks.cut_clips import FPS
from stream.clock import NS_PER_S
from stream.frame import Frame, Image
from stream.keyframes.selector import KeyframeSelector

PEER_WIDTH = 256  # pixels, PySceneDetect's default
WARM_UP = 32  # frames that are not timed

Row = dict[str, float | int | None]


class Method(Protocol):
    """A cut detector that is fed frame by frame."""

    cuts: list[int]

    def feed(self, index: int, rgb: Image, bgr: Image) -> None:
        """Take one frame; the same picture in both channel orders, outside anybody's time."""

    def finish(self) -> Row:
        """No more frames; what a frame cost."""


class Foveal:
    """The project's selector; signal and decision are timed apart."""

    def __init__(self) -> None:
        self.cuts: list[int] = []
        self._selector = KeyframeSelector()
        self._state = self._selector.init_state()
        self._timed = self._signal_ns = self._decide_ns = 0

    def feed(self, index: int, rgb: Image, bgr: Image) -> None:
        """As `KeyframeSelector.step` does, with a clock between its two halves."""
        frame = Frame(index * NS_PER_S // FPS, 0, rgb, "benchmark")
        began = time.thread_time_ns()
        signal = self._selector.measure(self._state, frame)
        measured = time.thread_time_ns()
        reason, _ = self._selector.decide(self._state, frame.pts_ns, *signal)
        done = time.thread_time_ns()
        if reason == "scene":
            self.cuts.append(index)
        if index >= WARM_UP:
            self._timed += 1
            self._signal_ns += measured - began
            self._decide_ns += done - measured

    def finish(self) -> Row:
        """Microseconds, split."""
        frames = 1e3 * max(1, self._timed)
        return {
            "us_per_frame": (self._signal_ns + self._decide_ns) / frames,
            "signal_us": self._signal_ns / frames,
            "decide_us": self._decide_ns / frames,
        }


class Peer:
    """One of PySceneDetect's detectors, as its SceneManager would drive it."""

    def __init__(self, detector: SceneDetector) -> None:
        self.cuts: list[int] = []
        self._detector = detector
        self._timed = self._spent_ns = 0

    def feed(self, index: int, rgb: Image, bgr: Image) -> None:
        """Shrink and detect; a cut may be named frames after it happened."""
        at = FrameTimecode(index, float(FPS))
        began = time.thread_time_ns()
        factor = bgr.shape[1] / PEER_WIDTH
        if factor > 1:
            size = (PEER_WIDTH, max(1, round(bgr.shape[0] / factor)))
            bgr = cv2.resize(bgr, size, interpolation=cv2.INTER_LINEAR)
        found = self._detector.process_frame(at, bgr)
        if index >= WARM_UP:
            self._timed += 1
            self._spent_ns += time.thread_time_ns() - began
        self.cuts += [cut.frame_num for cut in found]

    def finish(self) -> Row:
        """Microseconds."""
        return {"us_per_frame": self._spent_ns / max(1, self._timed) / 1e3}


class Network:
    """TransNetV2, which looks at the whole clip at its end."""

    def __init__(self, weights: Path) -> None:
        from benchmarks import transnetv2

        self.cuts: list[int] = []
        self._module = transnetv2
        self._net = transnetv2.load(weights)
        self._frames: list[Image] = []
        self._spent_ns = 0

    def feed(self, index: int, rgb: Image, bgr: Image) -> None:
        """Keep the frame at 48 x 27."""
        began = time.thread_time_ns()
        self._frames.append(self._module.shrink(rgb))
        self._spent_ns += time.thread_time_ns() - began

    def finish(self) -> Row:
        """Microseconds of one thread."""
        began = time.thread_time_ns()
        self.cuts = self._module.find_cuts(self._net, self._frames)
        self._spent_ns += time.thread_time_ns() - began
        return {"us_per_frame": self._spent_ns / len(self._frames) / 1e3}


METHODS: dict[str, Callable[[], Method]] = {
    "foveal": Foveal,
    "adaptive": lambda: Peer(AdaptiveDetector()),
    "content": lambda: Peer(ContentDetector()),
    "hash": lambda: Peer(HashDetector()),
    "histogram": lambda: Peer(HistogramDetector()),
}
