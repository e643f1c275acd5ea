"""What the model is shown of a view: built here for training and for answering alike."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from perception.scene.reader import GroundedRegion, SceneView
from reasoning.pixsearch.connector import GRID, POINTED, THING, VisualTokens, grid_boxes

Posteriors = Callable[[Tensor], Tensor]  # [n, 1280] pooled features -> [n, C]


class VisualInput:
    """Views -> visual tokens: a grid of the frame, prominent things, what is pointed at."""

    def __init__(self, posteriors: Posteriors, grid: tuple[int, int], things: int) -> None:
        """`posteriors` is the recogniser's view of pooled features; the rest the model's sizes."""
        self._posteriors, self._grid, self._things = posteriors, grid, things
        self.sizes = f"{grid[0]}x{grid[1]}+{things}"

    def of_view(self, view: SceneView) -> VisualTokens:
        """The grid's cells, then the things."""
        rows, cols = self._grid
        top = adaptive_avg_pool2d(view.features.top[None], (rows, cols))[0]
        grid = self._posteriors(top.flatten(1).T)
        tokens = VisualTokens(grid, grid_boxes(rows, cols), (GRID,) * (rows * cols))
        for thing in view.things[: self._things]:
            tokens = tokens.plus(_token(view, thing, THING))
        return tokens

    def of_pointed(self, view: SceneView, region: GroundedRegion) -> VisualTokens:
        """The one token of a region that is pointed at; it comes after those of the view."""
        return _token(view, region, POINTED)


def _token(view: SceneView, region: GroundedRegion, kind: int) -> VisualTokens:
    height, width = view.frame.size
    box = torch.tensor(region.box) / torch.tensor([width, height, width, height])
    return VisualTokens(torch.from_numpy(region.posterior)[None], box[None], (kind,))
