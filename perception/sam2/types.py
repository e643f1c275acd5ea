"""What passes between SAM 2's networks and its tracker, and small functions of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F

Resize = Literal["pillow", "bicubic", "bilinear"]  # see perception/sam2/upload.py

ABSENT_LOGIT = -1024.0  # mask logit of an object that is not in view
PROMPT_LOGIT_LIMIT = 32.0  # previous logits are clamped to it before they prompt again


@dataclass(frozen=True, slots=True, eq=False)
class FrameFeatures:
    """One pass of the image encoder, shared by every object of the frame."""

    tokens: torch.Tensor  # [h*w, C] stride 16, the level that memory attention reads
    middle: torch.Tensor  # [1, C/4, 2h, 2w] projected for the mask decoder
    fine: torch.Tensor  # [1, C/8, 4h, 4w] projected for the mask decoder


@dataclass(frozen=True, slots=True, eq=False)
class DecodedMasks:
    """The mask decoder's answer for B objects."""

    logits: torch.Tensor  # [B, 4h, 4w] float32
    pointers: torch.Tensor  # [B, C]
    presence: torch.Tensor  # [B] float32 object score logits
    quality: torch.Tensor  # [B] float32 predicted mask IoU


@dataclass(frozen=True, slots=True, eq=False)
class MaskCandidates:
    """The M masks that the decoder offers for each of B objects (M is 1 or 3)."""

    masks: torch.Tensor  # [B, M, 4h, 4w] logits
    quality: torch.Tensor  # [B, M] predicted mask IoU
    tokens: torch.Tensor  # [B, 1 or M, C]
    presence: torch.Tensor  # [B] object score logits


@dataclass(frozen=True, slots=True, eq=False)
class Recalled:
    """The memories of B objects that hold equally many of each kind."""

    tokens: torch.Tensor  # [B, M, T, D]
    offsets: torch.Tensor  # [B, M] int64 frames back; 0 for prompted frames
    pointers: torch.Tensor  # [B, P, C]
    pointer_offsets: torch.Tensor  # [B, P] float32 frames back
    pointer_span: int  # frames that 1 stands for in the pointers' time code


def masks_at(logits: Sequence[torch.Tensor], size: tuple[int, int]) -> torch.Tensor:
    """[4h, 4w] logits of each object -> [N, H, W] logits at the frame's size."""
    stack = torch.stack(list(logits))[:, None]
    return F.interpolate(stack, size, mode="bilinear", align_corners=False)[:, 0]


def time_waves(offsets: torch.Tensor, width: int, temperature: float = 10000.0) -> torch.Tensor:
    """Sine code [..., width] of time offsets, as the SAM 2 code's `get_1d_sine_pe`."""
    half = width // 2
    steps = torch.arange(half, dtype=torch.float32, device=offsets.device)
    angles = offsets[..., None] / temperature ** (2 * (steps // 2) / half)
    return torch.cat([angles.sin(), angles.cos()], dim=-1)
