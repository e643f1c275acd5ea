"""A double of SAM 2's networks whose answers are known: things are painted brightly on grey."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F

from perception.sam2.types import (
    ABSENT_LOGIT,
    DecodedMasks,
    FrameFeatures,
    MaskCandidates,
    Recalled,
)
from stream.frame import Image, Mask

SIDE = 128  # of the picture in it
BRIGHT = 60  # from a pixel's least to its greatest colour: part of a thing
CHANNELS = 24


class PaintedNetworks:
    """Finds bright things; follows one only from frame to frame, as a short memory would.

    With `forgets` an object that was away in the last frame stays away until it is prompted;
    without, whatever is bright is taken for it.
    """

    def __init__(self, forgets: bool = True) -> None:
        self.grid = (SIDE // 16, SIDE // 16)
        self.image_size, self.memory_frames, self.pointer_frames = SIDE, 6, 15
        self.device, self.dtype = torch.device("cpu"), torch.float32
        self.forgets = forgets
        self.passes = self.prompts = 0
        generator = torch.Generator().manual_seed(0)
        self._mix = torch.randn(6, CHANNELS, generator=generator)

    def features(self, image: Image) -> FrameFeatures:
        """Mean and spread of the colours in each cell; `fine` is what is bright."""
        self.passes += 1
        picture = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1).float()[None]
        small = F.interpolate(picture, (SIDE, SIDE), mode="area")
        mean = F.avg_pool2d(small, 16)
        spread = (F.avg_pool2d(small * small, 16) - mean * mean).clamp(min=0).sqrt()
        cells = torch.cat([mean, spread], 1).flatten(2)[0].T / 64
        bright = F.avg_pool2d((small.amax(1) - small.amin(1) > BRIGHT).float(), 4)
        return FrameFeatures(torch.tanh(cells @ self._mix), bright, bright[:, None])

    def alone(self, features: FrameFeatures) -> torch.Tensor:
        """[1, C, h, w]: no memory, so anything may be found."""
        return torch.ones(1, CHANNELS, *self.grid)

    def conditioned(self, features: FrameFeatures, recalled: Recalled) -> torch.Tensor:
        """[B, C, h, w]: ones where the newest memory held the object."""
        first = int((recalled.offsets[0] == 0).sum())  # prompted memories come before the others
        ages = torch.cat([recalled.pointer_offsets[:, :first], recalled.offsets[:, first:]], 1)
        newest = ages.argmin(1)
        held = recalled.tokens[torch.arange(len(newest)), newest].amax((1, 2)) > 0
        return torch.stack([torch.full((CHANNELS, *self.grid), float(one)) for one in held])

    def candidates(
        self,
        features: FrameFeatures,
        seen: torch.Tensor,
        points: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        mask: torch.Tensor | None = None,
        first: bool = False,
    ) -> MaskCandidates:
        """What is bright, inside the box if there is one."""
        here = features.fine[0] >= 0.5
        if points is not None:
            self.prompts += 1
            left, top, right, bottom = (round(float(v) / 4) for v in points.flatten()[:4])
            box = torch.zeros_like(here)
            box[:, top:bottom, left:right] = True
            here = here & box
        masks = torch.where(here, 10.0, -10.0)[None].repeat(len(seen), 1, 1, 1)
        known = (seen.amax((1, 2, 3)) > 0) | (points is not None) | (not self.forgets)
        shown = known & bool(here.any())
        presence = torch.where(shown, 5.0, -5.0)
        quality = torch.full((len(seen), 1), 0.9)
        return MaskCandidates(masks, quality, torch.zeros(len(seen), 1, CHANNELS), presence)

    def choose(
        self,
        found: MaskCandidates,
        choice: Sequence[int] | None = None,
        least_presence: float = 0.0,
    ) -> DecodedMasks:
        """The only candidate."""
        away = (found.presence <= least_presence)[:, None, None]
        logits = torch.where(away, ABSENT_LOGIT, found.masks[:, 0])
        return DecodedMasks(logits, found.tokens[:, 0], found.presence, found.quality[:, 0])

    def adopt(self, features: FrameFeatures, mask: Mask) -> DecodedMasks:
        """A given mask as it is."""
        whole = torch.from_numpy(mask).float()[None, None]
        small = F.interpolate(whole, (SIDE // 4, SIDE // 4), mode="area")
        sure = torch.full((1,), 10.0)
        return DecodedMasks(small[0] * 20 - 10, torch.zeros(1, CHANNELS), sure, torch.ones(1))

    def remember(
        self, features: FrameFeatures, decoded: DecodedMasks, prompted: bool
    ) -> torch.Tensor:
        """[B, T, D] ones for objects in view."""
        shown = (decoded.presence > 0).float()
        return shown[:, None, None].repeat(1, 4, 2)
