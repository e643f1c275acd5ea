"""The vision connector: what the shared backbone sees, as embeddings that the language model reads.

A place of the picture (a cell of a coarse grid, a thing, what is pointed at) comes as the
recogniser's posterior over its class names. Its embedding starts as the names' own word embeddings,
weighted by the posterior: a soft word, which a frozen language model already reads like a word.
What is learnt is added to it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

GRID, THING, POINTED = 0, 1, 2
KINDS = 3
SHARPEN = 1.5  # power of the posterior: the mean of many words is no word
BOX = 4  # x0, y0, x1, y1 as shares of the picture


@dataclass(frozen=True, slots=True, eq=False)
class VisualTokens:
    """What the model is shown of one frame."""

    posteriors: Tensor  # [n, C] float32, rows sum to at most 1
    boxes: Tensor  # [n, 4] float32, 0..1
    kinds: tuple[int, ...]  # of each row: GRID cells, then THINGs, then what is POINTED at

    def to(self, device: torch.device) -> "VisualTokens":
        """The same on another processor."""
        return VisualTokens(self.posteriors.to(device), self.boxes.to(device), self.kinds)

    def plus(self, other: "VisualTokens") -> "VisualTokens":
        """Both, in this order."""
        posteriors = torch.cat([self.posteriors, other.posteriors])
        return VisualTokens(
            posteriors, torch.cat([self.boxes, other.boxes]), self.kinds + other.kinds
        )


class Connector(nn.Module):
    """[n, C] posteriors with their boxes and kinds -> [n, D] embeddings."""

    names: Tensor  # [C, D] the class names' mean word embeddings, unit length

    def __init__(self, names: Tensor, scale: float, width: int = 128) -> None:
        """`scale` is the length of an ordinary word embedding."""
        super().__init__()
        self.register_buffer("names", F.normalize(names.float(), dim=-1), persistent=False)
        self.kinds = nn.Embedding(KINDS, names.shape[1])
        self.gain = nn.Parameter(torch.full((KINDS,), scale))
        self.learn = nn.Sequential(
            nn.Linear(names.shape[1] + BOX + 1, width), nn.GELU(), nn.Linear(width, names.shape[1])
        )
        last = self.learn[2]
        assert isinstance(last, nn.Linear)
        for parameter in (self.kinds.weight, last.weight, last.bias):
            nn.init.zeros_(parameter)

    def forward(self, visual: VisualTokens) -> Tensor:
        """[n, D] float32."""
        visual = visual.to(self.names.device)
        sure = visual.posteriors**SHARPEN
        words = (sure / sure.sum(-1, keepdim=True).clamp(min=1e-6)) @ self.names
        words = F.normalize(words, dim=-1)
        kinds = torch.tensor(visual.kinds, dtype=torch.long, device=words.device)
        known = visual.posteriors.amax(-1, keepdim=True)
        change = self.learn(torch.cat([words, visual.boxes, known], -1))
        result: Tensor = words * self.gain[kinds, None] + self.kinds(kinds) + change
        return result


def name_embeddings(table: Tensor, names: Sequence[Sequence[int]]) -> Tensor:
    """[C, D]: the mean of each name's rows of an embedding table [V, D]."""
    return torch.stack([table[list(ids)].float().mean(0) for ids in names])


def grid_boxes(rows: int, cols: int) -> Tensor:
    """[rows * cols, 4] boxes of a grid's cells, row by row."""
    y = torch.arange(rows).repeat_interleave(cols) / rows
    x = torch.arange(cols).repeat(rows) / cols
    return torch.stack([x, y, x + 1 / cols, y + 1 / rows], -1)
