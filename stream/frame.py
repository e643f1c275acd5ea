"""The picture nouns: Frame, Keyframe, and the source protocol."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from stream.errors import BadFrame

Image = npt.NDArray[np.uint8]  # [H, W, 3] RGB
Mask = npt.NDArray[np.bool_]  # [H, W]
SoftMask = npt.NDArray[np.float32]  # [h, w] 0..1

KeyframeReason = Literal["first", "scene", "drift", "interval", "question"]


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture with its presentation timestamp.

    Raises BadFrame when the picture is not a non-empty [H, W, 3] uint8 array.
    """

    pts_ns: int  # presentation timestamp on the stream's own time line
    arrival_ns: int  # when it reached this process, on the session's Clock
    image: Image  # [H, W, 3] uint8 RGB
    source: str  # name of the source, for logs

    def __post_init__(self) -> None:
        shape, dtype = self.image.shape, self.image.dtype
        if len(shape) != 3 or shape[2] != 3 or 0 in shape or dtype != np.uint8:
            raise BadFrame(
                f"expected a non-empty [H, W, 3] uint8 RGB image, got {shape} {dtype}; "
                "convert it before making a Frame"
            )

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.image.shape[0], self.image.shape[1]


@dataclass(frozen=True, slots=True, eq=False)
class Keyframe:
    """A frame worth the model's attention (SLAM sense, not a codec I-frame)."""

    frame: Frame
    novelty: float  # signal value that picked it; unit depends on the reason
    reason: KeyframeReason


class FrameSource(Protocol):
    """Where frames come from; a finite source ends its iterator."""

    def frames(self) -> AsyncIterator[Frame]:
        """Yield frames in presentation order."""
