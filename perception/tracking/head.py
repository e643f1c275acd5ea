"""A small U-Net that turns an object's cues into its mask: 390 thousand parameters.

It sees the window's colours, the labels read from memory, and the backbone's features there, and
gives one logit per pixel. The weights were trained by
`python -m foveal.training.tracker.train` (model card: perception/weights/tracker.md).
"""

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from perception.device import CPU, Device
from perception.features.weights import load_parameters
from perception.tracking.cues import Cues, blend
from perception.tracking.roi import sample_cells
from stream.frame import SoftMask

CHANNELS = 9
DEEP = 168  # channels of the backbone's dense features
HEAD_SHARE = 0.5  # of the head in the mask; the rest is the training-free blend
WEIGHTS = Path(__file__).resolve().parent.parent / "weights" / "tracker.safetensors"
WIDTHS = (16, 40, 64, 96)
LOOKS = 40  # channels that the features are projected to
FEATURE_GAIN = 12.0  # brings unit vectors of 168 channels to values of about one


def cue_planes(cues: list[Cues]) -> torch.Tensor:
    """[N, 9, ROI, ROI] float32, each about -1..1: three colours, then five maps."""
    stacks = [
        np.dstack([q.colour, q.both, q.first, q.moved, q.residual, q.odds * 0.5 + 0.5, q.surety])
        for q in cues
    ]
    planes = torch.from_numpy(np.stack(stacks)).permute(0, 3, 1, 2).float()
    return planes * 2 - 1


class CueNet(nn.Module):
    """Cues [N, 9, s, s] and projected features [N, 40, s / 4, s / 4] -> mask logits [N, s, s].

    s divides by 16.
    """

    def __init__(self) -> None:
        super().__init__()
        a, b, c, d = WIDTHS
        self.stem = _conv(CHANNELS, a, stride=2)
        self.down1 = _conv(a, b, stride=2)
        self.look = nn.Conv2d(DEEP, LOOKS, 1)
        self.join = _conv(b + LOOKS, b)
        self.down2 = nn.Sequential(_conv(b, c, stride=2), _conv(c, c))
        self.down3 = nn.Sequential(_conv(c, d, stride=2), _conv(d, d))
        self.whole = nn.Linear(d, d)
        self.up2 = _conv(d + c, c)
        self.up1 = _conv(c + b, b)
        self.up0 = _conv(b + a, a)
        self.rough = nn.Conv2d(b, 1, 1)  # guides training only
        self.last = nn.Sequential(_conv(a + CHANNELS, 8), nn.Conv2d(8, 1, 3, padding=1))

    def project(self, dense: torch.Tensor) -> torch.Tensor:
        """[N, 168, h, w] features -> [N, 40, h, w]; cropping before or after gives the same."""
        projected: torch.Tensor = self.look(dense * FEATURE_GAIN)
        return projected

    def forward(
        self, planes: torch.Tensor, projected: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits, and rough ones [N, s / 4, s / 4]."""
        half = self.stem(planes)
        quarter = self.join(torch.cat([self.down1(half), F.relu(projected)], 1))
        eighth = self.down2(quarter)
        deep = self.down3(eighth)
        deep = F.relu(deep + self.whole(deep.mean((2, 3)))[:, :, None, None])
        deep = self.up2(torch.cat([_grow(deep), eighth], 1))
        deep = self.up1(torch.cat([_grow(deep), quarter], 1))
        rough = self.rough(deep)[:, 0]
        deep = self.up0(torch.cat([_grow(deep), half], 1))
        logits: torch.Tensor = self.last(torch.cat([_grow(deep), planes], 1))[:, 0]
        # What is carried is a first guess, so that training starts from something sane.
        return logits + 1.5 * planes[:, 3:6].sum(1), rough


class NetRefiner:
    """A trained CueNet as the tracker's refiner, tempered by the blend.

    Alone it is sharper, but its errors feed back through memory; together they err less.
    """

    def __init__(self, net: CueNet, share: float = HEAD_SHARE) -> None:
        self._share = share
        self._net = net.eval().to(memory_format=torch.channels_last)

    @classmethod
    def load(cls, weights: Path, device: Device = CPU) -> "NetRefiner":
        """Read safetensors; raises AssetError when they do not fit."""
        net = load_parameters(CueNet(), weights, "restore it out of the package")
        # bfloat16 changes one pixel in a thousand.
        return cls(net.to(device.name, device.dtype))

    def __call__(self, cues: list[Cues]) -> list[SoftMask]:
        """One soft mask [ROI, ROI] for each object; all of one frame."""
        with torch.inference_mode():
            like = next(self._net.parameters())
            planes = cue_planes(cues).to(like).contiguous(memory_format=torch.channels_last)
            looks = self._net.project(cues[0].key[None].to(like))[0]
            # torch 2.15's sampling reads garbage from bfloat16 maps that lie channels last.
            looks = sample_cells(looks.float(), [each.window for each in cues])
            looks = looks.to(like.dtype, memory_format=torch.channels_last)
            sharp = torch.sigmoid(self._net(planes, looks)[0].float()).cpu().numpy()
        return [
            np.asarray(self._share * own + (1 - self._share) * plain, np.float32)
            for own, plain in zip(sharp, blend(cues), strict=True)
        ]


@lru_cache(maxsize=2)
def shipped_refiner(device: Device = CPU) -> NetRefiner:
    """The head that this project trained."""
    return NetRefiner.load(WEIGHTS, device)


def _conv(wide: int, out: int, stride: int = 1) -> nn.Module:
    return nn.Sequential(nn.Conv2d(wide, out, 3, stride, 1), nn.ReLU(inplace=True))


def _grow(maps: torch.Tensor) -> torch.Tensor:
    return F.interpolate(maps, scale_factor=2.0, mode="nearest")
