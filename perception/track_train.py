"""Train the embedded tracker's head on composites, over its own rollouts.

    python -m perception.track_train --images DIR --annotations FILE --photographs DIR
        --backbone FILE --out FILE
        [--yolo DIR]     more objects: DIR/images and DIR/labels in YOLO's text, first half by name
        [--stamps DIR]   more objects: photographs with alpha, such as tuxpaint-stamps

The tracker rolls over rendered clips with the head as it is; every object's cues are kept with the
truth, and the head learns from them while it goes on (dataset aggregation, Ross et al. 2011). So it
sees the memories that its own masks make, which a head trained on single steps never does. Never
give it photographs that are used for evaluation.
"""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from perception.backbone import Backbone
from perception.refine import Cues, blend
from perception.track_composites import MIN_VISIBLE, Clip, render_clip
from perception.track_cutouts import CutOut, read_cut_outs, read_stamps, read_yolo_cut_outs
from perception.track_net import CHANNELS, CueNet, NetRefiner, cue_planes
from perception.track_roi import Soft, crop
from perception.tracker import EmbeddedTracker, TrackerConfig
from stream.frame import Frame, Mask

Sample = npt.NDArray[np.uint8]  # [CHANNELS + 1, ROI, ROI]: cues, then truth

# How often a map is hidden: both, first, moved, residual, odds, surety.
DROP = (0.05, 0.1, 0.1, 0.0, 0.15, 0.1)
WARM_UP_STEPS = 150  # in which the head is not yet let loose


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """How much; the defaults take about ten minutes on one quiet core."""

    seed: int = 5
    clips: int = 260  # rendered once, then seen again in other ways
    frames: int = 10
    visits: int = 400  # rollouts
    steps: int = 5  # of the optimiser after each
    batch: int = 8
    rate: float = 1.5e-3
    kept: int = 2500  # samples


class Student:
    """A refiner that keeps what it sees with the truth, and sometimes lets the truth through."""

    def __init__(self, net: CueNet, rng: np.random.Generator, kept: int) -> None:
        self._refiner = NetRefiner(net, share=1.0)
        self._rng = rng
        self._kept = kept
        self.samples: list[Sample] = []
        self.truth: dict[int, Mask] = {}  # by track id
        self.mode = "own"

    def __call__(self, cues: list[Cues]) -> list[Soft]:
        """The masks that the tracker remembers."""
        softs = blend(cues) if self.mode == "blend" else self._refiner(cues)
        return [self._one(each, soft) for each, soft in zip(cues, softs, strict=True)]

    def _one(self, cues: Cues, soft: Soft) -> Soft:
        truth = crop(self.truth[cues.track_id].astype(np.float32), cues.window)
        planes = np.concatenate([cue_planes([cues])[0].numpy() * 0.5 + 0.5, truth[None]])
        sample = np.clip(np.round(planes * 255), 0, 255).astype(np.uint8)
        if len(self.samples) < self._kept:
            self.samples.append(sample)
        elif truth.any() or self._rng.random() < 0.3:
            self.samples[int(self._rng.integers(self._kept))] = sample
        through = self.mode == "mixed" and self._rng.random() < 0.5
        return np.asarray(truth if through else soft, np.float32)


def train(
    backbone: Backbone,
    cuts: Sequence[CutOut],
    photographs: Sequence[Path],
    config: TrainConfig,
) -> CueNet:
    """Roll, keep, learn, and roll again; AdamW with a warm-up and a cosine."""
    torch.manual_seed(config.seed)
    rng = np.random.default_rng(config.seed)
    net = CueNet().to(memory_format=torch.channels_last)
    student = Student(net, rng, config.kept)
    # A loose rule for what is lost, so that the head also sees how it goes wrong.
    tracker = EmbeddedTracker(backbone, TrackerConfig(min_score=0.1), student)
    optimiser = torch.optim.AdamW(net.parameters(), config.rate, weight_decay=1e-3)
    clips: list[Clip] = []
    for visit in range(config.visits):
        if visit < config.clips:
            clips.append(render_clip(cuts, photographs, rng, config.frames))
        clip = clips[-1 if visit < config.clips else int(rng.integers(len(clips)))]
        clip = reverse(clip) if rng.random() < 0.5 else clip
        early = visit * config.steps < WARM_UP_STEPS
        modes, odds = ["own", "blend", "mixed"], [0.0, 0.5, 0.5] if early else [0.6, 0.1, 0.3]
        student.mode = str(rng.choice(modes, p=odds))
        roll(tracker, student, clip)
        share = 0.5 * (1 + np.cos(np.pi * visit / config.visits))
        for group in optimiser.param_groups:
            group["lr"] = config.rate * share * min(1.0, (visit + 1) / 10) + 1e-6
        loss = sum(
            _learn(net, optimiser, student.samples, config, rng) for _ in range(config.steps)
        )
        if visit % 20 == 0:
            print(f"visit {visit} loss {loss / config.steps:.4f}", flush=True)
    return net


