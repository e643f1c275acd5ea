"""Samples that the tracker's head learns from: how they are kept, varied and scored."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from perception.tracking.cues import Cues
from perception.tracking.head import CHANNELS, cue_planes
from perception.tracking.roi import sample_cells
from stream.frame import SoftMask

# How often a map is hidden: both, first, moved, residual, odds, surety.
DROP = (0.05, 0.1, 0.1, 0.0, 0.15, 0.1)
DENSE_DROP = 0.1  # how often the features are hidden
DENSE_SCALE = 254.0  # features are parts of unit vectors: none reaches a half
ROUGH = 0.4  # weight of the loss of the rough mask


@dataclass(frozen=True, slots=True, eq=False)
class CueSample:
    """One object in one frame, as the tracker saw it, with the truth."""

    maps: npt.NDArray[np.uint8]  # [CHANNELS + 1, ROI, ROI] cues, then the true mask; 0..255
    dense: torch.Tensor  # [C, 32, 32] int8, features times DENSE_SCALE


@dataclass(frozen=True, slots=True, eq=False)
class CueBatch:
    """Varied samples."""

    planes: torch.Tensor  # [N, CHANNELS, s, s] float32, -1..1
    dense: torch.Tensor  # [N, C, s / 4, s / 4] float32
    truth: torch.Tensor  # [N, s, s] 0..1


def keep(cues: Cues, truth: SoftMask) -> CueSample:
    """A quarter of the memory that floats would take."""
    planes = np.concatenate([cue_planes([cues])[0].numpy() * 0.5 + 0.5, truth[None]])
    maps = np.clip(np.round(planes * 255), 0, 255).astype(np.uint8)
    cells = sample_cells(cues.key.float(), [cues.window])[0]
    dense = (cells * DENSE_SCALE).round().clamp(-127, 127).to(torch.int8)
    return CueSample(maps, dense)


def augment(samples: list[CueSample]) -> CueBatch:
    """Other colours, hidden cues, mirrored, turned and scaled."""
    maps = torch.from_numpy(np.stack([sample.maps for sample in samples])).float() / 255
    dense = torch.stack([sample.dense for sample in samples]).float() / DENSE_SCALE
    count = len(samples)
    gone = torch.rand(count, 1, 1, 1) < DENSE_DROP
    dense = torch.where(gone, torch.zeros_like(dense), dense)
    dense = dense * (1 + 0.1 * torch.randn(count, dense.shape[1], 1, 1))
    whole = torch.cat([_recolour(maps[:, :3]), _hide(maps[:, 3:CHANNELS]), maps[:, CHANNELS:]], 1)
    if torch.rand(1) < 0.5:
        whole, dense = whole.flip(3), dense.flip(3)
    if torch.rand(1) < 0.3:
        turns = _turns(count)
        whole, dense = _turned(whole, turns), _turned(dense, turns)
    planes, last = whole[:, :CHANNELS] * 2 - 1, torch.channels_last
    return CueBatch(
        planes.contiguous(memory_format=last),
        dense.contiguous(memory_format=last),
        whole[:, CHANNELS],
    )


def head_loss(logits: torch.Tensor, rough: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """[N, s, s], [N, s / 4, s / 4], [N, s, s] -> scalar.

    Binary cross-entropy and half of one minus the soft overlap; the rough mask by the former alone.
    """
    soft = torch.sigmoid(logits)
    both = (soft * truth).sum((1, 2))
    either = (soft + truth - soft * truth).sum((1, 2))
    overlap = 1 - (both + 50) / (either + 50)
    coarse = F.binary_cross_entropy_with_logits(rough, F.avg_pool2d(truth[:, None], 4)[:, 0])
    fine = F.binary_cross_entropy_with_logits(logits, truth)
    return fine + 0.5 * overlap.mean() + ROUGH * coarse


def _recolour(colour: torch.Tensor) -> torch.Tensor:
    count = len(colour)
    gain = torch.rand(count, 3, 1, 1) * 0.6 + 0.7
    out = (colour - 0.5) * gain + torch.rand(count, 3, 1, 1) * 0.3 + 0.35
    if torch.rand(1) < 0.4:  # a pasted border is too sharp to be trusted
        out = F.avg_pool2d(F.pad(out, (1, 1, 1, 1), mode="replicate"), 3, 1)
    return (out + torch.randn_like(out) * torch.rand(count, 1, 1, 1) * 0.03).clamp(0, 1)


def _hide(cues: torch.Tensor) -> torch.Tensor:
    """Replace a map by its stand-in now and then, so that no single cue is relied on."""
    both, first, _, residual, odds, surety = cues.unbind(1)
    blank = torch.full_like(odds, 0.5)
    stand_in = torch.stack([first, both, both, residual, blank, torch.full_like(surety, 0.8)], 1)
    hidden = (torch.rand(len(cues), 6, 1, 1) < torch.tensor(DROP).view(1, 6, 1, 1)).float()
    return cues * (1 - hidden) + stand_in * hidden


def _turns(count: int) -> torch.Tensor:
    scale = 1 + (torch.rand(count) - 0.6) * 0.4
    turn = (torch.rand(count) - 0.5) * 0.5
    matrix = torch.zeros(count, 2, 3)
    matrix[:, 0, 0], matrix[:, 1, 1] = scale, scale
    matrix[:, 0, 1], matrix[:, 1, 0] = turn, -turn
    matrix[:, :, 2] = (torch.rand(count, 2) - 0.5) * 0.2
    return matrix


def _turned(maps: torch.Tensor, turns: torch.Tensor) -> torch.Tensor:
    grid = F.affine_grid(turns, list(maps.shape), align_corners=False)
    return F.grid_sample(maps, grid, align_corners=False, padding_mode="border")
