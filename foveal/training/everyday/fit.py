"""Fit the everyday head: a linear layer over pooled features, by L-BFGS."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from foveal.training.everyday.pictures import Labelled, crops, read_coco, read_imagenet, read_yolo
from perception.detect.coco import EVERYDAY
from perception.features.backbone import Backbone
from perception.scene.recogniser import EverydayHead, Recogniser
from stream.crops import region_views

BATCH = 32
STEPS = 60
Rows = npt.NDArray[np.float32]
OnStep = Callable[[str, int, int], None]  # what, done, in all


@dataclass(frozen=True, slots=True)
class EverydayOptions:
    """How the head is fitted."""

    draws: int = 4  # augmented squares per thing, each in two views
    decay: float = 3e-3  # of the squared weights
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Scores:
    """Top-1 over the 80 names, 0..1, on things whose masks are known."""

    things: int
    head: float
    both: float  # of the recogniser: ImageNet's classes and the head together


def training_pictures(
    coco: Path, coco128: Path | None, imagenet: Path | None = None
) -> list[Labelled]:
    """coco-mini's train half, the first half of coco128 by file name, and ImageNet samples."""
    pictures = read_coco(coco / "annotations" / "instances_train2017.json", coco / "train2017")
    if coco128 is not None:
        names = sorted(path.stem for path in (coco128 / "images" / "train2017").glob("*.jpg"))
        pictures += read_yolo(coco128, names[: len(names) // 2])
    return pictures if imagenet is None else pictures + read_imagenet(imagenet)


def fit_head(
    pictures: Sequence[Labelled], backbone: Backbone, options: EverydayOptions, on_step: OnStep
) -> tuple[EverydayHead, int]:
    """Returns the head and how many crops it was fitted on; the same seed gives the same head."""
    random = np.random.default_rng(options.seed)
    rows, labels = [], []
    for number, picture in enumerate(pictures):
        pairs = list(crops(picture, options.draws, random))
        for start in range(0, len(pairs), BATCH):
            rows.append(backbone.pooled([image for image, _ in pairs[start : start + BATCH]]).cpu())
        labels += [label for _, label in pairs]
        on_step("features", number + 1, len(pictures))
    return _fit(torch.cat(rows), torch.tensor(labels), options, on_step), len(labels)


def _fit(
    rows: torch.Tensor, labels: torch.Tensor, options: EverydayOptions, on_step: OnStep
) -> EverydayHead:
    count = len(EVERYDAY) + 1
    frequency = torch.bincount(labels, minlength=count).float()
    # Rare names would drown: a name's weight falls with the root of how often it is seen.
    weight = (1 / frequency.clamp(min=1)).sqrt()
    weight = weight / (weight * frequency).sum() * len(labels)
    matrix = torch.zeros(count, rows.shape[1], requires_grad=True)
    bias = torch.zeros(count, requires_grad=True)
    solver = torch.optim.LBFGS([matrix, bias], max_iter=20, history_size=10)

    def closure() -> torch.Tensor:
        solver.zero_grad()
        logits = rows @ matrix.T + bias
        loss = torch.nn.functional.cross_entropy(logits, labels, weight=weight)
        loss = loss + options.decay * matrix.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    for step in range(STEPS // 20):
        solver.step(closure)  # type: ignore[no-untyped-call]
        on_step("fitting", step + 1, STEPS // 20)
    return EverydayHead(matrix.detach().numpy().copy(), bias.detach().numpy().copy())


def measure(pictures: Sequence[Labelled], backbone: Backbone, head: EverydayHead) -> Scores:
    """Top-1 with the true masks; a name never seen in training counts like any other."""
    recogniser = Recogniser(backbone, head)
    matches = _name_table(recogniser)
    right_head = right_both = things = 0
    for picture in pictures:
        shown = [thing for thing in picture.things if thing.mask.sum() >= 400]
        if not shown:
            continue
        views = [view for thing in shown for view in region_views(picture.image, thing.mask)]
        own = head.probabilities(backbone.pooled(views)).reshape(len(shown), 2, -1).mean(1)
        both = recogniser.classify([picture.image] * len(shown), [t.mask for t in shown]) @ matches
        for number, thing in enumerate(shown):
            things += 1
            right_head += int(own[number, 1:].argmax()) + 1 == thing.label
            right_both += int(both[number].argmax()) + 1 == thing.label
    return Scores(things, right_head / max(1, things), right_both / max(1, things))


def _name_table(recogniser: Recogniser) -> Rows:
    """[1080, 80] 1 where a class carries one of an everyday thing's words."""
    table = np.zeros((len(recogniser.class_synonyms), len(EVERYDAY)), np.float32)
    for row, names in enumerate(recogniser.class_synonyms):
        heads = {name.lower() for name in names} | {name.lower().split()[-1] for name in names}
        for column, words in enumerate(EVERYDAY):
            table[row, column] = float(bool(heads & set(words)))
    return table