def reverse(clip: Clip) -> Clip:
    """From its last frame to its first, with the objects that are to be seen at the end."""
    seen = clip.masks[:, -1].sum((1, 2)) > MIN_VISIBLE
    if not seen.any():
        return clip
    return Clip(clip.images[::-1], clip.masks[seen, ::-1], clip.places[::-1])


def roll(tracker: EmbeddedTracker, student: Student, clip: Clip) -> None:
    """Track all objects of a clip from their true first masks."""
    frames = [Frame(index, 0, image, "composite") for index, image in enumerate(clip.images)]
    state = tracker.init_state()
    for masks in clip.masks:
        state, _ = tracker.add(state, frames[0], None, masks[0])
    for index, frame in enumerate(frames[1:], 1):
        student.truth = {number: masks[index] for number, masks in enumerate(clip.masks, 1)}
        state, _ = tracker.step(state, frame)


def _learn(
    net: CueNet,
    optimiser: torch.optim.Optimizer,
    samples: Sequence[Sample],
    config: TrainConfig,
    rng: np.random.Generator,
) -> float:
    picked = [samples[int(index)] for index in rng.integers(0, len(samples), config.batch)]
    planes, truth = augment(np.stack(picked))
    net.train()
    loss = mask_loss(net(planes), truth)
    optimiser.zero_grad()
    torch.autograd.backward(loss)
    torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    optimiser.step()
    net.eval()
    return loss.item()


def mask_loss(logits: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """[N, s, s] x2 -> scalar: binary cross-entropy and half of one minus the soft overlap."""
    soft = torch.sigmoid(logits)
    both = (soft * truth).sum((1, 2))
    either = (soft + truth - soft * truth).sum((1, 2))
    overlap = 1 - (both + 50) / (either + 50)
    return F.binary_cross_entropy_with_logits(logits, truth) + 0.5 * overlap.mean()


def augment(samples: npt.NDArray[np.uint8]) -> tuple[torch.Tensor, torch.Tensor]:
    """Colours, hidden cues, mirror, turn and scale: cues [N, 9, s, s] in -1..1, truth [N, s, s]."""
    maps = torch.from_numpy(samples).float() / 255
    whole = torch.cat([_recolour(maps[:, :3]), _hide(maps[:, 3:CHANNELS]), maps[:, CHANNELS:]], 1)
    if torch.rand(1) < 0.5:
        whole = whole.flip(3)
    if torch.rand(1) < 0.3:
        grid = F.affine_grid(_turns(len(samples)), list(whole.shape), align_corners=False)
        whole = F.grid_sample(whole, grid, align_corners=False, padding_mode="border")
    planes = whole[:, :CHANNELS] * 2 - 1
    return planes.contiguous(memory_format=torch.channels_last), whole[:, CHANNELS]


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


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the objects, train, save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=Path, required=True, help="folder of photographs")
    parser.add_argument("--annotations", type=Path, required=True, help="COCO instances JSON")
    parser.add_argument("--photographs", type=Path, required=True, help="*.jpg for grounds")
    parser.add_argument("--yolo", type=Path, help="folder with images/ and labels/ (YOLO-seg)")
    parser.add_argument("--stamps", type=Path, help="folder of PNG photographs with alpha")
    parser.add_argument("--backbone", type=Path, required=True, help="EfficientNet-Lite2 .pth")
    parser.add_argument("--out", type=Path, required=True, help="safetensors to write")
    parser.add_argument("--visits", type=int, default=TrainConfig().visits)
    parser.add_argument("--seed", type=int, default=TrainConfig().seed)
    args = parser.parse_args(arguments)
    began = time.perf_counter()
    cuts = read_cut_outs(args.images, args.annotations)
    if args.yolo:
        files = sorted((args.yolo / "images").rglob("*.jpg"))
        cuts += read_yolo_cut_outs(files[: (len(files) + 1) // 2], args.yolo / "labels")
    if args.stamps:
        cuts += read_stamps(args.stamps)
    config = TrainConfig(args.seed, visits=args.visits)
    photographs = sorted(args.photographs.glob("*.jpg"))
    net = train(Backbone.load(args.backbone), cuts, photographs, config)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: w.detach().contiguous() for name, w in net.state_dict().items()}, args.out)
    seconds = time.perf_counter() - began
    print(json.dumps({"cut_outs": len(cuts), "visits": args.visits, "seconds": round(seconds)}))


if __name__ == "__main__":
    main()
