"""Things that stand out in a picture, without names: spectral grouping of the shared features.

Deep spectral methods (Melas-Kyriazi et al., 2022): cells that look alike and lie close are joined
by a graph whose Laplacian's first eigenvectors separate things from their surroundings.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from perception.features.backbone import Features
from perception.masks.grabcut import refine_seed
from stream.frame import Image, Mask, SoftMask
from stream.geometry import components, share_inside

COVERED = 0.6  # share of a proposal inside a masklet from which it is that masklet

Cells = npt.NDArray[np.int32]  # [h, w] group numbers


@dataclass(frozen=True, slots=True)
class ProposalConfig:
    """How things are proposed; shares are of the picture."""

    rows: int = 18  # of the graph's grid; its cost grows with the fourth power
    groups: int = 9
    eigenvectors: int = 7
    min_area: float = 0.006
    max_area: float = 0.4
    limit: int = 5


@dataclass(frozen=True, slots=True, eq=False)
class Proposal:
    """A region that may be a thing."""

    mask: Mask  # [H, W]
    saliency: float  # 0..1


def propose(
    image: Image,
    features: Features,
    config: ProposalConfig | None = None,
    known: Sequence[Mask] = (),
) -> tuple[Proposal, ...]:
    """At most `limit` things of a [H, W, 3] picture, most salient first.

    Those that lie inside one of the `known` masks [H, W] count, but are not worked out or given.
    """
    config = config or ProposalConfig()
    cells = _reduce(features.dense, config.rows).cpu()  # few: eigenvectors are quicker there
    groups = _group(cells, config)
    found: list[tuple[float, SoftMask]] = []
    for number in range(int(groups.max()) + 1):
        for part in _parts(groups == number):
            score = _saliency(part, cells, config)
            if score > 0:
                found.append((score, part.astype(np.float32)))
    found.sort(key=lambda pair: -pair[0])
    covers = [_cover(mask, groups.shape) for mask in known]
    kept: list[Proposal] = []
    skipped = 0
    for score, seed in found:
        if len(kept) + skipped >= config.limit:
            break
        if any(float((seed * cover).sum()) >= COVERED * float(seed.sum()) for cover in covers):
            skipped += 1
            continue
        mask = refine_seed(image, seed)
        if mask.any() and not any(_same(mask, other.mask) for other in kept):
            kept.append(Proposal(mask, score))
    return tuple(kept)


def _cover(mask: Mask, shape: tuple[int, ...]) -> SoftMask:
    """Share of each cell that a mask holds."""
    size = (shape[1], shape[0])
    return np.asarray(
        cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA), np.float32
    )


def _reduce(dense: torch.Tensor, rows: int) -> torch.Tensor:
    """[C, h, w] -> [C, rows, cols], L2-normalised after removing the picture's mean look."""
    cols = max(2, round(rows * dense.shape[-1] / dense.shape[-2]))
    small = F.adaptive_avg_pool2d(dense[None], (rows, cols))[0]
    return F.normalize(small - small.mean(dim=(1, 2), keepdim=True), dim=0)


def _group(cells: torch.Tensor, config: ProposalConfig) -> Cells:
    """Normalised cut into groups: k-means on the Laplacian's first eigenvectors."""
    channels, rows, cols = cells.shape
    flat = cells.reshape(channels, -1)
    # float32 halves the time of the eigenvectors, and k-means needs no more.
    affinity = (flat.T @ flat).clamp(min=0).float()
    row = torch.arange(rows).repeat_interleave(cols).float() / rows
    col = torch.arange(cols).repeat(rows).float() / rows
    gap = (row[:, None] - row[None]) ** 2 + (col[:, None] - col[None]) ** 2
    affinity = affinity * torch.exp(-gap / (2 * 0.25**2)) + 1e-6
    scale = affinity.sum(1).rsqrt()
    _, vectors = torch.linalg.eigh(scale[:, None] * affinity * scale[None])
    taken = vectors[:, -config.eigenvectors - 1 : -1] * scale[:, None]
    points = F.normalize(taken, dim=1).numpy()
    cv2.setRNGSeed(0)  # the same picture, the same groups
    stop = (cv2.TERM_CRITERIA_MAX_ITER | cv2.TERM_CRITERIA_EPS, 30, 1e-4)
    count = min(config.groups, len(points))
    _, labels, _ = cv2.kmeans(points, count, None, stop, 2, cv2.KMEANS_PP_CENTERS)
    return np.asarray(labels.reshape(rows, cols), np.int32)


def _parts(group: Mask) -> list[Mask]:
    """Connected parts of at least two cells."""
    labels, areas = components(group, 4)
    return [np.asarray(labels == n) for n in range(1, len(areas)) if areas[n] >= 2]


def _saliency(part: Mask, cells: torch.Tensor, config: ProposalConfig) -> float:
    """0..1: unlike its surroundings, off the border, near the centre; 0 for a wrong size."""
    share = float(part.mean())
    if not config.min_area <= share <= config.max_area:
        return 0.0
    rows, cols = part.shape
    edge = np.concatenate([part[0], part[-1], part[:, 0], part[:, -1]]).mean()
    ys, xs = np.nonzero(part)
    off_x, off_y = xs.mean() / max(1, cols - 1) - 0.5, ys.mean() / max(1, rows - 1) - 0.5
    centre = float(np.exp(-(off_x**2 + off_y**2) / (2 * 0.3**2)))
    inside = torch.from_numpy(part)
    look = F.normalize(cells[:, inside].mean(1), dim=0)
    ring = cv2.dilate(part.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    around = torch.from_numpy(ring & ~part)
    near = float((look @ cells[:, around]).mean()) if bool(around.any()) else 1.0
    own = float((look @ cells[:, inside]).mean())
    contrast = max(0.0, min(1.0, own - near))
    return float(
        contrast * centre * max(0.0, 1 - 2.5 * float(edge)) * min(1.0, share / 0.02) ** 0.5
    )


def _same(mask: Mask, other: Mask) -> bool:
    """Whether half of one of them lies in the other."""
    return max(share_inside(mask, other), share_inside(other, mask)) >= 0.5
