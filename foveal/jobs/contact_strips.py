"""Contact strips: labelled small pictures in rows."""

from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from foveal.output.annotate import fit_inside
from stream.frame import Image
from stream.writing import writing

TILE = (240, 160)  # pixels of a strip's picture, label included
LABEL = 25  # pixels of the label under it
COLUMNS, PAGE = 6, 60  # pictures per row and per strip


@dataclass(slots=True)
class ContactStrips:
    """A new PNG every PAGE pictures; raises OutputError where the folder cannot be written."""

    folder: Path
    written: list[Path] = field(default_factory=list)
    tiles: list[Image] = field(default_factory=list)

    def __post_init__(self) -> None:
        with writing(self.folder, advice="choose another --out"):
            self.folder.mkdir(parents=True, exist_ok=True)

    def add(self, image: Image, label: str) -> None:
        """Add one RGB picture."""
        tile = np.zeros((TILE[1], TILE[0], 3), np.uint8)
        tile[: TILE[1] - LABEL] = fit_inside(image, (TILE[0], TILE[1] - LABEL))
        spot, font = (4, TILE[1] - 7), cv2.FONT_HERSHEY_SIMPLEX
        cv2.putText(tile, label, spot, font, 0.5, (255, 255, 255), 1, cv2.LINE_AA)
        self.tiles.append(tile)
        if len(self.tiles) == PAGE:
            self.finish()

    def finish(self) -> None:
        """Write what has been added since the last strip."""
        if not self.tiles:
            return
        while len(self.tiles) % COLUMNS and len(self.tiles) > COLUMNS:
            self.tiles.append(np.zeros_like(self.tiles[0]))
        starts = range(0, len(self.tiles), COLUMNS)
        rows = [np.hstack(self.tiles[start : start + COLUMNS]) for start in starts]
        path = self.folder / f"keyframes-{len(self.written) + 1:02d}.png"
        with writing(path, advice="choose another --out"):
            path.write_bytes(cv2.imencode(".png", np.vstack(rows)[..., ::-1])[1].tobytes())
        self.written.append(path)
        self.tiles.clear()
