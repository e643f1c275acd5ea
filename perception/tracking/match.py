"""Where an object is on the grid of dense features: labels read from its memory.

Every cell near the expected mask is compared with the remembered cells in and around the object,
and takes over their labels (a memory read as in STM, Oh et al. 2019). Cells that lie elsewhere on
the object count less: places are compared in units of the object's own size, so that the prior
holds while it grows.

Products run in the features' own type. Half precision is twice as fast, and loses nothing that
counts: exponents are shifted so that good matches lie near zero, where it is finest. They run in
blocks of few shapes, because oneDNN keeps compiled code, about a megabyte, for every shape it met.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from perception.tracking.settings import MatchConfig
from stream.geometry import components

TINY_LABEL = 1e-3  # soft labels below this are nothing
EPS = 1e-12
STEP = 128  # queries are padded to a multiple of this
QUERIES, CELLS = 256, 512  # rows of a block of products


@dataclass(frozen=True, slots=True, eq=False)
class MemoryFrame:
    """An object as one frame showed it."""

    key: torch.Tensor  # [C, h, w] L2-normalised features of that frame
    label: torch.Tensor  # [h, w] float32 soft mask there
    cells: torch.Tensor  # [M, C + 4] like the key: features in and around the mask, place, prior, 1
    labels: torch.Tensor  # [M, 2] like the key: label of those cells, and 1


def memory_frame(key: torch.Tensor, label: torch.Tensor, config: MatchConfig) -> MemoryFrame:
    """Remember a soft mask on its frame's features."""
    cells = _near(label, config.ring).flatten().nonzero()[:, 0]
    cells = cells[:: 1 + (len(cells) - 1) // config.max_cells]
    place = _places(cells, label)
    far = -0.5 * place.square().sum(1, keepdim=True)
    features = key.flatten(1)[:, cells].T.float()
    labels = label.flatten()[cells]
    ones = torch.ones_like(far)
    table = torch.cat([features, place, far, ones], 1).to(key.dtype)
    return MemoryFrame(key, label, table, torch.stack([labels, ones[:, 0]], 1).to(key.dtype))


def match_near(
    key: torch.Tensor, expected: torch.Tensor, frames: list[MemoryFrame], config: MatchConfig
) -> torch.Tensor:
    """What memory frames, the first one first, say of the cells of a key [C, h, w] near a mask.

    [3, h, w] float32, zero elsewhere: label from all frames, label from the first frame alone,
    best cosine to a remembered cell of the object.
    """
    wanted = _near(expected, config.reach).flatten().nonzero()[:, 0]
    if len(wanted) == 0:
        return torch.stack([torch.zeros_like(expected)] * 3)
    asked = wanted if len(wanted) <= config.max_queries else _every_other(wanted, expected)
    queries = _padded([_queries(key, asked, expected, config)], STEP)
    columns = [
        F.pad(frame.labels, (2, 0) if number else (0, 2)) for number, frame in enumerate(frames)
    ]
    sums = _read(queries, [frame.cells for frame in frames], columns)[: len(asked)]
    first, rest = sums[:, :2], sums[:, 2:]
    both = config.first_weight * first + rest
    label = both[:, 0] / (both[:, 1] + EPS)
    surety = 1 + config.temperature * torch.log(both[:, 0] + EPS)
    parts = torch.stack([label, first[:, 0] / (first[:, 1] + EPS), surety.clamp(0, 1)])
    maps = _back(parts, asked, expected)
    return maps if asked is wanted else _fill(maps, asked, wanted, expected)


def _every_other(cells: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """The cells on the white squares of a chequerboard."""
    width = like.shape[-1]
    return cells[(cells // width + cells % width) % 2 == 0]


def _fill(
    maps: torch.Tensor, known: torch.Tensor, wanted: torch.Tensor, like: torch.Tensor
) -> torch.Tensor:
    """[3, h, w]: cells that are wanted and not known get the mean of the known ones beside them."""
    there = _mark(known, like)
    missing = _mark(wanted, like) - there
    planes = torch.cat([maps, there[None]])[:, None]
    cross = planes.new_tensor([[0, 1, 0], [1, 0, 1], [0, 1, 0]])[None, None]
    around = F.conv2d(planes, cross, padding=1)[:, 0]
    return maps + missing * around[:3] / around[3].clamp(min=1)


def _mark(cells: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    flat = torch.zeros_like(like).flatten()
    flat[cells] = 1
    return flat.reshape(like.shape)


def _queries(
    key: torch.Tensor, wanted: torch.Tensor, expected: torch.Tensor, config: MatchConfig
) -> torch.Tensor:
    """[Q, C + 4]: with remembered cells they give (cosine - 1) / T and the prior's logarithm."""
    precision = max(config.spread, config.min_spread / _size(expected)) ** -2
    place = _places(wanted, expected)
    sharp = key.flatten(1)[:, wanted].T.float() / config.temperature
    far = -0.5 * precision * place.square().sum(1, keepdim=True) - 1 / config.temperature
    rows = [sharp, precision * place, torch.full_like(far, precision), far]
    return torch.cat(rows, 1).to(key.dtype)


def _read(
    queries: torch.Tensor, cells: list[torch.Tensor], labels: list[torch.Tensor]
) -> torch.Tensor:
    """[Q, n] float32: labels [M, n] of cells [M, c], summed with exp(query . cell) as weights."""
    keys, values = (torch.split(_padded(part, CELLS), CELLS) for part in (cells, labels))
    rows = []
    for some in torch.split(queries, QUERIES):
        parts = [torch.exp_(some @ k.T) @ v for k, v in zip(keys, values, strict=True)]
        rows.append(torch.stack(parts).sum(0, dtype=torch.float32))
    return torch.cat(rows)


def _nearest(queries: torch.Tensor, cells: torch.Tensor) -> torch.Tensor:
    """[Q] float32: the largest product of each query with any of the cells [M, c]."""
    repeated = torch.arange(-(-len(cells) // CELLS) * CELLS, device=cells.device) % len(cells)
    blocks = torch.split(cells[repeated], CELLS)
    return torch.cat(
        [
            torch.stack([(some @ block.T).amax(1) for block in blocks]).amax(0).float()
            for some in torch.split(queries, QUERIES)
        ]
    )


def _padded(tables: list[torch.Tensor], step: int) -> torch.Tensor:
    """Tables one below the other, with rows of zeros up to a multiple of `step`."""
    missing = -sum(len(table) for table in tables) % step
    return torch.cat([*tables, tables[0].new_zeros(missing, tables[0].shape[1])])


def match_anywhere(
    key: torch.Tensor, frames: list[MemoryFrame], temperature: float, areas: tuple[float, float]
) -> tuple[torch.Tensor, float]:
    """[h, w] soft label of memory frames and all around them, and how sure it is (a cosine).

    The whole picture is searched. Of the connected parts whose area, in cells, lies in `areas`,
    the one that looks most like the object is kept; where there is none the map is zero.
    """
    tables = [_whole(frame) for frame in frames]
    flat = key.flatten(1).T.float() / temperature
    shifted = torch.cat([flat, torch.full_like(flat[:, :1], -1 / temperature)], 1)
    queries = _padded([shifted.to(key.dtype)], STEP)  # products are (cosine - 1) / T
    summed = _read(queries, [cells for cells, _ in tables], [labels for _, labels in tables])
    soft = summed[:, 0] / (summed[:, 1] + EPS)
    inside = torch.cat([cells[labels[:, 0] > 0.5] for cells, labels in tables])
    surety = torch.zeros_like(soft)
    if len(inside):
        surety = (1 + temperature * _nearest(queries, inside)).clamp(min=0)
    size = key.shape[-2:]
    soft, surety = (part[: len(flat)].reshape(size) for part in (soft, surety))
    return _best_part(soft, surety, areas)


def _whole(frame: MemoryFrame) -> tuple[torch.Tensor, torch.Tensor]:
    """[N, C + 1], [N, 2]: cells in and around the object, and the rest of its frame, coarser."""
    pooled = F.normalize(_pool(frame.key.float()), dim=0).flatten(1).T
    ground = pooled[_pool(frame.label[None]).flatten() < 0.02]
    ones = ground.new_ones(len(ground), 1)
    near = torch.cat([frame.cells[:, :-4], frame.cells[:, -1:]], 1)
    around = torch.cat([ground, ones], 1).to(near.dtype)
    labels = torch.cat([torch.zeros_like(ones), ones], 1).to(near.dtype)
    return torch.cat([near, around]), torch.cat([frame.labels, labels])


def regrid(maps: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """[..., h, w] -> another grid."""
    flat = maps.reshape(1, -1, *maps.shape[-2:]).float()
    out = F.interpolate(flat, size, mode="bilinear", align_corners=False)
    return out.reshape(*maps.shape[:-2], *size).to(maps.dtype)


def _near(label: torch.Tensor, reach: int) -> torch.Tensor:
    return F.max_pool2d((label > 0.05).float()[None], 2 * reach + 1, 1, reach)[0] > 0


def _size(label: torch.Tensor) -> float:
    """Side, in cells, of a square as large as the soft mask."""
    return math.sqrt(max(1.0, float(label.sum())))


def _places(cells: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """[M] cells -> [M, 2] from the soft mask's middle, in sizes of it."""
    height, width = label.shape
    weight = label / label.sum().clamp(min=1e-6)
    rows = torch.arange(height, device=label.device, dtype=torch.float32)
    cols = torch.arange(width, device=label.device, dtype=torch.float32)
    middle = torch.stack([(weight.sum(1) * rows).sum(), (weight.sum(0) * cols).sum()])
    grid = torch.stack([cells // width, cells % width], 1)
    return (grid - middle) / _size(label)


def _back(parts: torch.Tensor, cells: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """[n, M] -> [n, h, w], zero elsewhere."""
    whole = like.new_zeros(len(parts), like.numel())
    whole[:, cells] = torch.where(parts >= TINY_LABEL, parts, torch.zeros_like(parts))
    return whole.reshape(len(parts), *like.shape)


def _pool(maps: torch.Tensor) -> torch.Tensor:
    """[..., h, w] at half resolution, where there is enough of it."""
    return F.avg_pool2d(maps, 2) if min(maps.shape[-2:]) >= 4 else maps


def _best_part(
    soft: torch.Tensor, surety: torch.Tensor, areas: tuple[float, float]
) -> tuple[torch.Tensor, float]:
    """Keep one connected part, so that a look-alike elsewhere is not taken in."""
    marks, sizes = components((soft >= 0.5).cpu().numpy())
    parts = torch.from_numpy(marks).to(soft.device)
    fitting = [
        (float((soft * surety)[parts == part].mean()), part)
        for part in range(1, len(sizes))
        if areas[0] <= sizes[part] <= areas[1]
    ]
    if not fitting:
        return torch.zeros_like(soft), 0.0
    _, best = max(fitting)
    near = cv2.dilate((marks == best).astype(np.uint8), np.ones((3, 3), np.uint8))
    return soft * torch.from_numpy(near).to(soft), float(surety[parts == best].mean())
