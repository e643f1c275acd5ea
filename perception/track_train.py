"""Train the embedded tracker's head on composites.

    python -m perception.track_train --images DIR --annotations FILE --backbone FILE --out FILE
        [--yolo DIR]   more photographs: DIR/images and DIR/labels in YOLO's segmentation text

First the tracker rolls over rendered clips and every object's cues are kept with the truth (in a
third of the frames the truth is also what it remembers, so that good and bad memories are seen);
then the head learns masks from cues. Never give it clips that are used for evaluation.
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
from perception.track_composites import CutOut, read_cut_outs, read_yolo_cut_outs, render_clip
from perception.track_net import CHANNELS, CueNet
from perception.track_roi import Soft, crop
from perception.tracker import EmbeddedTracker, TrackerConfig
from stream.frame import Frame, Mask

FRAMES = 8  # of a clip
BATCH = 16
Samples = npt.NDArray[np.uint8]  # [N, ROI, ROI, 9]: cues, then truth

DROP = (0.05, 0.05, 0.08, 0.0, 0.15)  # how often each map is hidden: recent, first, moved, -, odds
PEAK_RATE = 1.5e-3


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """How much; the defaults take about fifteen minutes on one core."""

    seed: int = 0
    clips: int = 400
    steps: int = 3000
    feature_rows: int = 320


def collect(
    backbone: Backbone, cuts: Sequence[CutOut], config: TrainConfig, clips: int | None = None
) -> Samples:
    """Roll the training-free tracker over rendered clips; keep cues and truth of every frame."""
    rng = np.random.default_rng(config.seed)
    recorder = _Recorder(rng)
    rules = TrackerConfig(feature_rows=config.feature_rows, min_score=0.1)
    tracker = EmbeddedTracker(backbone, rules, recorder)
    for _ in range(clips or config.clips):
        images, masks = render_clip(cuts, rng, FRAMES)
        state = tracker.init_state()
        state, _ = tracker.add(state, Frame(0, 0, images[0], "composite"), None, masks[0])
        for index in range(1, FRAMES):
            recorder.truth = masks[index]
            state, _ = tracker.step(state, Frame(index, 0, images[index], "composite"))
    return np.stack(recorder.samples)


class _Recorder:
    """A refiner with an eye on the cues and a hand on what the tracker remembers."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self.samples: list[Samples] = []
        self.truth: Mask = np.zeros((1, 1), bool)

    def __call__(self, cues: list[Cues]) -> list[Soft]:
        """Record one sample each; give the truth, half of it, or the training-free mask."""
        return [self._one(each, soft) for each, soft in zip(cues, blend(cues), strict=True)]

    def _one(self, cues: Cues, soft: Soft) -> Soft:
        truth = crop(self.truth.astype(np.float32), cues.window)
        maps: list[Soft] = [
            cues.recent,
            cues.first,
            cues.moved,
            cues.residual,
            np.asarray(cues.odds / 2 + 0.5, np.float32),
            truth,
        ]
        planes: Soft = np.dstack((cues.colour, *maps))
        self.samples.append(np.clip(np.round(planes * 255), 0, 255).astype(np.uint8))
        share = float(self._rng.choice([1.0, 0.5, 0.0], p=[0.35, 0.15, 0.5]))
        return np.asarray(share * truth + (1 - share) * soft, np.float32)


def train(samples: Samples, config: TrainConfig) -> CueNet:
    """AdamW with a warm-up and a cosine, cross-entropy plus soft overlap."""
    torch.manual_seed(config.seed)
    rng = np.random.default_rng(config.seed)
    net = CueNet().to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(net.parameters(), PEAK_RATE, weight_decay=1e-3)
    for step in range(config.steps):
        rate = 0.5 * (1 + np.cos(np.pi * step / config.steps)) * min(1.0, step / 50)
        for group in optimiser.param_groups:
            group["lr"] = PEAK_RATE * rate + 1e-6
        planes, truth = augment(samples[rng.integers(0, len(samples), BATCH)])
        loss = mask_loss(net(planes), truth)
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        if step % 200 == 0:
            print(f"step {step} loss {loss.item():.4f}", flush=True)
    return net


