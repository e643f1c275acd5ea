"""What is in a frame: things with masks and names, the picture as a whole, and written words."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol
from weakref import WeakKeyDictionary

import cv2
import numpy as np
import numpy.typing as npt
import torch

from perception.backbone import Backbone, Features
from perception.naming import Name, NameMatcher, Posterior
from perception.ocr import TextLine, TextReader
from perception.proposals import COVERED, ProposalConfig, propose
from perception.recogniser import Recogniser
from perception.regions import GroundedRegion, holds, merge, share_inside, where, where_box
from perception.segment import mask_from_box, mask_from_point, refine_seed
from perception.surroundings import Surroundings, agreed, look_around
from stream.errors import PromptError
from stream.events import Point, Region
from stream.frame import Frame, Mask
from stream.masks import Box, decode_mask, mask_box

__all__ = ["GroundedRegion", "Scene", "SceneReader", "SceneView", "where", "where_box"]

MAX_POINTED = 0.12  # share of the frame up to which a masklet under a point is meant itself
MIN_PHRASE_FIT = 0.12  # below it nothing in view is what a phrase says
MIN_WINDOW_FIT = 0.3  # the same for windows, which are many and so more often wrong
SEED_PEAK = 0.5  # of a phrase map's peak: cells above it seed the mask
WHOLE_PEAK = 0.25  # the same for what fills the picture
MIN_AGREED = 0.2  # a name's mean probability from which several views agree on it


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class SceneView:
    """One frame as the language side sees it."""

    frame: Frame
    features: Features
    things: tuple[GroundedRegion, ...]  # most prominent first
    whole: tuple[Name, ...]  # names of the whole picture
    whole_posterior: Posterior


class Scene(Protocol):
    """What the language side asks of perception while it answers."""

    def names_of(self, view: SceneView, mask: Mask) -> GroundedRegion: ...

    def point_at(self, view: SceneView, point: Point | None, box: Box | None) -> GroundedRegion: ...

    def find(self, view: SceneView, phrase: str) -> GroundedRegion: ...

    def around(self, view: SceneView) -> tuple[GroundedRegion, ...]: ...

    def whole_region(self, view: SceneView) -> GroundedRegion: ...

    def read_text(self, view: SceneView) -> tuple[TextLine, ...]: ...


class SceneReader:
    """Perception for the language side: one backbone pass, then crops of what stands out."""

    def __init__(
        self,
        backbone: Backbone,
        recogniser: Recogniser,
        matcher: NameMatcher,
        text_reader: TextReader,
        proposals: ProposalConfig | None = None,
    ) -> None:
        self._backbone, self._recogniser = backbone, recogniser
        self._matcher, self._text = matcher, text_reader
        self._proposals = proposals or ProposalConfig()
        # Several questions on one frame share its windows.
        self._around: WeakKeyDictionary[SceneView, Surroundings] = WeakKeyDictionary()

    def read(
        self, frame: Frame, features: Features | None = None, tracked: Sequence[Region] = ()
    ) -> SceneView:
        """The frame's things; live masklets come first and keep their track ids."""
        features = features or self._backbone.features(frame.image)
        held = _held(tracked)
        found = [*held, *self._stand_out(frame, features, [mask for mask, _, _ in held])]
        things = self._name(frame, found)
        whole = self._recogniser.classify([frame.image], [None])[0]
        return SceneView(frame, features, merge(things), self._matcher.best(whole), whole)

    def new_things(
        self, frame: Frame, features: Features | None = None, tracked: Sequence[Region] = ()
    ) -> tuple[GroundedRegion, ...]:
        """Those of `read`'s things that no masklet follows: much less work."""
        features = features or self._backbone.features(frame.image)
        held = [mask for mask, _, _ in _held(tracked)]
        return merge(self._name(frame, self._stand_out(frame, features, held)))

    def _stand_out(
        self, frame: Frame, features: Features, held: Sequence[Mask]
    ) -> list[tuple[Mask, float, int | None]]:
        """What stands out and is not inside one of the masks."""
        return [
            (found.mask, found.saliency, None)
            for found in propose(frame.image, features, self._proposals, held)
            if all(share_inside(found.mask, mask) < COVERED for mask in held)
        ]

    def names_of(self, view: SceneView, mask: Mask) -> GroundedRegion:
        """A mask of this view with its names; raises PromptError when it is empty."""
        regions = self._name(view.frame, [(mask, 1.0, None)])
        if not regions:
            raise PromptError("expected a mask with at least one pixel, got an empty one")
        return regions[0]

    def point_at(self, view: SceneView, point: Point | None, box: Box | None) -> GroundedRegion:
        """What the wearer points at; raises PromptError for a prompt outside the frame."""
        image = view.frame.image
        if box is not None:
            return self.names_of(view, mask_from_box(image, box))
        if point is None:
            raise PromptError("expected a point or a box, got neither")
        for thing in view.things:
            # Something large may hold the thing that is meant: the table under the cup.
            small = thing.mask.mean() <= MAX_POINTED
            if thing.track_id is not None and small and holds(thing.mask, point):
                return thing
        return self.names_of(view, mask_from_point(image, point, view.features))

    def find(self, view: SceneView, phrase: str) -> GroundedRegion:
        """The thing a phrase names; raises PromptError when nothing in view fits it."""
        match = self._matcher.match(phrase)

        def rank(thing: GroundedRegion) -> float:
            # Of several parts that fit, the one that stands out (or is followed) is meant.
            return float(thing.posterior @ match) * (0.5 + 0.5 * thing.saliency)

        ranked = sorted(view.things, key=rank, reverse=True)
        if ranked and float(ranked[0].posterior @ match) >= MIN_PHRASE_FIT:
            return ranked[0]
        if float(view.whole_posterior @ match) >= MIN_PHRASE_FIT:
            mask = refine_seed(view.frame.image, self._phrase_map(view.features, match))
            if mask.any():
                return self.names_of(view, mask)
        fit = self._windows(view).best(match)[1] if match.any() else 0.0
        found = self._in_windows(view, match) if fit >= MIN_WINDOW_FIT else None
        if found is None:
            raise PromptError(f"expected something in view that fits {phrase!r}, found nothing")
        # The window's own fit is what decided; a part cut out of it may be named worse.
        weak = float(found.posterior @ match) < MIN_PHRASE_FIT
        return replace(found, names=self._matcher.best(match * fit)) if weak else found

    def whole_region(self, view: SceneView) -> GroundedRegion:
        """What the whole picture is named after: the part that speaks for its best name.

        A close-up is named better as a picture than by a part cut out of it, so the picture's
        names are kept.
        """
        match = np.zeros(len(view.whole_posterior), np.float32)
        match[int(view.whole_posterior.argmax())] = 1.0
        heat = self._phrase_map(view.features, match, WHOLE_PEAK)
        mask = refine_seed(view.frame.image, heat)
        box = mask_box(mask)
        if box is None:
            height, width = view.frame.size
            mask, box = np.ones((height, width), bool), (0, 0, width, height)
        return GroundedRegion(mask, box, view.whole_posterior, view.whole, 1.0)

    def around(self, view: SceneView) -> tuple[GroundedRegion, ...]:
        """What else is there: names that several views of the frame agree on, surest first."""
        posteriors = [view.whole_posterior, *(thing.posterior for thing in view.things)]
        together = agreed([*posteriors, *self._windows(view).posteriors])
        regions: list[GroundedRegion] = []
        for name in self._matcher.best(together):
            match = self._matcher.exactly(name.label)
            region = None if name.probability < MIN_AGREED else self._in_windows(view, match)
            if region is not None:
                regions.append(replace(region, names=(name,)))
        return tuple(regions)

    def _windows(self, view: SceneView) -> Surroundings:
        if view not in self._around:
            self._around[view] = look_around(self._recogniser, view.frame.image)
        return self._around[view]

    def _in_windows(self, view: SceneView, match: npt.NDArray[np.float32]) -> GroundedRegion | None:
        """The thing inside the window that fits best; None when nothing there can be cut out."""
        (x0, y0, x1, y1), _ = self._windows(view).best(match)
        crop = np.ascontiguousarray(view.frame.image[y0:y1, x0:x1])
        near = self._backbone.features(crop)
        mask = np.zeros(view.frame.size, bool)
        mask[y0:y1, x0:x1] = refine_seed(crop, self._phrase_map(near, match))
        return self.names_of(view, mask) if mask.any() else None

    def read_text(self, view: SceneView) -> tuple[TextLine, ...]:
        """Written words in the frame, from top to bottom."""
        return self._text.read(view.frame.image)

    def _name(
        self, frame: Frame, found: Sequence[tuple[Mask, float, int | None]]
    ) -> tuple[GroundedRegion, ...]:
        shown = [(m, s, i, box) for m, s, i in found if (box := mask_box(m)) is not None]
        posteriors = self._recogniser.classify(
            [frame.image] * len(shown), [mask for mask, _, _, _ in shown]
        )
        return tuple(
            GroundedRegion(mask, box, post, self._matcher.best(post), saliency, track_id)
            for (mask, saliency, track_id, box), post in zip(shown, posteriors, strict=True)
        )

    def _phrase_map(
        self, features: Features, match: npt.NDArray[np.float32], peak: float = SEED_PEAK
    ) -> npt.NDArray[np.float32]:
        """Class activation map (Zhou et al., 2016) of the classes that fit, [h, w] in 0..1."""
        weight = self._recogniser.class_weights.to(features.top)
        chosen = torch.from_numpy(match * (match >= 0.5 * match.max())).to(weight)
        direction = (chosen @ weight) / chosen.sum() - weight.mean(0)
        heat = (features.top * direction[:, None, None]).sum(0).clamp(min=0).cpu().numpy()
        heat = np.asarray(heat / max(1e-6, float(heat.max())), np.float32)
        size = (features.dense.shape[-1], features.dense.shape[-2])
        grown = np.asarray(cv2.resize(heat, size, interpolation=cv2.INTER_CUBIC), np.float32)
        return np.asarray(np.clip((grown - peak) / (1 - peak) + 0.5, 0, 1), np.float32)


def _held(tracked: Sequence[Region]) -> list[tuple[Mask, float, int | None]]:
    """Masklets in view."""
    return [(decode_mask(r.mask), r.score, r.track_id) for r in tracked if r.box is not None]
