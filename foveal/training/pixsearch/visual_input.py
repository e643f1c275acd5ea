"""What the segmenting model is shown of a training picture: perception's own view of it.

The same tokens that it is shown when it answers: the frame's cells, what the detector and the
proposals found, and what is pointed at. Perception looks once; what it saw is kept on disk.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from perception.scene.reader import SceneReader, SceneView
from reasoning.pixsearch.connector import GRID, POINTED, THING, Visual, grid_boxes
from stream.frame import Frame, Image
from stream.geometry import Point

Posteriors = Callable[[Tensor], Tensor]  # [n, 1280] -> [n, C]
Pictures = Callable[[str], Image]


class Shown:
    """Visual tokens of pictures, by name and point."""

    def __init__(
        self,
        folder: Path,
        reader: Callable[[], SceneReader],
        posteriors: Posteriors,
        pictures: Pictures,
        grid: tuple[int, int],
        things: int,
    ) -> None:
        """`folder` keeps what was seen; `grid` and `things` are the model's.

        `reader` is asked for where something was not seen yet.
        """
        self._folder, self._reader, self._pictures = folder, reader, pictures
        self._posteriors, self._grid, self._things = posteriors, grid, things
        self._view: tuple[str, SceneView] | None = None

    def view(self, image: str) -> SceneView:
        """A picture as perception reads it; the last one is kept."""
        if self._view is None or self._view[0] != image:
            frame = Frame(0, 0, self._pictures(image), image)
            self._view = image, self._reader().read(frame)
        return self._view[1]

    def __call__(self, image: str, point: Point | None) -> Visual:
        """The tokens of a picture; those of `point` come last."""
        path = self._path(image, point)
        if not path.is_file():
            self._folder.mkdir(parents=True, exist_ok=True)
            seen = self.look(self.view(image), point)
            rows = {"posteriors": seen.posteriors.half(), "boxes": seen.boxes}
            rows["kinds"] = torch.tensor(seen.kinds)
            save_file({name: tensor.contiguous() for name, tensor in rows.items()}, path)
        kept = load_file(path)
        kinds = tuple(int(kind) for kind in kept["kinds"])
        return Visual(kept["posteriors"].float(), kept["boxes"].float(), kinds)

    def knows(self, image: str, point: Point | None) -> bool:
        """Whether it was looked at before."""
        return self._path(image, point).is_file()

    def _path(self, image: str, point: Point | None) -> Path:
        rows, cols = self._grid
        name = f"{image}|{point}|{rows}x{cols}+{self._things}"
        return self._folder / f"{hashlib.sha256(name.encode()).hexdigest()[:24]}.safetensors"

    def look(self, view: SceneView, point: Point | None) -> Visual:
        """As `PixSearchLMM` shows a view, what is pointed at behind it."""
        rows, cols = self._grid
        top = torch.nn.functional.adaptive_avg_pool2d(view.features.top[None], (rows, cols))[0]
        things = list(view.things[: self._things])
        kinds = [GRID] * (rows * cols) + [THING] * len(things)
        if point is not None:
            things.append(self._reader().point_at(view, point, None))
            kinds.append(POINTED)
        height, width = view.frame.size
        size = torch.tensor([width, height, width, height])
        boxes = [(torch.tensor(thing.box) / size)[None] for thing in things]
        seen = [torch.from_numpy(thing.posterior)[None] for thing in things]
        grid = self._posteriors(top.flatten(1).T)
        return Visual(
            torch.cat([grid, *seen]), torch.cat([grid_boxes(rows, cols), *boxes]), tuple(kinds)
        )


def shown_folder(records: Path) -> Path:
    """Where what perception saw of a file's pictures is kept."""
    return records.parent / f"{records.stem}.shown"
