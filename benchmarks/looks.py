"""Instances by their look, for benchmarks.region_retrieval: DAVIS objects among other things."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.intervals import add, mean
from benchmarks.region_sets import AskedRegion, hue_histogram, instances
from perception.features.backbone import Backbone
from retrieval.encoders.appearance import PooledFeatures, SignAppearance, likeness
from retrieval.encoders.joint import JointEncoder
from retrieval.encoders.text import Vectors, unit_rows
from stream.crops import region_views
from stream.frame import Image, Mask

Rows = dict[str, dict[str, float | int | None]]


def look_rows(
    data: Path, backbone: Backbone, encoder: JointEncoder, asked: Sequence[AskedRegion]
) -> Rows:
    """Mean average precision of finding an instance again, by what is compared."""
    if not (data / "davis").is_dir():
        return {}

    def pooled(images: Sequence[Image]) -> Vectors:
        return np.asarray(backbone.pooled(images).cpu().numpy(), np.float32)

    sights = [(name, at, image, mask) for name, at, image, mask in instances(data)]
    others = [("", 1.0, one.image, one.mask) for one in asked if one.group == "photographs"]
    first = [sight for sight in sights if sight[1] <= 0.25]
    shelf = [sight for sight in sights if sight[1] >= 0.5] + others
    signs = SignAppearance(pooled)
    bits = np.array([np.frombuffer(signs.look(*sight[2:]), np.uint8) for sight in shelf])
    features = np.array([_features(pooled, *sight[2:]) for sight in shelf])
    meanings = encoder.encode_regions([s[2] for s in shelf], [s[3] for s in shelf])
    hues = np.array([hue_histogram(*sight[2:]) for sight in shelf])
    ways: dict[str, Callable[[Image, Mask], npt.NDArray[np.floating]]] = {
        "sign bits": lambda image, mask: likeness(bits, signs.look(image, mask)),
        "features": lambda image, mask: features @ _features(pooled, image, mask),
        "meaning (ConSE)": lambda image, mask: (
            meanings @ encoder.encode_regions([image], [mask])[0]
        ),
        "hue": lambda image, mask: np.minimum(hues, hue_histogram(image, mask)).sum(axis=1),
    }
    rows: Rows = {}
    for name, likeness_of in ways.items():
        ranked = [
            precision([shelf[n][0] == sight[0] for n in np.argsort(-likeness_of(*sight[2:]))])
            for sight in first
        ]
        clips = [sight[0] for sight in first]
        row = rows[f"look: {name}"] = {}
        add(row, "map", clips, partial(mean, np.array([one[0] for one in ranked])))
        add(row, "recall_at_1", clips, partial(mean, np.array([one[1] for one in ranked])))
    return rows


def _features(pooled: PooledFeatures, image: Image, mask: Mask) -> Vectors:
    views = unit_rows(pooled(region_views(image, mask)))
    return np.asarray(unit_rows(views.mean(axis=0, keepdims=True))[0])


def precision(right: Sequence[bool]) -> tuple[float, float]:
    """Average precision of a ranking, and whether its first is right."""
    places = np.flatnonzero(right)
    return float(np.mean(np.arange(1, len(places) + 1) / (places + 1))), float(right[0])
