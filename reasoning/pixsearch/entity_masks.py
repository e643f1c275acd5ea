"""Masks of the entities that an answer names, one by one: what was masked before counts."""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from perception.scene.reader import GroundedRegion, Scene, SceneView
from reasoning.generation.protocol import Prompt
from reasoning.pixsearch.region_grounding import PhraseGrounder
from stream.geometry import mask_iou

AGREE = 0.3  # overlap with what is pointed at, below which the model looks elsewhere


@dataclass(slots=True, eq=False)
class EntityMasks:
    """One answer's masks so far; owned by its state."""

    view: SceneView
    covered: Tensor  # [h8, w8] 0..1: masks of earlier entities
    pointed: GroundedRegion | None


class EntityGrounder:
    """Gives each entity its region of one view."""

    def __init__(self, phrases: PhraseGrounder, scene: Scene) -> None:
        self._phrases, self._scene = phrases, scene

    def begin(self, prompt: Prompt) -> EntityMasks:
        """Start an answer about a view; what the wearer points at is cut out by perception."""
        view, question, pointed = prompt.view, prompt.question, None
        if question.point is not None or question.box is not None:
            pointed = self._scene.point_at(view, question.point, question.box)
        return EntityMasks(view, torch.zeros(view.features.dense.shape[-2:]), pointed)

    def ground(self, state: EntityMasks, words: Tensor) -> GroundedRegion | None:
        """[1, D] mean word embedding of an entity -> its region, named; or None.

        The first region of a pointed question is the pointed one, as perception cuts it out, where
        nothing or something else is meant by the words.
        """
        mask = self._phrases.choose(state.view, words, state.covered).mask
        if not mask.any():
            return state.pointed
        first = not bool(state.covered.any())
        if first and state.pointed is not None and mask_iou(mask, state.pointed.mask) < AGREE:
            mask = state.pointed.mask
        rows, cols = state.covered.shape
        shrunk = cv2.resize(mask.astype(np.float32), (cols, rows), interpolation=cv2.INTER_AREA)
        state.covered = torch.maximum(state.covered, torch.from_numpy(np.asarray(shrunk)))
        return self._scene.names_of(state.view, mask)
