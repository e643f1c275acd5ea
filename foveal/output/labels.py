"""Labels on a picture: names of things, the time, a keyframe's reason."""

from functools import lru_cache

import numpy as np
from PIL import Image as Pictures
from PIL import ImageDraw

from foveal.output.answer_records import clean_text
from foveal.output.subtitles import font_of
from stream.crops import Colour
from stream.frame import Image

Place = tuple[int, int, int, int]  # x0, y0, x1, y1 in pixels

MAX_CHARS = 32  # of a label
DARK, LIGHT = (16, 16, 16), (245, 245, 245)


class Labels:
    """Labels of one picture [H, W, 3]: inside it, and none over another."""

    def __init__(self, picture: Image, size: int) -> None:
        """`size` of the letters in pixels."""
        self._picture, self._size = picture, size
        self._taken: list[Place] = []

    def put(self, text: str, spot: tuple[int, int], tone: Colour, above: bool = False) -> None:
        """Print a label with its upper left corner at x, y; `above`: standing on it, in its middle.

        Where that is outside the picture or on another label, near it.
        """
        label = _label(clean_text(text)[:MAX_CHARS], self._size, tone)
        high, wide = self._picture.shape[:2]
        height, width = min(label.shape[0], high), min(label.shape[1], wide)
        x = max(0, min(spot[0] - width // 2 * above, wide - width))
        y = max(0, min(spot[1] - height * above, high - height))
        for x0, y0, x1, y1 in sorted(self._taken, key=lambda place: place[1]):
            if x < x1 and x0 < x + width and y < y1 and y0 < y + height:
                y = min(y1, high - height)
        self._taken.append((x, y, x + width, y + height))
        self._picture[y : y + height, x : x + width] = label[:height, :width]


@lru_cache(maxsize=128)
def _label(text: str, size: int, tone: Colour) -> Image:
    """[h, w, 3] letters on their colour."""
    font, pad = font_of(size, text), max(2, size // 2)
    shape = (round(font.getlength(text)) + 2 * pad, round(1.7 * size))
    picture = Pictures.new("RGB", shape, tone)
    bright = tone[0] * 299 + tone[1] * 587 + tone[2] * 114 > 128_000
    ink = DARK if bright else LIGHT
    ImageDraw.Draw(picture).text((pad, round(0.28 * size)), text, fill=ink, font=font)
    return np.asarray(picture, dtype=np.uint8)
