"""Pictures as glasses take them: wide, distorted, dim, and many small things in one view.

Photographs of COCO's kind show one thing large in the middle; a head camera shows a whole table
from above through a fisheye lens. These scenes paste many small cut-outs over backdrops, bend the
picture as such a lens does, and then show all of it or a window of it, as several looks at one
frame do when the model answers.
"""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from foveal.training.data.compositing import develop, place
from foveal.training.data.scenes import SIZE, LabelledScene, NamedThing, PasteObject, Rng
from stream.frame import Image, Mask

LARGE = (2 * SIZE[0], 2 * SIZE[1])  # composed at twice the size: a window is still sharp
SCALES = (0.08, 0.42)  # of the picture's height
COUNTS = (3, 9)
BENT, ROUND, WHOLE = 0.6, 0.7, 0.5  # shares: bent by a lens, of those dark outside, shown whole
DIM = (0.7, 2.0)  # gamma
LEAST_SHARE = 0.003  # of the picture that a thing must cover to be asked for


def compose_wide(
    backdrop: LabelledScene, cuts: Mapping[str, Sequence[PasteObject]], rng: Rng
) -> LabelledScene:
    """Many small cut-outs over a backdrop, through a lens; masks are what stays visible.

    The backdrop's own things keep their names.
    """
    canvas, layers = _enlarged(backdrop, rng)
    kinds = list(cuts)
    for _ in range(int(rng.integers(*COUNTS))):
        pool = cuts[kinds[int(rng.integers(len(kinds)))]]
        cut = pool[int(rng.integers(len(pool)))]
        paint, alpha = place(cut, rng, LARGE, SCALES)
        canvas = canvas * (1 - alpha[..., None]) + paint * alpha[..., None]
        layers = [(mask & (alpha < 0.5), names) for mask, names in layers]
        layers.append((alpha >= 0.5, cut.names))
    image = np.clip(canvas, 0, 255).astype(np.uint8)
    if rng.random() < BENT:
        image, layers = _bend(image, layers, rng)
    rows, cols = _window(rng)

    def shown(plane: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        part = np.ascontiguousarray(plane[rows, cols])
        return np.asarray(cv2.resize(part, SIZE[::-1], interpolation=cv2.INTER_AREA), np.uint8)

    small = [(shown(mask.astype(np.uint8) * 255) >= 128, names) for mask, names in layers]
    things = tuple(NamedThing(mask, names) for mask, names in small if mask.mean() >= LEAST_SHARE)
    return LabelledScene(develop(shown(image).astype(float), rng, DIM), things, closed=False)


def _enlarged(
    scene: LabelledScene, rng: Rng
) -> tuple[npt.NDArray[np.float64], list[tuple[Mask, tuple[str, ...]]]]:
    """Most of a backdrop at the large size, mirrored at times, with its things."""
    height, width = scene.image.shape[:2]
    share = float(rng.uniform(0.75, 1.0))
    rows, cols = int(height * share), int(width * share)
    top, left = int(rng.integers(0, height - rows + 1)), int(rng.integers(0, width - cols + 1))
    flip = -1 if rng.random() < 0.5 else 1

    def cut(plane: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        part = np.ascontiguousarray(plane[top : top + rows, left : left + cols][:, ::flip])
        return np.asarray(cv2.resize(part, LARGE[::-1], interpolation=cv2.INTER_LINEAR), np.uint8)

    layers = [(cut(t.mask.astype(np.uint8) * 255) >= 128, t.names) for t in scene.things]
    return cut(scene.image).astype(np.float64), layers


def _bend(
    image: Image, layers: Sequence[tuple[Mask, tuple[str, ...]]], rng: Rng
) -> tuple[Image, list[tuple[Mask, tuple[str, ...]]]]:
    """Barrel distortion (r -> r (1 + k r^2)), at times with darkness outside the lens' circle."""
    height, width = image.shape[:2]
    radius = float(rng.uniform(0.5, 0.68)) * width
    strength = float(rng.uniform(0.15, 0.9))
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    y, x = (y - height / 2) / radius, (x - width / 2) / radius
    far = x * x + y * y
    # At the circle's edge the source lies as far out as the picture reaches.
    grown = (1 + strength * far) / (1 + strength) * (0.5 * width / radius) * 1.1
    maps = (x * grown * radius + width / 2, y * grown * radius + height / 2)
    dark = rng.random() < ROUND
    border = cv2.BORDER_CONSTANT if dark else cv2.BORDER_REFLECT
    bent = np.asarray(cv2.remap(image, *maps, cv2.INTER_LINEAR, borderMode=border), np.uint8)
    if dark:
        bent[far > 1] = 0

    def through(mask: Mask) -> Mask:
        moved = cv2.remap(
            mask.astype(np.uint8), *maps, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT
        )
        inside: Mask = np.asarray(moved > 0)
        return np.asarray(inside & (far <= 1)) if dark else inside

    return bent, [(through(mask), names) for mask, names in layers]


def _window(rng: Rng) -> tuple[slice, slice]:
    """All of the large picture, or a part of it of the same shape."""
    share = 1.0 if rng.random() < WHOLE else float(rng.uniform(0.42, 0.95))
    rows, cols = int(LARGE[0] * share), int(LARGE[1] * share)
    top, left = int(rng.integers(LARGE[0] - rows + 1)), int(rng.integers(LARGE[1] - cols + 1))
    return slice(top, top + rows), slice(left, left + cols)
