"""Where an object may be, on the grid of dense features: label propagation from its memory."""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from perception.propagation import PropagationConfig, propagate, propagate_everywhere

TINY_LABEL = 1e-3  # soft labels below this are nothing
REACH = 3  # cells around the expected mask that are matched


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """An object as one frame showed it."""

    key: torch.Tensor  # [C, h, w] L2-normalised dense features of that frame
    label: torch.Tensor  # [h, w] float32 soft mask there
    centre: tuple[float, float]  # row, column of that mask, in cells


@dataclass(frozen=True, slots=True, eq=False)
class Match:
    """Soft labels [h, w] found in the first look, in the recent frames, and in both."""

    first: torch.Tensor
    recent: torch.Tensor
    both: torch.Tensor


def make_look(key: torch.Tensor, label: torch.Tensor) -> Look:
    """Remember a soft mask on its frame's features."""
    return Look(key, label, centre_of(label))


def centre_of(label: torch.Tensor) -> tuple[float, float]:
    """Row and column of a soft mask's middle, in cells."""
    weight = label / label.sum().clamp(min=1e-6)
    rows = torch.arange(label.shape[0], device=label.device, dtype=label.dtype)
    cols = torch.arange(label.shape[1], device=label.device, dtype=label.dtype)
    return float((weight.sum(1) * rows).sum()), float((weight.sum(0) * cols).sum())


def match_near(
    key: torch.Tensor,
    expected: torch.Tensor,
    looks: list[Look],
    first_weight: float,
    config: PropagationConfig,
) -> Match:
    """Carry the labels of looks (the first look first) to places near the expected mask [h, w].

    Every look is moved by whole cells to where the object is expected, so that the window only has
    to cover what is not known of its motion.
    """
    near = F.max_pool2d((expected > 0.05).float()[None], 2 * REACH + 1, 1, REACH)[0] > 0
    blank = torch.zeros_like(expected)
    if not near.any():
        return Match(blank, blank, blank)
    rows, cols = near.any(1).nonzero()[:, 0], near.any(0).nonzero()[:, 0]
    r = config.radius
    top, left = int(rows[0]) - r, int(cols[0]) - r
    height, width = int(rows[-1]) + r + 1 - top, int(cols[-1]) + r + 1 - left
    centre = centre_of(expected)
    keys, values = [], []
    for look in looks:
        down, right = round(centre[0] - look.centre[0]), round(centre[1] - look.centre[1])
        place = (top - down, left - right, height, width)
        keys.append(_cut(look.key, *place))
        values.append(_cut(torch.stack([look.label, torch.ones_like(look.label)]), *place))
    own = (top, left, height, width)
    wanted = _cut(near[None].float(), *own)[0] > 0
    sums = propagate(_cut(key, *own), torch.stack(keys), torch.stack(values), config, wanted)
    recent = sums[1:].sum(0)
    parts = (sums[0], recent, recent + first_weight * sums[0])
    return Match(*(_back(part, top, left, near) for part in parts))


def match_anywhere(key: torch.Tensor, look: Look, temperature: float) -> torch.Tensor:
    """[h, w] soft label of one look, searched in the whole picture at half resolution."""
    if min(key.shape[-2:]) < 4:
        small = key, look.key, look.label
    else:
        small = _half(key), _half(look.key), F.avg_pool2d(look.label[None], 2)[0]
    values = torch.stack([small[2], torch.ones_like(small[2])])
    sums = propagate_everywhere(small[0], small[1], values, temperature)
    found = _main_blob(sums[0] / (sums[1] + 1e-12))
    size = (key.shape[-2], key.shape[-1])
    return F.interpolate(found[None, None], size, mode="bilinear", align_corners=False)[0, 0]


def regrid(maps: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """[..., h, w] -> another grid."""
    flat = maps.reshape(1, -1, *maps.shape[-2:]).float()
    out = F.interpolate(flat, size, mode="bilinear", align_corners=False)
    return out.reshape(*maps.shape[:-2], *size).to(maps.dtype)


def _back(part: torch.Tensor, top: int, left: int, near: torch.Tensor) -> torch.Tensor:
    """[2, h, w] numerator and normaliser of a cut -> the whole grid's soft label."""
    soft = part[0] / (part[1] + 1e-12)
    whole = _cut(soft[None], -top, -left, *near.shape)[0]
    return torch.where(near & (whole >= TINY_LABEL), whole, torch.zeros_like(whole))


def _cut(maps: torch.Tensor, top: int, left: int, height: int, width: int) -> torch.Tensor:
    """A rectangle of [C, h, w] maps; what lies outside is zero."""
    rows, cols = maps.shape[-2:]
    y0, y1 = min(max(top, 0), rows), min(max(top + height, 0), rows)
    x0, x1 = min(max(left, 0), cols), min(max(left + width, 0), cols)
    out = maps.new_zeros(maps.shape[0], height, width)
    if y1 > y0 and x1 > x0:
        out[:, y0 - top : y1 - top, x0 - left : x1 - left] = maps[:, y0:y1, x0:x1]
    return out


def _half(key: torch.Tensor) -> torch.Tensor:
    return F.normalize(F.avg_pool2d(key[None].float(), 2)[0], dim=0)


def _main_blob(soft: torch.Tensor) -> torch.Tensor:
    """Keep the largest connected part, so that a look-alike elsewhere is not taken in."""
    inside = (soft >= 0.5).cpu().numpy().astype(np.uint8)
    count, marks, stats, _ = cv2.connectedComponentsWithStats(inside)
    if count <= 1:
        return torch.zeros_like(soft)
    main = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    keep = cv2.dilate((marks == main).astype(np.uint8), np.ones((3, 3), np.uint8))
    return soft * torch.from_numpy(keep).to(soft)
