"""Train the embedded tracker's head on composites, over its own rollouts.

    python -m foveal.training.tracker.train --images DIR --annotations FILE --photographs DIR
        --backbone FILE --out FILE [--minutes 40]
        [--yolo DIR]     more objects: DIR/images and DIR/labels in YOLO's text, first half by name
        [--stamps DIR]   more objects: photographs with alpha, such as tuxpaint-stamps

The tracker rolls over rendered clips, there and back, with the head as it is; every object's cues
are kept with the truth, and the head learns from them while it goes on (dataset aggregation, Ross
et al. 2011). So it sees the memories that its own masks make, which a head trained on single steps
never does. What is saved is the weights' running mean. Never give it photographs that are used for
evaluation.
"""

import argparse
import json
import time
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from foveal.training.tracker.augment import CueSample, augment, head_loss, keep
from foveal.training.tracker.composites import MIN_VISIBLE, Clip, render_clip
from foveal.training.tracker.cutouts import (
    CutOut,
    read_cut_outs,
    read_salient,
    read_stamps,
    read_yolo_cut_outs,
)
from perception.features.backbone import Backbone
from perception.tracking.cues import Cues, blend
from perception.tracking.head import CueNet, NetRefiner
from perception.tracking.roi import crop
from perception.tracking.settings import TrackerConfig
from perception.tracking.tracker import EmbeddedTracker
from stream.frame import Frame, Mask, SoftMask

WARM_UP_STEPS = 150  # in which the head is not yet let loose
MODES = ("own", "mean", "blend", "mixed")  # whose masks are remembered
ODDS, EARLY_ODDS = (0.35, 0.35, 0.1, 0.2), (0.0, 0.0, 0.4, 0.6)
THERE_AND_BACK, AND_AGAIN = 0.6, 0.25  # shares of the rollouts
KEPT_PER_ROLL = 14  # frames, on average


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """How much; the defaults take about 40 minutes on one core."""

    seed: int = 5
    clips: int = 260  # rendered once, then seen again in other ways
    frames: int = 12
    visits: int = 900  # rollouts
    steps: int = 8  # of the optimiser after each
    batch: int = 12
    learning_rate: float = 2e-3
    kept: int = 4000  # samples


class Student:
    """A refiner that keeps what it sees with the truth, and sometimes lets the truth through."""

    def __init__(self, net: CueNet, rng: np.random.Generator, kept: int) -> None:
        self._net = net
        self._refiner = NetRefiner(net, share=1.0)
        self._rng = rng
        self._kept = kept
        self.samples: list[CueSample] = []
        self.truth: dict[int, Mask] = {}  # by track id
        self.mode = "own"
        self.rate = 1.0  # share of the frames that are kept

    def __call__(self, cues: list[Cues]) -> list[SoftMask]:
        """The masks that the tracker remembers."""
        self._net.eval()
        plain = blend(cues) if self.mode in ("blend", "mean") else []
        softs = plain if self.mode == "blend" else self._refiner(cues)
        if self.mode == "mean":
            softs = [np.asarray((a + b) / 2, np.float32) for a, b in zip(plain, softs, strict=True)]
        return [self._one(each, soft) for each, soft in zip(cues, softs, strict=True)]

    def _one(self, cues: Cues, soft: SoftMask) -> SoftMask:
        truth = crop(self.truth[cues.track_id].astype(np.float32), cues.window)
        wanted = truth.any() or self._rng.random() < 0.2
        if wanted and self._rng.random() < self.rate:
            sample = keep(cues, truth)
            if len(self.samples) < self._kept:
                self.samples.append(sample)
            else:
                self.samples[int(self._rng.integers(self._kept))] = sample
        through = self.mode == "mixed" and self._rng.random() < 0.4
        return truth if through else soft