def mask_loss(logits: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """[N, s, s] x2 -> scalar: binary cross-entropy and half of one minus the soft overlap."""
    soft = torch.sigmoid(logits)
    both = (soft * truth).sum((1, 2))
    either = (soft + truth - soft * truth).sum((1, 2))
    overlap = 1 - (both + 50) / (either + 50)
    return F.binary_cross_entropy_with_logits(logits, truth) + 0.5 * overlap.mean()


def augment(samples: Samples) -> tuple[torch.Tensor, torch.Tensor]:
    """Colours, hidden cues, mirror, turn and scale: cues [N, 8, s, s] in -1..1, truth [N, s, s]."""
    maps = torch.from_numpy(samples).permute(0, 3, 1, 2).float() / 255
    colour = _recolour(maps[:, :3])
    cues, truth = _hide(maps[:, 3:CHANNELS]), maps[:, CHANNELS:]
    whole = torch.cat([colour, cues, truth], 1)
    if torch.rand(1) < 0.5:
        whole = whole.flip(3)
    if torch.rand(1) < 0.5:
        grid = F.affine_grid(_turns(len(samples)), list(whole.shape), align_corners=False)
        whole = F.grid_sample(whole, grid, align_corners=False, padding_mode="border")
    planes = whole[:, :CHANNELS] * 2 - 1
    return planes.contiguous(memory_format=torch.channels_last), whole[:, CHANNELS]


def _recolour(colour: torch.Tensor) -> torch.Tensor:
    count = len(colour)
    gain = torch.rand(count, 3, 1, 1) * 0.6 + 0.7
    offset = torch.rand(count, 3, 1, 1) * 0.3 + 0.35
    out = (colour - 0.5) * gain + offset
    grey = (torch.rand(count, 1, 1, 1) < 0.1).float()
    out = out * (1 - grey) + out.mean(1, keepdim=True) * grey
    out = out + torch.randn_like(out) * torch.rand(count, 1, 1, 1) * 0.03
    if torch.rand(1) < 0.4:  # a pasted border is too sharp to be trusted
        out = F.avg_pool2d(F.pad(out, (1, 1, 1, 1), mode="replicate"), 3, 1)
    return out.clamp(0, 1)


def _hide(cues: torch.Tensor) -> torch.Tensor:
    """Replace a map by its stand-in now and then, so that no single cue is relied on."""
    recent, first, _, residual, odds = cues.unbind(1)
    stand_in = torch.stack([first, recent, recent, residual, torch.full_like(odds, 0.5)], 1)
    hidden = (torch.rand(len(cues), 5, 1, 1) < torch.tensor(DROP).view(1, 5, 1, 1)).float()
    return cues * (1 - hidden) + stand_in * hidden


def _turns(count: int) -> torch.Tensor:
    scale = 1 + (torch.rand(count) - 0.6) * 0.4
    turn = (torch.rand(count) - 0.5) * 0.5
    matrix = torch.zeros(count, 2, 3)
    matrix[:, 0, 0] = scale * (1 + (torch.rand(count) - 0.5) * 0.3)
    matrix[:, 1, 1] = scale
    matrix[:, 0, 1], matrix[:, 1, 0] = turn, -turn
    matrix[:, :, 2] = (torch.rand(count, 2) - 0.5) * 0.2
    return matrix


def main(arguments: Sequence[str] | None = None) -> None:
    """Collect, train, save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=Path, required=True, help="folder of photographs")
    parser.add_argument("--annotations", type=Path, required=True, help="COCO instances JSON")
    parser.add_argument("--yolo", type=Path, help="folder with images/ and labels/ (YOLO-seg)")
    parser.add_argument("--backbone", type=Path, required=True, help="EfficientNet-Lite2 .pth")
    parser.add_argument("--out", type=Path, required=True, help="safetensors to write")
    parser.add_argument("--clips", type=int, default=TrainConfig().clips)
    parser.add_argument("--steps", type=int, default=TrainConfig().steps)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(arguments)
    config = TrainConfig(args.seed, args.clips, args.steps)
    began = time.perf_counter()
    cuts = read_cut_outs(args.images, args.annotations)
    if args.yolo:
        cuts += read_yolo_cut_outs(args.yolo / "images", args.yolo / "labels")
    samples = collect(Backbone.load(args.backbone), cuts, config)
    net = train(samples, config)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: w.detach().contiguous() for name, w in net.state_dict().items()}, args.out)
    seconds = time.perf_counter() - began
    print(json.dumps({"cut_outs": len(cuts), "samples": len(samples), "seconds": round(seconds)}))


if __name__ == "__main__":
    main()
