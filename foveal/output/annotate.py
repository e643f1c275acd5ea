"""The annotated picture: masks with names, keyframe marks, time and subtitles."""

from dataclasses import replace
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from foveal.output.labels import Labels
from foveal.output.subtitles import Strip, subtitle_strip
from stream.clock import NS_PER_S
from stream.crops import Colour
from stream.events import Question, Region
from stream.frame import Frame, Image, Keyframe
from stream.geometry import Rle, decode_mask

# Twelve colours that stay apart on video and on light and dark pages.
PALETTE: tuple[Colour, ...] = (
    (255, 99, 72),
    (46, 184, 255),
    (94, 214, 84),
    (255, 190, 30),
    (186, 104, 255),
    (38, 208, 178),
    (255, 92, 168),
    (122, 138, 255),
    (198, 214, 52),
    (255, 140, 40),
    (90, 160, 120),
    (208, 150, 120),
)
KEYFRAME_COLOUR: Colour = (255, 214, 10)
TIME_COLOUR: Colour = (24, 26, 30)
POINTER_COLOUR: Colour = (255, 255, 255)
POINTER_EDGE: Colour = (20, 20, 20)
MAX_ENLARGED_WIDTH = 1280  # pixels, so that a very wide strip does not grow into gigabytes
FILL = 0.42  # of a mask's colour over the picture
REFERENCE_HEIGHT = 720  # pixels, at which lines and letters have their nominal size
MIN_LABEL_SIDE = 48  # pixels; smaller pictures carry no letters


def colour(track_id: int) -> Colour:
    """The colour of a masklet, the same in video and report."""
    return PALETTE[track_id % len(PALETTE)]


def name(track_id: int) -> str:
    """How a region is called: "#3" for a masklet, a letter for one that only an answer knows."""
    return f"#{track_id}" if track_id > 0 else chr(ord("a") + max(0, -track_id - 1) % 26)


def told_apart(regions: tuple[Region, ...]) -> dict[Region, Region]:
    """Each region with an id of its own: those without a masklet (id 0) get -1, -2, and so on."""
    found: dict[Region, Region] = {}
    for region in regions:
        if region.track_id > 0:
            found[region] = region
        elif region not in found:
            unnamed = sum(other.track_id < 0 for other in found.values())
            found[region] = replace(region, track_id=-1 - unnamed)
    return found


def draw(
    frame: Frame,
    regions: tuple[Region, ...],
    keyframe: Keyframe | None = None,
    subtitle: str | None = None,
    heights: tuple[int, int] | None = None,
    *,
    scores: bool = False,
) -> Image:
    """A copy of the frame's picture [H, W, 3] with everything on it.

    `heights` (least, most) scales the picture first: less work for large ones, legible letters on
    small ones. Masks of another size are scaled to it. `subtitle` is wrapped; "\\n" starts a new
    line. Things with a name carry it; with `scores` all carry their ids and scores as well.
    """
    picture = frame.image if heights is None else _between(frame.image, *heights)
    if picture is frame.image:
        picture = picture.copy()
    height, width = picture.shape[:2]
    labelled = min(height, width) >= MIN_LABEL_SIDE
    tops = [_draw_region(picture, region) for region in regions]
    if keyframe is not None:
        line = max(1, round(5 * _scale(picture)))
        cv2.rectangle(picture, (0, 0), (width - 1, height - 1), KEYFRAME_COLOUR, line)
    if labelled:
        labels = Labels(picture, round(24 * _scale(picture)))
        _label_frame(labels, picture, frame, keyframe)
        for region, top in zip(regions, tops, strict=True):
            words = f"{name(region.track_id)} {region.name} {region.score:.2f}"
            if top is not None and (scores or region.name):
                labels.put(words if scores else region.name, top, colour(region.track_id), True)
    if subtitle and labelled:
        _lay_over(picture, subtitle_strip(subtitle, width, height))
    return picture


def _draw_region(picture: Image, region: Region) -> tuple[int, int] | None:
    """Tint the mask and draw its outline; the middle (x, y) of its largest part's upper edge."""
    height, width = picture.shape[:2]
    found = _mask_crop(region.mask, height, width)
    if found is None:
        return None
    mask, x0, y0 = found
    tone = colour(region.track_id)
    part = picture[y0 : y0 + mask.shape[0], x0 : x0 + mask.shape[1]]
    cv2.copyTo(cv2.LUT(part, _tint(tone)), mask, part)
    contours, _ = cv2.findContours(
        mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE, offset=(x0, y0)
    )
    line = max(1, round(2 * height / REFERENCE_HEIGHT))
    cv2.drawContours(picture, contours, -1, tone, line, cv2.LINE_AA)
    left, top, wide, _ = cv2.boundingRect(max(contours, key=cv2.contourArea))
    return left + wide // 2, top


