"""The region selector: which of the things that were found is meant by a phrase, or none of them.

A learnt head over the phrase's word embeddings. It says how well each class name fits the phrase,
and from that, and from where and how surely each thing was found, how much of what is meant the
thing's mask would share (its expected overlap). The names start as the language model's own word
embeddings, and what is learnt is added: before any training "cup" points at a cup. The language
model's states are not read: its embeddings stay as they are when it is trained on, its states do
not, and a model without the trained language side can point with the same weights.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from stream.errors import AssetError
from stream.geometry import box_areas, box_intersections, box_ious

DETECTED, LOOKED, PROPOSED, NOTICED = 0, 1, 2, 3  # of the frame, of a part; grouped; by its classes
SOURCES = 4
TRAITS = 20 + SOURCES
SAME_PLACE = 0.6  # overlap of boxes from which two things lie in one place
GAIN, MIDDLE = 12.0, 0.6  # cosines of names to fits: the same name 0.99, an unrelated one 0.001
LEAST = 1e-3
STEP = 6.0  # the weights of traits learn so much faster than those of words
WEIGHTS = Path(__file__).resolve().parent.parent / "weights" / "region_selector.safetensors"

Embed = Callable[[str], Tensor]  # phrase -> [D] mean word embedding


@dataclass(frozen=True, slots=True, eq=False)
class CandidateFeatures:
    """K things of one view that may be pointed at."""

    posteriors: Tensor  # [K, C] float32
    boxes: Tensor  # [K, 4] float32, x0, y0, x1, y1 as shares of the picture
    sure: Tensor  # [K] 0..1, of the detector or the window that the thing is there
    sources: tuple[int, ...]

    def to(self, device: torch.device) -> "CandidateFeatures":
        """The same on another processor."""
        return CandidateFeatures(
            self.posteriors.to(device), self.boxes.to(device), self.sure.to(device), self.sources
        )

    def plus(self, other: "CandidateFeatures") -> "CandidateFeatures":
        """Both, in this order."""
        return CandidateFeatures(
            torch.cat([self.posteriors, other.posteriors]),
            torch.cat([self.boxes, other.boxes]),
            torch.cat([self.sure, other.sure]),
            (*self.sources, *other.sources),
        )


class RegionSelector(nn.Module):
    """Phrases and things -> expected overlaps."""

    names: Tensor  # [C, D] the class names' mean word embeddings, centred, unit length
    middle: Tensor  # [D] what all names share

    def __init__(self, names: Tensor, hidden: int) -> None:
        """`names` [C, D] are mean word embeddings."""
        super().__init__()
        width = int(names.shape[1])
        unit = F.normalize(names.float(), dim=-1)
        self.register_buffer("middle", unit.mean(0), persistent=False)
        self.register_buffer("names", F.normalize(unit - self.middle, dim=-1), persistent=False)
        self.hear = nn.Sequential(
            nn.Linear(width, 2 * hidden), nn.GELU(), nn.Linear(2 * hidden, width)
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

    def fits(self, phrases: Tensor) -> Tensor:
        """[N, D] mean word embeddings of phrases -> [N, C] logits of fitting."""
        words = F.normalize(F.normalize(phrases.float(), dim=-1) - self.middle, dim=-1)
        heard = words + self.hear(words)
        called = self.names + self.call(self.names)
        near = F.normalize(heard, dim=-1) @ F.normalize(called, dim=-1).T
        result: Tensor = self.gain * (near - self.level)
        return result

    def forward(self, fits: Tensor, features: CandidateFeatures, covered: Tensor) -> Tensor:
        """[C] logits of fitting, K things, how much of each was masked before (0..1) ->
        [K] logits of expected overlap."""
        meant = fits.sigmoid()
        share = (features.posteriors @ meant).clamp(LEAST, 1 - LEAST)
        change: Tensor = STEP * self.weigh(traits(meant, share, features, covered))
        return share.logit() + change[:, 0]


def save_region_selector(selector: RegionSelector, path: Path = WEIGHTS) -> int:
    """Write it as float16; returns the file's bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({n: t.detach().half().contiguous() for n, t in selector.named_parameters()}, path)
    return path.stat().st_size


