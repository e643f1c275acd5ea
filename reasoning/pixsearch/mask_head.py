"""From mask queries to regions of one view: prompts, feedback of earlier masks, and full size."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from perception.features.backbone import Features
from perception.masks.grabcut import refine_seed
from perception.scene.reader import GroundedRegion, SceneView
from reasoning.generation.protocol import Prompt
from reasoning.generation.settings import GroundConfig
from reasoning.pixsearch.candidates import windows
from reasoning.pixsearch.mask_decoder import Cells, MaskDecoder, read_frame
from reasoning.pixsearch.selection import Choice, Pointing
from stream.frame import Image, Mask, SoftMask
from stream.geometry import Box, Point, mask_iou

AGREE = 0.3  # overlap with what is pointed at, below which the model looks elsewhere
POINT_SPREAD = 0.04  # of the picture's height: standard deviation of a point's prompt


class Sight(Protocol):
    """What is asked of perception (`perception.scene.reader.Scene` and more)."""

    def names_of(self, view: SceneView, mask: Mask) -> GroundedRegion: ...

    def point_at(self, view: SceneView, point: Point | None, box: Box | None) -> GroundedRegion: ...


@dataclass(frozen=True, slots=True, eq=False)
class Span:
    """A name that the model has said."""

    query: Tensor  # [1, query] of the mask decoder
    state: Tensor  # [1, D] mean of its tokens' states
    words: Tensor  # [1, D] mean of their embeddings


@dataclass(slots=True, eq=False)
class GroundState:
    """One answer's masks so far; owned by its state."""

    view: SceneView
    cells: Cells | None  # of the mask decoder, made when the first mask is
    prompt: Tensor  # [h8, w8], see `prompt_map`
    covered: Tensor  # [h8, w8] 0..1: masks of earlier spans (mask feedback)
    pointed: GroundedRegion | None
    windows: list[tuple[Box, Cells]] = field(default_factory=list)  # closer looks, once made


