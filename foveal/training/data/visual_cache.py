"""What the segmenting model is shown of training pictures: perception's own view of them, kept.

The same tokens that it is shown when it answers, by the same builder. Perception looks once; what
it saw is kept on disk.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from perception.scene.reader import SceneReader, SceneView
from reasoning.pixsearch.connector import VisualTokens
from reasoning.pixsearch.visual_input import VisualInput
from stream.frame import Frame, Image
from stream.geometry import Point

Pictures = Callable[[str], Image]


class VisualTokenCache:
    """Visual tokens of pictures, by name and point."""

    def __init__(
        self,
        folder: Path,
        reader: Callable[[], SceneReader],
        visual: VisualInput,
        pictures: Pictures,
    ) -> None:
        """`folder` keeps what was seen; `reader` is asked for where something was not seen yet."""
        self._folder, self._reader = folder, reader
        self._visual, self._pictures = visual, pictures
        self._view: tuple[str, SceneView] | None = None

    def view(self, image: str) -> SceneView:
        """A picture as perception reads it; the last one is kept."""
        if self._view is None or self._view[0] != image:
            frame = Frame(0, 0, self._pictures(image), image)
            self._view = image, self._reader().read(frame)
        return self._view[1]

    def __call__(self, image: str, point: Point | None) -> VisualTokens:
        """The tokens of a picture; those of `point` come last."""
        path = self._path(image, point)
        if not path.is_file():
            self._folder.mkdir(parents=True, exist_ok=True)
            seen = self._look(self.view(image), point)
            rows = {"posteriors": seen.posteriors.half(), "boxes": seen.boxes}
            rows["kinds"] = torch.tensor(seen.kinds)
            save_file({name: tensor.contiguous() for name, tensor in rows.items()}, path)
        kept = load_file(path, str(torch.get_default_device()))
        kinds = tuple(int(kind) for kind in kept["kinds"])
        return VisualTokens(kept["posteriors"].float(), kept["boxes"].float(), kinds)

    def knows(self, image: str, point: Point | None) -> bool:
        """Whether it was looked at before."""
        return self._path(image, point).is_file()

    def _path(self, image: str, point: Point | None) -> Path:
        name = hashlib.sha256(f"{image}|{point}|{self._visual.sizes}".encode()).hexdigest()[:24]
        return self._folder / f"{name}.safetensors"

    def _look(self, view: SceneView, point: Point | None) -> VisualTokens:
        tokens = self._visual.of_view(view)
        if point is None:
            return tokens
        region = self._reader().point_at(view, point, None)
        return tokens.plus(self._visual.of_pointed(view, region))


def cache_folder(records: Path) -> Path:
    """Where what perception saw of a file's pictures is kept."""
    return records.parent / f"{records.stem}.shown"
