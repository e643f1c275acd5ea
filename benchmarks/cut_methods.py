"""Cut detectors fed frame by frame: foveal, fixed thresholds, PySceneDetect's four, TransNetV2."""

import time
from collections import deque
from collections.abc import Callable
from functools import partial
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
from stream.keyframes.descriptor import FrameDescriptor, describe, distance
from stream.keyframes.gates import KeyframeConfig
from stream.keyframes.selector import RECENT, KeyframeSelector, contrast_of

FIXED = (0.04, 0.06, 0.08, 0.1, 0.12, 0.16, 0.2)  # thresholds on foveal's own contrast
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


class Fixed:
    """foveal's signal against a threshold that never changes."""

    def __init__(self, threshold: float) -> None:
        self.cuts: list[int] = []
        self._threshold, self._config = threshold, KeyframeConfig()
        self._previous: FrameDescriptor | None = None
        self._recent: deque[float] = deque(maxlen=RECENT)
        self._scene_ns = self._timed = self._spent_ns = 0

    def feed(self, index: int, rgb: Image, bgr: Image) -> None:
        """As the selector decides, without learning."""
        pts_ns = index * NS_PER_S // FPS
        began = time.thread_time_ns()
        if self._decide(describe(rgb), pts_ns - self._scene_ns):
            self.cuts.append(index)
            self._scene_ns = pts_ns
        if index >= WARM_UP:
            self._timed += 1
            self._spent_ns += time.thread_time_ns() - began

    def _decide(self, seen: FrameDescriptor, gap_ns: int) -> bool:
        previous, self._previous = self._previous, seen
        if previous is None:
            return False
        novelty = distance(previous, seen)
        contrast = contrast_of(novelty, self._recent)
        if novelty > self._config.scene.duplicate:
            self._recent.append(novelty)
        enough = contrast >= self._threshold and novelty >= self._config.min_novelty
        return enough and gap_ns >= self._config.min_gap_ns

    def finish(self) -> Row:
        """Microseconds."""
        return {"us_per_frame": self._spent_ns / max(1, self._timed) / 1e3}


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
    **{f"fixed-{threshold:g}": partial(Fixed, threshold) for threshold in FIXED},
    "adaptive": lambda: Peer(AdaptiveDetector()),
    "content": lambda: Peer(ContentDetector()),
    "hash": lambda: Peer(HashDetector()),
    "histogram": lambda: Peer(HistogramDetector()),
}
