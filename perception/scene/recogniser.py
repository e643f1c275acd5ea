"""What a picture or region is: ImageNet's classes and everyday things, from one backbone pass.

ImageNet's classifier knows 1,000 classes but few of the things that lie on a table, and it cannot
say "nothing of these". A linear head on the same pooled features, trained by this project on 80
everyday names and background (perception/weights/everyday.md), stands beside it; the more it sees
background, the less it has to say.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from perception.detect.coco import EVERYDAY
from perception.device import Device
from perception.features.backbone import Backbone, Posteriors
from stream.crops import region_views
from stream.errors import AssetError
from stream.frame import Image, Mask

WEIGHTS = Path(__file__).resolve().parent.parent / "weights" / "everyday.safetensors"
TRUST = 0.7  # the everyday head's share where it is sure that something is there


@dataclass(frozen=True, slots=True, eq=False)
class EverydayHead:
    """A linear layer: background first, then EVERYDAY's names."""

    weight: npt.NDArray[np.float32]  # [81, 1280]
    bias: npt.NDArray[np.float32]  # [81]

    def probabilities(self, pooled: torch.Tensor) -> Posteriors:
        """[N, 1280] -> [N, 81]."""
        logits = pooled.cpu().numpy() @ self.weight.T + self.bias
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(odds / odds.sum(axis=1, keepdims=True), np.float32)


def save_head(head: EverydayHead, path: Path = WEIGHTS) -> None:
    """Write as safetensors."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({"weight": head.weight, "bias": head.bias}, path)


def load_head(path: Path = WEIGHTS) -> EverydayHead:
    """Read what `save_head` wrote; raises AssetError when it does not fit."""
    try:
        arrays = load_file(path)
        head = EverydayHead(arrays["weight"], arrays["bias"])
    except (OSError, KeyError, ValueError, SafetensorError) as error:
        raise AssetError(
            f"expected the everyday head in {path}: {error}; run `foveal train everyday`"
        ) from error
    if head.weight.shape[0] != len(EVERYDAY) + 1 or head.bias.shape != head.weight.shape[:1]:
        raise AssetError(f"expected {len(EVERYDAY) + 1} rows in {path}, got {head.weight.shape}")
    return head


class Recogniser:
    """Posteriors over ImageNet's 1,000 classes followed by the 80 everyday names."""

    def __init__(self, backbone: Backbone, head: EverydayHead) -> None:
        self._backbone, self._head = backbone, head
        everyday = tuple(names[0] for names in EVERYDAY)
        self.class_names: tuple[str, ...] = (*backbone.class_names, *everyday)
        self.class_synonyms: tuple[tuple[str, ...], ...] = (*backbone.class_synonyms, *EVERYDAY)

    @property
    def device(self) -> Device:
        """Where its backbone runs."""
        return self._backbone.device

    @property
    def class_weights(self) -> torch.Tensor:
        """[1080, 1280] for class activation maps."""
        own = torch.from_numpy(self._head.weight[1:])
        return torch.cat([self._backbone.classifier_weight.cpu(), own])

    def classify(self, images: Sequence[Image], masks: Sequence[Mask | None]) -> Posteriors:
        """[N, 1080] posteriors; a mask is looked at in both its views, None is the whole picture.

        A row sums to 1 or less: what is missing is the everyday head's background.
        """
        views: list[Image] = []
        owner: list[int] = []
        for number, (image, mask) in enumerate(zip(images, masks, strict=True)):
            shown = [image] if mask is None or not mask.any() else region_views(image, mask)
            views += shown
            owner += [number] * len(shown)
        if not views:
            return np.zeros((0, len(self.class_names)), np.float32)
        both = self.posteriors(self._backbone.pooled(views))
        sums = np.zeros((len(images), both.shape[1]), np.float32)
        np.add.at(sums, owner, both)
        counts = np.bincount(owner, minlength=len(images)).astype(np.float32)
        return np.asarray(sums / counts[:, None], np.float32)

    def posteriors(self, pooled: torch.Tensor) -> Posteriors:
        """[N, 1280] pooled features -> [N, 1080]; a row sums to 1 or less."""
        imagenet = self._backbone.class_posteriors(pooled)
        everyday = self._head.probabilities(pooled)
        unsure = 1 - imagenet.max(axis=1, keepdims=True)
        trust = TRUST * (1 - everyday[:, :1]) * unsure
        both = np.concatenate([(1 - trust) * imagenet, trust * everyday[:, 1:]], axis=1)
        return np.asarray(both, np.float32)
