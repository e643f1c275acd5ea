"""Subtitles as a strip of pixels: wrapped, bounded, in any script, and made once per text."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image as Pictures
from PIL import ImageDraw, ImageFont

from foveal.output.answer_records import clean_text

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

MAX_LINES = 3  # of each paragraph
MAX_CHARS = 600  # of each paragraph that are looked at: more than three lines hold
SHADE = 0.62  # how dark the strip makes the picture
INK = ((196, 208, 224), (255, 255, 255))  # first paragraph (question), the others (answer)
# Pillow's own font knows Latin letters only; these are used for others where they are installed.
WIDE_FONTS = ("NotoSansCJK-Regular.ttc", "NotoSans-Regular.ttf", "DejaVuSans.ttf", "arial.ttf")


@dataclass(frozen=True, slots=True, eq=False)
class Strip:
    """What lies over the lower edge: picture * keep / 255 + colour."""

    keep: npt.NDArray[np.uint8]  # [h, W, 3]
    colour: npt.NDArray[np.uint8]  # [h, W, 3] RGB


@lru_cache(maxsize=8)
def subtitle_strip(text: str, width: int, height: int) -> Strip:
    """The strip for a picture of that size; at most half of its height."""
    # 31 px at 720p is what video players take for one line of three.
    size = max(9, round(min(height * 0.043, width * 0.05)))
    margin, step = round(size * 0.9), round(size * 1.32)
    font = font_of(size, text)
    lines = _lines(text, font, width - 2 * margin)
    room = max(1, (height // 2 - size) // step)
    lines = lines[:room]
    strip_height = min(height, len(lines) * step + size)
    alpha, ink = _drawn(lines, font, (width, strip_height), (margin, size // 2, step))
    keep = (1 - alpha) * (1 - SHADE * _ramp(strip_height, size))
    return Strip(
        keep=np.rint(np.repeat(keep, 3, axis=2) * 255).astype(np.uint8),
        colour=np.rint(ink * alpha).astype(np.uint8),
    )


def wrap(text: str, font: Font, width: int, max_lines: int = MAX_LINES) -> list[str]:
    """Words into lines at most `width` pixels wide; words that are longer are cut.

    What does not fit into `max_lines` is left out, and an ellipsis says so.
    """
    lines: list[str] = []
    rest = clean_text(text[: MAX_CHARS * 2])[:MAX_CHARS]
    while rest and len(lines) < max_lines:
        count = _fitting(rest, font, width)
        if count < len(rest):
            space = rest.rfind(" ", 1, count + 1)
            count = space if space > 0 else count
        lines.append(rest[:count])
        rest = rest[count:].lstrip()
    if lines and (rest or len(text) > MAX_CHARS * 2):
        last = lines[-1]
        lines[-1] = last[: max(0, _fitting(last + "…", font, width) - 1)].rstrip() + "…"
    return lines


def _fitting(text: str, font: Font, width: int) -> int:
    """How many characters fit, at least one; by bisection, since a prefix is never wider."""
    low, high = 1, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if font.getlength(text[:middle]) <= width:
            low = middle
        else:
            high = middle - 1
    return low


def _lines(text: str, font: Font, width: int) -> list[tuple[int, str]]:
    """(paragraph index, line) of every line."""
    return [
        (index, line)
        for index, paragraph in enumerate(text.split("\n"))
        for line in wrap(paragraph, font, max(1, width))
    ]


def _drawn(
    lines: list[tuple[int, str]],
    font: Font,
    size: tuple[int, int],
    layout: tuple[int, int, int],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Coverage [h, W, 1] 0..1 and colour [h, W, 3] of the letters."""
    left, top, step = layout
    letters = Pictures.new("L", size, 0)
    pen = ImageDraw.Draw(letters)
    ink = np.empty((size[1], size[0], 3))
    ink[:] = INK[-1]
    for number, (paragraph, line) in enumerate(lines):
        y = top + number * step
        pen.text((left, y), line, fill=255, font=font)
        ink[y : y + step] = INK[min(paragraph, len(INK) - 1)]
    alpha = np.asarray(letters, dtype=np.float64)[..., None] / 255
    return alpha, ink


def _ramp(height: int, fade: int) -> npt.NDArray[np.float64]:
    """[height, 1, 1] shade that fades in from the strip's upper edge."""
    rows = (np.arange(height) + 1) / max(1, fade * 0.6)
    return np.minimum(1.0, rows)[:, None, None]


def font_of(size: int, text: str) -> Font:
    """A font of so many pixels that has the letters of a text, where one is installed."""
    return _named_font(size, all(ord(char) < 0x250 or char in "–—‘’“”…€" for char in text))


@lru_cache(maxsize=16)
def _named_font(size: int, latin: bool) -> Font:
    for name in () if latin else WIDE_FONTS:
        try:
            return ImageFont.truetype(name, size)
        except OSError:
            continue
    return ImageFont.load_default(size)
