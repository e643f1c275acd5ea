"""Where in a frame classes are: class activation in the whole of it, and in overlapping windows."""

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import cv2
import numpy as np
import torch

from perception.features.backbone import Backbone, Features
from perception.masks.grabcut import refine_seed
from perception.scene.grounded_region import GroundedRegion, SceneView
from perception.scene.name_matching import Posterior
from perception.scene.recogniser import Recogniser
from perception.scene.region_naming import Namer
from perception.scene.sliding_windows import Surroundings, look_around
from stream.frame import Mask, SoftMask

SEED_PEAK = 0.5  # of a phrase map's peak: cells above it seed the mask
WHOLE_PEAK = 0.25  # the same for what fills the picture


@dataclass(frozen=True, slots=True, eq=False)
class Noticed:
    """The part of a frame that speaks most for some classes."""

    region: GroundedRegion
    fit: float  # 0..1, of the window that it was found in


class CloserLook:
    """Windows of a frame, named once however many questions are asked about it."""

    def __init__(self, backbone: Backbone, recogniser: Recogniser, namer: Namer) -> None:
        self._backbone, self._recogniser, self._namer = backbone, recogniser, namer
        self._around: WeakKeyDictionary[SceneView, Surroundings] = WeakKeyDictionary()

    def windows(self, view: SceneView) -> Surroundings:
        """What each window of the view may show."""
        if view not in self._around:
            self._around[view] = look_around(self._recogniser, view.frame.image)
        return self._around[view]

    def in_whole(self, view: SceneView, match: Posterior, peak: float = SEED_PEAK) -> Mask:
        """[H, W] the part of the frame that speaks for a [C] match; it may be empty."""
        return refine_seed(view.frame.image, self._map(view.features, match, peak))

    def in_windows(self, view: SceneView, match: Posterior) -> GroundedRegion | None:
        """The thing inside the window that fits best; None when nothing there can be cut out."""
        (x0, y0, x1, y1), _ = self.windows(view).best(match)
        crop = np.ascontiguousarray(view.frame.image[y0:y1, x0:x1])
        near = self._backbone.features(crop)
        mask = np.zeros(view.frame.size, bool)
        mask[y0:y1, x0:x1] = refine_seed(crop, self._map(near, match, SEED_PEAK))
        return self._namer.at(view.frame, mask, view.detections)

    def notice(self, view: SceneView, match: Posterior) -> Noticed | None:
        """Where a [C] match is, in the whole frame or in the window that fits it better."""
        if not match.any():
            return None
        whole, fit = float(view.whole_posterior @ match), self.windows(view).best(match)[1]
        if whole >= fit:
            region = self._namer.at(view.frame, self.in_whole(view, match), view.detections)
        else:
            region = self.in_windows(view, match)
        return None if region is None else Noticed(region, max(whole, fit))

    def _map(self, features: Features, match: Posterior, peak: float) -> SoftMask:
        """Class activation map (Zhou et al., 2016) of the classes that fit, [h, w] in 0..1."""
        weight = self._recogniser.class_weights.to(features.top)
        chosen = torch.from_numpy(match * (match >= 0.5 * match.max())).to(weight)
        direction = (chosen @ weight) / chosen.sum() - weight.mean(0)
        heat = (features.top * direction[:, None, None]).sum(0).clamp(min=0).cpu().numpy()
        heat = np.asarray(heat / max(1e-6, float(heat.max())), np.float32)
        size = (features.dense.shape[-1], features.dense.shape[-2])
        grown = np.asarray(cv2.resize(heat, size, interpolation=cv2.INTER_CUBIC), np.float32)
        return np.asarray(np.clip((grown - peak) / (1 - peak) + 0.5, 0, 1), np.float32)
