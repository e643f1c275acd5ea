"""What the streaming SAM 2 tracker remembers: small, typed, bounded, owned by the caller."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch

from perception.reid.reidentifier import AppearanceModel
from perception.reid.thresholds import ReidConfig
from perception.sam2.compile import CompileMode
from perception.sam2.types import FrameFeatures, Resize
from perception.sam2_tracking.motion import BoxMotion
from stream.errors import ConfigError

MemoryPolicy = Literal["recent", "samurai", "dam4sam"]  # see perception/sam2_tracking/policies.py

# Features of stride 16 under a mask. A likeness of 0.4 says nothing: the last pictures may have
# been plainer than the next.
SAM2_REID = ReidConfig(
    same=0.6,
    other=0.3,
    margin=0.25,
    plain=0.4,
    least_gap=0.05,
    max_descriptors=8,
    describe_every=5,
    min_quality=0.7,
    patience=3,
    seek_every=3,
)


@dataclass(frozen=True, slots=True)
class Sam2Config:
    """Bounds and choices. The defaults equal the `sam2` package's video predictor, but for
    `max_conditioning` (it keeps all of them) and `keep_corrections` (it does not)."""

    max_tracks: int = 64
    max_batch: int = 16  # objects that go through memory attention and mask decoder together
    max_conditioning: int = 4  # prompted frames an object keeps: the first and the latest ones
    state_budget_bytes: int | None = None  # `add` refuses an object that would exceed it
    keep_corrections: bool = True  # a corrected frame conditions for good, as SAM 2 is trained
    exclusive: bool = False  # where masks overlap, the highest logit has the pixel
    any_shape: bool = False  # frames of another shape go on (SAM 2 squares them all) or BadFrame
    fill_hole_area: int = 8  # holes of up to so many logit cells are filled; 0: none
    clip_frames: int | None = None  # of a clip whose length is known: matters below 16 frames
    compile: CompileMode = "off"  # as a tracker is loaded: see perception/sam2/compile.py
    resize: Resize = "pillow"  # as a tracker is loaded: see perception/sam2/upload.py
    policy: MemoryPolicy = "recent"
    visible_presence: float = -1.0  # samurai: object score logit above which it is in view
    min_quality: float = 0.5  # samurai: predicted mask IoU to enter memory
    min_presence: float = 0.0  # samurai: object score logit to enter memory
    motion_weight: float = 0.25  # samurai: of motion against mask quality in choosing a mask
    stable_frames: int = 15  # samurai: good frames in a row before motion has a say
    stable_quality: float = 0.3  # samurai: a mask below it is no measurement
    memory_stride: int = 5  # dam4sam: every so many frames one is kept
    anchor_quality: float = 0.8  # dam4sam: predicted mask IoU of a frame kept for good
    anchor_gap: int = 5  # dam4sam: frames between two of them
    area_tolerance: float = 0.2  # dam4sam: of the median area, for a frame kept for good
    distractor_iou: float = 0.7  # dam4sam: box overlap below which another mask is a distractor
    reidentify: bool = False  # seek objects that left by what they look like
    reid: ReidConfig = SAM2_REID  # reidentify: when to seek and what to believe

    def __post_init__(self) -> None:
        if min(self.max_tracks, self.max_batch, self.max_conditioning) < 1:
            raise ConfigError(
                "expected max_tracks, max_batch and max_conditioning of 1 or more, got "
                f"{self.max_tracks}, {self.max_batch} and {self.max_conditioning}"
            )
        if self.fill_hole_area < 0:
            raise ConfigError(f"expected fill_hole_area of 0 or more, got {self.fill_hole_area}")
        if self.clip_frames is not None and self.clip_frames < 1:
            raise ConfigError(f"expected clip_frames of 1 or more, got {self.clip_frames}")


@dataclass(frozen=True, slots=True, eq=False)
class Memory:
    """What one frame left behind for one object."""

    index: int  # frame number in the stream
    tokens: torch.Tensor  # [T, D] memory encoder output, bfloat16 for SAM 2
    pointer: torch.Tensor  # [C] object pointer
    good: bool = True  # samurai: worth reading once it is no longer the frame before


@dataclass(frozen=True, slots=True, eq=False)
class ObjectPointer:
    """An object pointer that outlives its frame's spatial memory."""

    index: int
    vector: torch.Tensor  # [C]


@dataclass(frozen=True, slots=True, eq=False)
class Sam2Track:
    """One object: prompted frames, recent frames, pointers and its newest mask."""

    track_id: int
    prompted: tuple[Memory, ...]  # conditioning memories, oldest first
    recent: tuple[Memory, ...]  # unprompted memories, oldest first
    pointers: tuple[ObjectPointer, ...]  # of unprompted frames, oldest first
    index: int  # the newest frame it was followed to
    logits: torch.Tensor  # [4h, 4w] float32 mask logits of that frame
    presence: float  # object score logit; the object is in view above 0
    quality: float  # predicted mask IoU, 0..1
    motion: BoxMotion | None = None  # samurai
    areas: tuple[tuple[int, int], ...] = ()  # dam4sam: last frames in view, logit cells in each
    anchored: int | None = None  # dam4sam: the newest frame that was kept for good
    appearance: AppearanceModel | None = None  # reidentify


@dataclass(frozen=True, slots=True, eq=False)
class Sam2State:
    """Every live masklet and the newest frame's features. No pictures are kept."""

    tracks: tuple[Sam2Track, ...] = ()
    next_id: int = 1
    index: int = -1  # number of the newest frame seen
    pts_ns: int | None = None
    size: tuple[int, int] | None = None  # height, width of the newest frame
    features: FrameFeatures | None = None  # of the newest frame, if any object needed them


def state_bytes(state: Sam2State) -> int:
    """Bytes of all tensors held by a state; storage shared between tensors counts once."""
    sizes = {
        tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes()
        for tensor in _tensors(state)
    }
    return sum(sizes.values())


def track_bytes(track: Sam2Track) -> int:
    """Bytes of one object's tensors."""
    return state_bytes(Sam2State(tracks=(track,)))


def _tensors(state: Sam2State) -> Iterator[torch.Tensor]:
    if state.features is not None:
        yield from (state.features.tokens, state.features.middle, state.features.fine)
    for track in state.tracks:
        yield track.logits
        for memory in (*track.prompted, *track.recent):
            yield from (memory.tokens, memory.pointer)
        for pointer in track.pointers:
            yield pointer.vector
        if track.appearance is not None:
            yield track.appearance.vectors
            if track.appearance.stencil is not None:
                yield track.appearance.stencil
