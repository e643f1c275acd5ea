"""Scenes made of scenes: crops of photographs, and cut-outs pasted over backdrops."""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from foveal.training.data.scenes import MIN_SHARE, SIZE, LabelledScene, NamedThing, PasteObject, Rng
from stream.frame import Image


def compose(
    backdrop: LabelledScene, cuts: Mapping[str, Sequence[PasteObject]], rng: Rng
) -> LabelledScene:
    """One to four cut-outs over a backdrop, later ones in front; masks are what stays visible.

    The backdrop's own things keep their names. `cuts` is by name: a name is drawn first, so that
    the many persons do not crowd out the rest.
    """
    base = vary(backdrop, rng)
    canvas = base.image.astype(np.float64)
    layers = [(thing.mask, thing.names) for thing in base.things]
    kinds = list(cuts)
    for _ in range(int(rng.integers(1, 5))):
        pool = cuts[kinds[int(rng.integers(len(kinds)))]]
        cut = pool[int(rng.integers(len(pool)))]
        paint, alpha = place(cut, rng)
        canvas = canvas * (1 - alpha[..., None]) + paint * alpha[..., None]
        layers = [(mask & (alpha < 0.5), names) for mask, names in layers]
        layers.append((alpha >= 0.5, cut.names))
    things = tuple(NamedThing(mask, names) for mask, names in layers if mask.mean() >= MIN_SHARE)
    return LabelledScene(develop(canvas, rng), things, closed=False)


def vary(scene: LabelledScene, rng: Rng) -> LabelledScene:
    """A crop of a photograph at the training size: mirrored, relit."""
    height, width = scene.image.shape[:2]
    share = float(rng.uniform(0.55, 1.0))
    rows, cols = int(height * share), int(width * min(1.0, share * rng.uniform(0.9, 1.1)))
    top, left = int(rng.integers(0, height - rows + 1)), int(rng.integers(0, width - cols + 1))
    flip = -1 if rng.random() < 0.5 else 1

    def cut(plane: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        part = np.ascontiguousarray(plane[top : top + rows, left : left + cols][:, ::flip])
        return np.asarray(cv2.resize(part, (SIZE[1], SIZE[0]), interpolation=cv2.INTER_AREA))

    things = tuple(
        NamedThing(mask, thing.names)
        for thing in scene.things
        if (mask := cut(thing.mask.astype(np.uint8) * 255) >= 128).mean() >= MIN_SHARE / 2
    )
    return LabelledScene(develop(cut(scene.image).astype(float), rng), things, scene.closed)


def place(
    cut: PasteObject,
    rng: Rng,
    frame: tuple[int, int] = SIZE,
    scales: tuple[float, float] = (0.2, 0.75),
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """A cut-out somewhere in a frame: colours [H, W, 3] and opacity [H, W].

    `scales` are the least and largest longer side as shares of the frame's height.
    """
    rows, cols = cut.alpha.shape
    scale = float(rng.uniform(*scales)) * frame[0] / max(rows, cols)
    angle = float(rng.normal(0, 14))
    turn = cv2.getRotationMatrix2D((cols / 2, rows / 2), angle, scale)
    turn[:, 2] += [
        rng.uniform(0.1, 0.9) * frame[1] - cols / 2,
        rng.uniform(0.15, 0.85) * frame[0] - rows / 2,
    ]
    size = (frame[1], frame[0])
    paint, alpha = cut.image, cut.alpha
    if rng.random() < 0.5:
        paint, alpha = np.ascontiguousarray(paint[:, ::-1]), np.ascontiguousarray(alpha[:, ::-1])
    colours = cv2.warpAffine(paint, turn, size, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REFLECT)
    soft = cv2.warpAffine(alpha, turn, size, flags=cv2.INTER_AREA).astype(np.float32) / 255
    soft = cv2.GaussianBlur(soft, (3, 3), 0)
    gain = float(np.exp(rng.normal(0, 0.15)))
    return np.asarray(colours * gain, np.float32), np.asarray(soft, np.float32)


def develop(
    canvas: npt.NDArray[np.float64], rng: Rng, gamma: tuple[float, float] = (0.7, 1.5)
) -> Image:
    """Light, grain and blur as a head camera has them."""
    out = 255 * (np.clip(canvas, 0, 255) / 255) ** float(rng.uniform(*gamma))
    if rng.random() < 0.3:
        out = cv2.GaussianBlur(out, (0, 0), float(rng.uniform(0.5, 1.4)))
    out = out + rng.normal(0, float(rng.uniform(0, 4)), out.shape)
    return np.clip(out, 0, 255).astype(np.uint8)