def _mask_crop(rle: Rle, height: int, width: int) -> tuple[npt.NDArray[np.uint8], int, int] | None:
    """The mask's columns and rows that are set, as [h, w] 0/255, and their corner (x0, y0)."""
    if not rle.area:
        return None
    mask = decode_mask(rle).view(np.uint8)
    if rle.size != (height, width):
        # The transpose is contiguous, because runs go down the columns.
        mask = cv2.resize(mask.T, (height, width), interpolation=cv2.INTER_NEAREST).T
    columns = np.flatnonzero(mask.any(axis=0))
    if not columns.size:
        return None
    x0, x1 = int(columns[0]), int(columns[-1]) + 1
    mask = mask[:, x0:x1]
    rows = np.flatnonzero(mask.any(axis=1))
    y0, y1 = int(rows[0]), int(rows[-1]) + 1
    return np.ascontiguousarray(mask[y0:y1]) * np.uint8(255), x0, y0


@lru_cache(maxsize=len(PALETTE))
def _tint(tone: Colour) -> npt.NDArray[np.uint8]:
    """[256, 1, 3] look-up table that blends a colour over any value."""
    values = np.arange(256, dtype=np.float64)[:, None, None]
    return np.rint(values * (1 - FILL) + np.array(tone) * FILL).astype(np.uint8)


def _label_frame(labels: Labels, picture: Image, frame: Frame, keyframe: Keyframe | None) -> None:
    """The time, and a keyframe's reason."""
    scale = _scale(picture)
    margin = round(14 * scale)
    seconds, rest_ns = divmod(max(0, frame.pts_ns), NS_PER_S)
    now = f"{seconds // 60:02d}:{seconds % 60:02d}.{rest_ns // 10_000_000:02d}"
    labels.put(now, (picture.shape[1] - round(136 * scale), margin), TIME_COLOUR)
    if keyframe is not None:
        labels.put(f"keyframe: {keyframe.reason}", (margin, margin), KEYFRAME_COLOUR)


def _lay_over(picture: Image, strip: Strip) -> None:
    """Blend the subtitle's strip over the lower edge."""
    rows = picture[picture.shape[0] - strip.colour.shape[0] :]
    kept = cv2.multiply(rows, strip.keep, scale=1 / 255)
    np.copyto(rows, cv2.add(kept, strip.colour))


def _scale(picture: Image) -> float:
    # Letters shrink less than the picture does, or they could not be read.
    return max(0.5, 0.25 + 0.75 * int(min(picture.shape[:2])) / REFERENCE_HEIGHT)


def mark_question(picture: Image, question: Question, size: tuple[int, int]) -> None:
    """Draw what the wearer pointed at, on a picture made of a frame of `size` (height, width)."""
    down, right = picture.shape[0] / size[0], picture.shape[1] / size[1]
    line = max(1, round(3 * _scale(picture)))
    if question.point is not None:
        centre = (round(question.point[0] * right), round(question.point[1] * down))
        for radius, tone in ((13, POINTER_EDGE), (10, POINTER_COLOUR)):
            cv2.circle(picture, centre, round(radius * _scale(picture)), tone, line, cv2.LINE_AA)
    if question.box is not None:
        x0, y0, x1, y1 = question.box
        corners = (round(x0 * right), round(y0 * down)), (round(x1 * right), round(y1 * down))
        cv2.rectangle(picture, *corners, POINTER_EDGE, 2 * line)
        cv2.rectangle(picture, *corners, POINTER_COLOUR, line)


def shrink(image: Image, max_height: int) -> Image:
    """At most `max_height` high, in the same shape; the same array when it is already."""
    height, width = image.shape[:2]
    if height <= max_height:
        return image
    size = (max(1, round(width * max_height / height)), max_height)
    return resize(image, size)


def _between(image: Image, least: int, most: int) -> Image:
    height, width = image.shape[:2]
    ratio = min(least / height, MAX_ENLARGED_WIDTH / width)
    if ratio > 1:
        return resize(image, (max(1, round(width * ratio)), max(1, round(height * ratio))))
    return shrink(image, most)


def resize(image: Image, size: tuple[int, int]) -> Image:
    """To `size` (width, height)."""
    # Area averaging takes 14 ms for 1408 x 1408, linear 1; below a half, linear skips pixels.
    halved = 2 * size[0] <= image.shape[1] and 2 * size[1] <= image.shape[0]
    method = cv2.INTER_AREA if halved else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, size, interpolation=method), dtype=np.uint8)


def fit_inside(image: Image, size: tuple[int, int]) -> Image:
    """The picture inside `size` (width, height): scaled, with black bars for another shape."""
    height, width = image.shape[:2]
    if (width, height) == size:
        return image
    ratio = min(size[0] / width, size[1] / height)
    inner = (max(1, round(width * ratio)), max(1, round(height * ratio)))
    # One pixel off is rounding to an even side, not another shape.
    if abs(inner[0] - size[0]) <= 2 and abs(inner[1] - size[1]) <= 2:
        return resize(image, size)
    canvas = np.zeros((size[1], size[0], 3), np.uint8)
    x, y = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    canvas[y : y + inner[1], x : x + inner[0]] = resize(image, inner)
    return canvas
