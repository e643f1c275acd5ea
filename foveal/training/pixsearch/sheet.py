"""A sheet of pictures with true and predicted masks, to look at while a model is trained."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from stream.frame import Image, Mask

TRUE, SAID = (40, 200, 60), (235, 90, 40)  # RGB
SCALE = 2
COLUMNS = 4


def write_sheet(
    path: Path, entries: Sequence[tuple[str, Image, Mask, Mask]], columns: int = COLUMNS
) -> None:
    """(name, picture [h, w, 3], true mask, predicted mask) of one size each -> a PNG.

    Green is the truth's border, orange the prediction.
    """
    tiles = [_tile(*entry) for entry in entries]
    while len(tiles) % columns:
        tiles.append(np.zeros_like(tiles[0]))
    rows = [np.hstack(tiles[n : n + columns]) for n in range(0, len(tiles), columns)]
    cv2.imwrite(str(path), np.vstack(rows)[..., ::-1])


def _tile(name: str, image: Image, truth: Mask, said: Mask) -> npt.NDArray[np.uint8]:
    size = (image.shape[1] * SCALE, image.shape[0] * SCALE)
    large = np.asarray(cv2.resize(image, size), np.uint8)
    inside = cv2.resize(said.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
    large[inside] = (large[inside] * 0.5 + np.array(SAID) * 0.5).astype(np.uint8)
    real = cv2.resize(truth.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    edges, _ = cv2.findContours(real, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    cv2.drawContours(large, edges, -1, TRUE, 1)
    cv2.putText(large, name[:24], (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (255, 255, 255), 1)
    return large