def load_region_selector(names: Tensor, path: Path = WEIGHTS) -> RegionSelector:
    """A trained selector over class names [C, D]; raises AssetError where the file is unfit."""
    try:
        saved = load_file(path)
        selector = RegionSelector(names, int(saved["call.0.bias"].shape[0]))
        selector.load_state_dict(saved)
    except (OSError, KeyError, RuntimeError, SafetensorError) as error:
        raise AssetError(
            f"expected a region selector's weights in {path}: {error!r}; "
            "run `foveal train selector`"
        ) from error
    return selector.eval()


def phrase_embedder(table: Tensor, encode: Callable[[str], Sequence[int]]) -> Embed:
    """The mean of a phrase's rows of an embedding table [V, D], as words of a sentence."""

    def embed(phrase: str) -> Tensor:
        return table[list(encode(f" {phrase.strip()}"))].float().mean(0)

    return embed


def traits(meant: Tensor, share: Tensor, features: CandidateFeatures, covered: Tensor) -> Tensor:
    """[K, TRAITS]: what is known of each thing beside its fit."""
    count = len(share)
    apart = 1 - torch.eye(count, device=share.device)
    best_other = (share[None] * apart).amax(1) if count > 1 else torch.zeros_like(share)
    here = overlaps(features.boxes) >= SAME_PLACE
    strange = (features.posteriors * (1 - meant)).amax(1)  # its surest name that is not meant
    rival = (strange[None] * here * apart).amax(1)
    helper = (share[None] * here * apart).amax(1)
    x0, y0, x1, y1 = features.boxes.unbind(-1)
    wide, high = (x1 - x0).clamp(min=LEAST), (y1 - y0).clamp(min=LEAST)
    area = wide * high
    within = (overlap_shares(features.boxes) * apart * share[None]).amax(1)
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
        features.sure,
        features.posteriors.sum(1),
        area,
        area.log() / 4,
        (wide / high).log(),
        (x0 + x1) / 2 - 0.5,
        (y0 + y1) / 2 - 0.5,
        torch.stack(edges).float().sum(0) / 2,
        known,
        meant.sum().log1p().expand(count) / 4,
        share.new_tensor(count).log().expand(count) / 4,
        covered,
    ]
    kinds = F.one_hot(torch.tensor(features.sources, device=share.device), SOURCES).float()
    return torch.cat([torch.stack(columns, 1), kinds], 1)


def covers(plane: Tensor, boxes: Tensor) -> Tensor:
    """[K]: how much of each box [K, 4] a map [h, w] of 0..1 of the frame covers."""
    means = [float(_cut(plane, box).mean()) for box in boxes.tolist()]
    return torch.tensor(means, dtype=torch.float32)


def overlaps(boxes: Tensor) -> Tensor:
    """[K, 4] -> [K, K] intersection over union."""
    places = boxes.cpu().numpy()
    return torch.from_numpy(box_ious(places, places)).to(boxes.device)


def overlap_shares(boxes: Tensor) -> Tensor:
    """[K, 4] -> [K, K]: which share of box k lies inside box j."""
    places = boxes.cpu().numpy()
    both, areas = box_intersections(places, places), box_areas(places)
    return torch.from_numpy(both / np.maximum(areas[:, None], LEAST**2)).to(boxes.device)


def _cut(plane: Tensor, box: list[float]) -> Tensor:
    """The part of a map [h, w] in a box of shares: at least one cell."""
    height, width = plane.shape
    top, left = min(height - 1, int(box[1] * height)), min(width - 1, int(box[0] * width))
    bottom, right = max(top + 1, round(box[3] * height)), max(left + 1, round(box[2] * width))
    return plane[top:bottom, left:right]
