"""The pointer: which of the things that were found is meant by a span, or none of them.

A learnt head over the span's state and words. It says how well each class name fits the span, and
from that, from where and how surely each thing was found, and from what the dense mask decoder sees
there, how much of what is meant the thing's mask would share (its expected overlap). The names
start as the language model's own word embeddings, and what is learnt is added: before any training
"cup" points at a cup.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

DETECTED, LOOKED, PROPOSED, OWN = 0, 1, 2, 3  # of the whole frame, of a part; grouped; decoded
SOURCES = 4
TRACES = 5  # numbers of `traces`
TRAITS = 19 + SOURCES + TRACES
SAME_PLACE = 0.6  # overlap of boxes from which two things lie in one place
GAIN, MIDDLE = 12.0, 0.6  # cosines of names to fits: the same name 0.99, an unrelated one 0.001
LEAST = 1e-3
STEP = 6.0  # the weights of traits learn so much faster than those of words


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """K things of one view that may be pointed at."""

    posteriors: Tensor  # [K, C] float32
    boxes: Tensor  # [K, 4] float32, x0, y0, x1, y1 as shares of the picture
    sure: Tensor  # [K] 0..1, of the detector or the decoder that the thing is there
    sources: tuple[int, ...]

    def plus(self, other: "Shown") -> "Shown":
        """Both, in this order."""
        return Shown(
            torch.cat([self.posteriors, other.posteriors]),
            torch.cat([self.boxes, other.boxes]),
            torch.cat([self.sure, other.sure]),
            (*self.sources, *other.sources),
        )


class Pointer(nn.Module):
    """Span states and things -> expected overlaps."""

    names: Tensor  # [C, D] the class names' mean word embeddings, centred, unit length
    middle: Tensor  # [D] what all names share

    def __init__(self, names: Tensor, hidden: int) -> None:
        """`names` [C, D] are mean word embeddings."""
        super().__init__()
        width = int(names.shape[1])
        unit = F.normalize(names.float(), dim=-1)
        self.register_buffer("middle", unit.mean(0), persistent=False)
        self.register_buffer("names", F.normalize(unit - self.middle, dim=-1), persistent=False)
        self.norm = nn.LayerNorm(width)
        self.hear = nn.Sequential(
            nn.Linear(2 * width, 2 * hidden), nn.GELU(), nn.Linear(2 * hidden, width)
        )
        self.call = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))
        self.gain = nn.Parameter(torch.tensor(GAIN))
        self.level = nn.Parameter(torch.tensor(MIDDLE))
        # Linear: with hundreds of phrases of pictures a layer more was learnt by heart.
        self.weigh = nn.Linear(TRAITS, 1)
        for part in (self.hear[2], self.call[2], self.weigh):
            assert isinstance(part, nn.Linear)
            nn.init.zeros_(part.weight)
            nn.init.zeros_(part.bias)

    def fits(self, states: Tensor, embeddings: Tensor) -> Tensor:
        """[N, D] mean states and mean word embeddings of spans -> [N, C] logits of fitting."""
        words = F.normalize(F.normalize(embeddings.float(), dim=-1) - self.middle, dim=-1)
        heard = words + self.hear(torch.cat([self.norm(states.float()), words], -1))
        called = self.names + self.call(self.names)
        near = F.normalize(heard, dim=-1) @ F.normalize(called, dim=-1).T
        result: Tensor = self.gain * (near - self.level)
        return result

    def forward(self, fits: Tensor, shown: Shown, seen: Tensor) -> Tensor:
        """[C] logits of fitting, K things, their [K, TRACES] -> [K] logits of expected overlap."""
        meant = fits.sigmoid()
        share = (shown.posteriors @ meant).clamp(LEAST, 1 - LEAST)
        change: Tensor = STEP * self.weigh(traits(meant, share, shown, seen))
        return share.logit() + change[:, 0]


def traits(meant: Tensor, share: Tensor, shown: Shown, seen: Tensor) -> Tensor:
    """[K, TRAITS]: what is known of each thing beside its fit."""
    count = len(share)
    apart = 1 - torch.eye(count)
    best_other = (share[None] * apart).amax(1) if count > 1 else torch.zeros_like(share)
    here = overlaps(shown.boxes) >= SAME_PLACE
    strange = (shown.posteriors * (1 - meant)).amax(1)  # its surest name that is not meant
    rival = (strange[None] * here * apart).amax(1)
    helper = (share[None] * here * apart).amax(1)
    x0, y0, x1, y1 = shown.boxes.unbind(-1)
    wide, high = (x1 - x0).clamp(min=LEAST), (y1 - y0).clamp(min=LEAST)
    area = wide * high
    within = (overlap_shares(shown.boxes) * apart * share[None]).amax(1)
    edges = [(x0 <= 0.01), (y0 <= 0.01), (x1 >= 0.99), (y1 >= 0.99)]
    known = meant.amax().expand(count)
    columns = [
        share,
        share.log() / 4,
        share - best_other,
        best_other,
        strange,
        rival,
        helper,
        within,
        shown.sure,
        shown.posteriors.sum(1),
        area,
        area.log() / 4,
        (wide / high).log(),
        (x0 + x1) / 2 - 0.5,
        (y0 + y1) / 2 - 0.5,
        torch.stack(edges).float().sum(0) / 2,
        known,
        meant.sum().log1p().expand(count) / 4,
        torch.tensor(float(count)).log().expand(count) / 4,
    ]
    kinds = F.one_hot(torch.tensor(shown.sources), SOURCES).float()
    return torch.cat([torch.stack(columns, 1), kinds, seen], 1)


def traces(soft: Tensor, covered: Tensor, presence: float, boxes: Tensor) -> Tensor:
    """[K, TRACES]: what the dense decoder sees of a span in each box.

    Its mean inside, the share of all of it that lies inside, the peak inside, its presence, and how
    much of the box earlier spans cover. `soft` and `covered` are maps [h, w] of 0..1 of the frame.
    """
    insides = []
    total = float(soft.sum())
    for box in boxes.tolist():
        part, cover = _cut(soft, box), _cut(covered, box)
        mean, peak = float(part.mean()), float(part.max())
        mass = float(part.sum()) / total if total > LEAST else 0.0
        insides.append([mean, mass, peak, presence, float(cover.mean())])
    return torch.tensor(insides, dtype=torch.float32).reshape(len(boxes), TRACES)


def overlaps(boxes: Tensor) -> Tensor:
    """[K, 4] -> [K, K] intersection over union."""
    both, area = _shared(boxes)
    result: Tensor = both / (area[:, None] + area[None] - both).clamp(min=LEAST**2)
    return result


def overlap_shares(boxes: Tensor) -> Tensor:
    """[K, 4] -> [K, K]: which share of box k lies inside box j."""
    both, area = _shared(boxes)
    result: Tensor = both / area[:, None].clamp(min=LEAST**2)
    return result


def _shared(boxes: Tensor) -> tuple[Tensor, Tensor]:
    low = torch.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = torch.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    both = (high - low).clamp(min=0).prod(-1)
    return both, (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(-1)


def _cut(plane: Tensor, box: list[float]) -> Tensor:
    """The part of a map [h, w] in a box of shares: at least one cell."""
    height, width = plane.shape
    top, left = min(height - 1, int(box[1] * height)), min(width - 1, int(box[0] * width))
    bottom, right = max(top + 1, round(box[3] * height)), max(left + 1, round(box[2] * width))
    return plane[top:bottom, left:right]
