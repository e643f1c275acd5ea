"""Pictures of coloured squares, their masks, and an encoder that names colours."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from retrieval.encoders.conse import ConseEncoder
from retrieval.pictures.building import FoundMasks
from stream.frame import Image, Mask
from tests.doubles.retrieval import ColourClassifier, HashEncoder

COLOURS = {"red": (220, 20, 20), "green": (20, 200, 30), "blue": (20, 30, 220), "grey": (90,) * 3}
SIDE = 40


def encoder(name: str = "colours") -> ConseEncoder:
    """ConSE over four names of colours."""
    names = [(colour,) for colour in COLOURS]
    return ConseEncoder(HashEncoder(), ColourClassifier(COLOURS), names, name)


def square() -> Mask:
    """[40, 40]: a tenth of the picture."""
    mask = np.zeros((SIDE, SIDE), np.bool_)
    mask[4:16, 20:32] = True
    return mask


def save(folder: Path, pictures: Mapping[str, tuple[str, str]]) -> dict[str, Path]:
    """PNGs of one colour with a square of another, by file name."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, (ground, thing) in pictures.items():
        picture = np.full((SIDE, SIDE, 3), COLOURS[ground], np.uint8)
        picture[square()] = COLOURS[thing]
        Pillow.fromarray(picture).save(folder / name)
    return {name: folder / name for name in pictures}


class Squares:
    """A MaskSource that knows where the square is."""

    def __init__(self, *others: Mask, id: str = "squares") -> None:
        self.id, self._masks = id, (square(), *others)
        self.asked: list[str] = []

    def find(self, name: str, image: Image) -> FoundMasks:
        """See MaskSource."""
        self.asked.append(name)
        return FoundMasks(self._masks)