class Grounder:
    """Makes masks of one view after the other."""

    def __init__(
        self,
        decoder: MaskDecoder,
        scene: Sight,
        config: GroundConfig | None = None,
        features: Callable[[Image], Features] | None = None,
        pointing: Pointing | None = None,
    ) -> None:
        """`features` is the backbone, for closer looks of the decoder; without it there are none.
        With `pointing` the decoder is not asked."""
        self._decoder, self._scene = decoder, scene
        self._config = config or GroundConfig()
        self._features = features if self._config.looks else None
        self._pointing = pointing if self._config.point else None

    def begin(self, prompt: Prompt) -> GroundState:
        """Start an answer about a view; what the wearer points at is cut out by perception."""
        state = self.begin_view(prompt.view)
        question = prompt.question
        if question.point is not None or question.box is not None:
            size, shape = prompt.view.frame.size, state.prompt.shape
            state.prompt = prompt_map((shape[0], shape[1]), size, question.point, question.box)
            state.pointed = self._scene.point_at(prompt.view, question.point, question.box)
        return state

    def begin_view(self, view: SceneView) -> GroundState:
        """A state without a question."""
        blank = torch.zeros(view.features.dense.shape[-2:])
        return GroundState(view, None, blank, blank.clone(), None)

    def ground(self, state: GroundState, span: Span) -> GroundedRegion | None:
        """What a span means, named; or None.

        The first region of a pointed question is the pointed one, as perception cuts it out, where
        the model sees none or another one.
        """
        choice = self.choose(state, span)
        mask, gate = choice.mask, self._config.presence_gate
        if self._pointing is not None:
            gate = self._config.point_gate
        if choice.sure < gate or not mask.any():
            return state.pointed
        first = not bool(state.covered.any())
        if first and state.pointed is not None and mask_iou(mask, state.pointed.mask) < AGREE:
            mask = state.pointed.mask
        rows, cols = state.covered.shape
        shrunk = cv2.resize(mask.astype(np.float32), (cols, rows), interpolation=cv2.INTER_AREA)
        state.covered = torch.maximum(state.covered, torch.from_numpy(np.asarray(shrunk)))
        return self._scene.names_of(state.view, mask)

    def choose(self, state: GroundState, span: Span) -> Choice:
        """The thing that is pointed at; without a pointer the decoder's own mask."""
        if self._pointing is not None:
            return self._pointing.choose(state.view, span.words, state.covered)
        soft, presence = self.soft_mask(state, span.query)
        return Choice(self.finish(state.view, soft), presence)

    def soft_mask(self, state: GroundState, query: Tensor) -> tuple[SoftMask, float]:
        """[1, query] -> probabilities [h4, w4] float32 and the presence, 0..1.

        Twice as fine where windows were looked at: of the whole and those windows that hold the
        thing, the surest one speaks for each pixel. What is pointed at needs no second look.
        """
        soft, presence = self.whole_mask(state, query)
        if self._features is None or state.pointed is not None:
            return soft, presence
        with torch.inference_mode():
            state.windows = state.windows or list(self._look(state.view))
            return self._merge(state, query, soft, presence)

    def whole_mask(self, state: GroundState, query: Tensor) -> tuple[SoftMask, float]:
        """The same of the whole frame alone."""
        view = state.view
        with torch.inference_mode():
            state.cells = state.cells or read_frame(self._decoder, view.features, view.frame.image)
            return self._decode(state.cells, state.prompt, state.covered, query)

    def _look(self, view: SceneView) -> Iterator[tuple[Box, Cells]]:
        """The frame's quarters and its middle, read each for itself."""
        assert self._features is not None
        for box in windows(view.frame.size):
            x0, y0, x1, y1 = box
            part = np.ascontiguousarray(view.frame.image[y0:y1, x0:x1])
            yield box, read_frame(self._decoder, self._features(part), part)

    def _merge(
        self, state: GroundState, query: Tensor, soft: SoftMask, presence: float
    ) -> tuple[SoftMask, float]:
        height, width = state.view.frame.size
        fine = np.asarray(cv2.resize(soft, None, fx=2, fy=2), np.float32)
        down, across = fine.shape[0] / height, fine.shape[1] / width
        for (x0, y0, x1, y1), cells in state.windows:
            shares = (x0 / width, y0 / height, x1 / width, y1 / height)
            prompt = _part_of(state.prompt, shares, cells)
            covered = _part_of(state.covered, shares, cells)
            part, sure = self._decode(cells, prompt, covered, query)
            if sure < self._config.look_gate:
                continue
            rows = slice(round(y0 * down), round(y1 * down))
            cols = slice(round(x0 * across), round(x1 * across))
            place = fine[rows, cols]
            near = cv2.resize(part, place.shape[::-1], interpolation=cv2.INTER_LINEAR)
            np.maximum(place, near, out=place)
            presence = max(presence, sure)
        return fine, presence

    def _decode(
        self, cells: Cells, prompt: Tensor, covered: Tensor, query: Tensor
    ) -> tuple[SoftMask, float]:
        prompts = torch.stack([prompt, covered])[None]
        logits, presence = self._decoder(cells, torch.tensor([0]), query, prompts)
        soft = np.asarray(logits[0].sigmoid().numpy(), np.float32)
        return soft, float(presence[0].sigmoid())

    def finish(self, view: SceneView, soft: SoftMask) -> Mask:
        """Probabilities at stride 4 -> a mask of the frame."""
        height, width = view.frame.size
        if self._config.refine:
            return refine_seed(view.frame.image, soft)
        large = cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR)
        return np.asarray(large >= self._config.mask_level)


def _part_of(plane: Tensor, shares: tuple[float, float, float, float], cells: Cells) -> Tensor:
    """A window's part of a map [h8, w8], at the window's own size."""
    height, width = plane.shape
    x0, y0, x1, y1 = shares
    rows = slice(int(y0 * height), max(int(y0 * height) + 1, round(y1 * height)))
    cols = slice(int(x0 * width), max(int(x0 * width) + 1, round(x1 * width)))
    size = (int(cells.cells.shape[-2]), int(cells.cells.shape[-1]))
    grown = F.interpolate(plane[rows, cols][None, None], size, mode="bilinear")
    return grown[0, 0]


def prompt_map(
    shape: tuple[int, int], size: tuple[int, int], point: Point | None, box: Box | None
) -> Tensor:
    """[h8, w8]: 0 without a prompt; else +1 at the point or in the box, falling to -1 away from it.

    `size` is the frame's (height, width), `point` and `box` are in its pixels.
    """
    if point is None and box is None:
        return torch.zeros(shape)
    y = ((torch.arange(shape[0]) + 0.5) / shape[0])[:, None]
    x = ((torch.arange(shape[1]) + 0.5) / shape[1])[None]
    if box is not None:
        x0, y0, x1, y1 = (v / s for v, s in zip(box, (*size[::-1], *size[::-1]), strict=True))
        inside = (x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)
        return inside.float() * 2 - 1
    assert point is not None
    aspect = size[1] / size[0]
    off = ((x - point[0] / size[1]) * aspect) ** 2 + (y - point[1] / size[0]) ** 2
    return 2 * torch.exp(-off / (2 * POINT_SPREAD**2)) - 1
