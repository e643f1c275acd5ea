"""The mix of scenes that a training learns from."""

from dataclasses import dataclass

import numpy as np

from foveal.training.data.compositing import compose
from foveal.training.data.scenes import (
    LabelledScene,
    Sources,
    by_name,
    cut_outs,
    photographs,
    stamps,
)
from foveal.training.data.wide_scenes import compose_wide

WATCHED = 6  # one picture in so many is only watched
Mix = list[tuple[str, bool, LabelledScene]]  # kind, only watched, scene


@dataclass(frozen=True, slots=True)
class SceneOptions:
    """How many pictures are made."""

    photographs: int = 144
    composites: int = 200
    wide: int = 130
    seed: int = 0


def mixed_scenes(sources: Sources, options: SceneOptions) -> Mix:
    """Photographs as they are, composites and wide scenes, in a drawn order."""
    rng = np.random.default_rng(options.seed)
    photos = photographs(sources.coco, sources.coco128, without=sources.without)
    watched = [photo for n, photo in enumerate(photos) if n % WATCHED == 0]
    kept = [photo for n, photo in enumerate(photos) if n % WATCHED]
    chosen = [("photograph", True, p) for p in watched] + [("photograph", False, p) for p in kept]
    found = chosen[: options.photographs]
    for mine, hidden in ((kept, False), (watched, True)):
        cuts = cut_outs(mine)
        if sources.stamps is not None:  # every sixth stamp is only watched as well
            every = stamps(sources.stamps)
            cuts += [s for n, s in enumerate(every) if (n % WATCHED == 0) is hidden]
        part = WATCHED if hidden else 1
        table = by_name(cuts)
        for make, count in (
            (compose, options.composites // part),
            (compose_wide, options.wide // part),
        ):
            kind = "composite" if make is compose else "wide"
            for _ in range(count if table else 0):
                backdrop = mine[int(rng.integers(len(mine)))]
                found.append((kind, hidden, make(backdrop, table, rng)))
    order = np.random.default_rng((options.seed, 1)).permutation(len(found))
    return [found[n] for n in order if found[n][2].things]