def train(
    backbone: Backbone, cuts: Sequence[CutOut], photographs: Sequence[Path], config: TrainConfig
) -> CueNet:
    """Roll, keep, learn, and roll again; AdamW with a warm-up and a cosine; the running mean."""
    torch.manual_seed(config.seed)
    rng = np.random.default_rng(config.seed)
    net = CueNet().to(memory_format=torch.channels_last)
    mean = deepcopy(net)
    student = Student(net, rng, config.kept)
    # A loose rule for what is lost, so that the head also sees how it goes wrong.
    tracker = EmbeddedTracker(backbone, TrackerConfig(min_score=0.1), student)
    optimiser = torch.optim.AdamW(net.parameters(), config.learning_rate, weight_decay=1e-2)
    clips: list[Clip] = []
    for visit in range(config.visits):
        if visit % max(1, config.visits // config.clips) == 0 and len(clips) < config.clips:
            clips.append(render_clip(cuts, photographs, rng, config.frames))
        newest = rng.random() < 0.3
        clip = clips[-1 if newest else int(rng.integers(len(clips)))]
        early = visit * config.steps < WARM_UP_STEPS
        student.mode = str(rng.choice(MODES, p=EARLY_ODDS if early else ODDS))
        roll(tracker, student, clip, order(clip, rng))
        share = 0.5 * (1 + np.cos(np.pi * visit / config.visits))
        for group in optimiser.param_groups:
            group["lr"] = config.learning_rate * share * min(1.0, (visit + 1) / 10) + 1e-6
        losses = []
        for number in range(config.steps):
            losses.append(_learn(net, optimiser, student.samples, config, rng))
            _follow_mean(mean, net, visit * config.steps + number)
        if visit % 20 == 0:
            print(f"visit {visit} loss {np.mean(losses):.4f}", flush=True)
    return mean


def order(clip: Clip, rng: np.random.Generator) -> list[int]:
    """Which frames are shown one after the other: backwards, faster, and there and back."""
    frames = list(range(len(clip.images)))
    if rng.random() < 0.5:
        frames = frames[::-1]
    if rng.random() < 0.15:
        frames = frames[::2]
    luck = rng.random()
    if luck < THERE_AND_BACK:
        frames = frames + frames[-2::-1]
    return frames + frames[1:] if luck < AND_AGAIN else frames


def roll(tracker: EmbeddedTracker, student: Student, clip: Clip, shown: Sequence[int]) -> None:
    """Track what is to be seen in the first shown frame, from its true mask."""
    state = tracker.init_state()
    first = Frame(shown[0], 0, clip.images[shown[0]], "composite")
    objects = [masks for masks in clip.masks if masks[shown[0]].sum() > MIN_VISIBLE]
    for masks in objects:
        state, _ = tracker.add(state, first, None, masks[shown[0]])
    student.rate = min(1.0, KEPT_PER_ROLL / len(shown))
    for index in shown[1:] if objects else []:
        student.truth = {number: masks[index] for number, masks in enumerate(objects, 1)}
        state, _ = tracker.step(state, Frame(index, 0, clip.images[index], "composite"))


def _learn(
    net: CueNet,
    optimiser: torch.optim.Optimizer,
    samples: Sequence[CueSample],
    config: TrainConfig,
    rng: np.random.Generator,
) -> float:
    batch = augment([samples[int(i)] for i in rng.integers(0, len(samples), config.batch)])
    net.train()
    with torch.autocast("cpu", torch.bfloat16):
        logits, rough = net(batch.planes, net.project(batch.dense))
    loss = head_loss(logits.float(), rough.float(), batch.truth)
    optimiser.zero_grad()
    torch.autograd.backward(loss)
    torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    optimiser.step()
    return loss.item()


def _follow_mean(mean: CueNet, net: CueNet, step: int) -> None:
    share = min(0.997, (step + 1) / (step + 10))
    with torch.no_grad():
        for old, new in zip(mean.parameters(), net.parameters(), strict=True):
            old.lerp_(new, 1 - share)


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the objects, train, save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=Path, required=True, help="folder of photographs")
    parser.add_argument("--annotations", type=Path, required=True, help="COCO instances JSON")
    parser.add_argument("--photographs", type=Path, required=True, help="*.jpg for grounds")
    parser.add_argument("--yolo", type=Path, help="folder with images/ and labels/ (YOLO-seg)")
    parser.add_argument("--stamps", type=Path, help="folder of PNG photographs with alpha")
    parser.add_argument(
        "--classes",
        action="store_true",
        help="--photographs are one of each ImageNet class, in order: what shows it is an object",
    )
    parser.add_argument("--backbone", type=Path, required=True, help="EfficientNet-Lite2 .pth")
    parser.add_argument("--out", type=Path, required=True, help="safetensors to write")
    parser.add_argument("--visits", type=int, default=TrainConfig().visits)
    parser.add_argument("--seed", type=int, default=TrainConfig().seed)
    args = parser.parse_args(arguments)
    began = time.perf_counter()
    backbone = Backbone.load(args.backbone)
    photographs = sorted(args.photographs.glob("*.jpg"))
    cuts = _objects(args, backbone, photographs)
    config = TrainConfig(args.seed, visits=args.visits)
    net = train(backbone, cuts, photographs, config)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: w.detach().contiguous() for name, w in net.state_dict().items()}, args.out)
    seconds = time.perf_counter() - began
    print(json.dumps({"cut_outs": len(cuts), "visits": args.visits, "seconds": round(seconds)}))


def _objects(
    args: argparse.Namespace, backbone: Backbone, photographs: Sequence[Path]
) -> list[CutOut]:
    cuts = read_cut_outs(args.images, args.annotations)
    if args.yolo:
        files = sorted((args.yolo / "images").rglob("*.jpg"))
        cuts += read_yolo_cut_outs(files[: (len(files) + 1) // 2], args.yolo / "labels")
    if args.stamps:
        cuts += read_stamps(args.stamps)
    if args.classes:
        cuts += read_salient(photographs, range(len(photographs)), backbone)
    return cuts


if __name__ == "__main__":
    main()
