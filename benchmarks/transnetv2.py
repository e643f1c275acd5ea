"""TransNetV2 (arXiv 2008.04838) for comparison: a 3-D convolutional cut detector, not causal.

Written from the paper and laid out so that the published PyTorch weights load by name. Each frame's
probability sees 50 frames on either side; a run above one half is a cut at its peak.
"""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from stream.frame import Image

SIZE = (48, 27)  # pixels
WINDOW, EDGE = 100, 25  # frames of one pass, and how many at each end are not believed
LOOKUP = 101  # frames that each frame is compared with
DILATIONS = (1, 2, 4, 8)


class _Separable(nn.Module):
    """A 3x3 convolution in space, then three dilated steps in time."""

    def __init__(self, inputs: int, outputs: int, dilation: int) -> None:
        super().__init__()
        space = nn.Conv3d(inputs, 2 * outputs, (1, 3, 3), padding=(0, 1, 1), bias=False)
        time = nn.Conv3d(
            2 * outputs,
            outputs,
            (3, 1, 1),
            dilation=(dilation, 1, 1),
            padding=(dilation, 0, 0),
            bias=False,
        )
        self.layers = nn.ModuleList([space, time])

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


class _Dilated(nn.Module):
    """Four dilations side by side."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        for dilation in DILATIONS:
            self.add_module(f"Conv3D_{dilation}", _Separable(inputs, outputs, dilation))
        self.bn = nn.BatchNorm3d(4 * outputs, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        parts = [self.get_submodule(f"Conv3D_{dilation}")(x) for dilation in DILATIONS]
        return torch.as_tensor(self.bn(torch.cat(parts, 1)))


class _Block(nn.Module):
    """Two dilated layers, a shortcut around the second, and pooling in space."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.DDCNN = nn.ModuleList([_Dilated(inputs, outputs), _Dilated(4 * outputs, outputs)])

    def forward(self, x: Tensor) -> Tensor:
        first = functional.relu(self.DDCNN[0](x))
        second = functional.relu(self.DDCNN[1](first))
        return functional.avg_pool3d(first + second, (1, 2, 2))


class _Compared(nn.Module):
    """Each frame's similarities to its neighbours in time, embedded."""

    def __init__(self, projected: int | None) -> None:
        super().__init__()
        self.projection = nn.Linear(projected, 128) if projected is not None else None
        self.fc = nn.Linear(LOOKUP, 128)

    def forward(self, x: Tensor) -> Tensor:
        """[1, T, C] vectors to [1, T, 128]."""
        if self.projection is not None:
            x = self.projection(x)
        x = functional.normalize(x, dim=2)
        reach = (LOOKUP - 1) // 2
        padded = functional.pad(x @ x.transpose(1, 2), (reach, reach))  # [1, T, T + 2 reach]
        frames = x.shape[1]
        places = torch.arange(LOOKUP) + torch.arange(frames)[:, None]
        return functional.relu(self.fc(padded.gather(2, places[None])))


class TransNetV2(nn.Module):
    """Logits of a cut for each of T frames."""

    def __init__(self) -> None:
        super().__init__()
        self.SDDCNN = nn.ModuleList([_Block(3, 16), _Block(64, 32), _Block(128, 64)])
        self.frame_sim_layer = _Compared(projected=64 + 128 + 256)
        self.color_hist_layer = _Compared(projected=None)
        self.fc1 = nn.Linear(256 * 3 * 6 + 128 + 128, 1024)
        self.cls_layer1 = nn.Linear(1024, 1)
        self.cls_layer2 = nn.Linear(1024, 1)

    def forward(self, frames: Tensor) -> Tensor:
        """[1, T, 27, 48, 3] uint8 to [T]."""
        x = frames.permute(0, 4, 1, 2, 3).float() / 255
        means = []
        for block in self.SDDCNN:
            x = block(x)
            means.append(x.mean((3, 4)))
        alike = self.frame_sim_layer(torch.cat(means, 1).transpose(1, 2))
        colours = self.color_hist_layer(_histograms(frames))
        flat = x.permute(0, 2, 3, 4, 1).flatten(2)
        hidden = functional.relu(self.fc1(torch.cat([colours, alike, flat], 2)))
        return torch.as_tensor(self.cls_layer1(hidden)[0, :, 0])


def load(path: Path) -> TransNetV2:
    """The published weights, loaded as data only."""
    net = TransNetV2()
    net.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return net.eval()


def shrink(rgb: Image) -> Image:
    """The [27, 48, 3] picture that the network sees."""
    return np.asarray(cv2.resize(rgb, SIZE, interpolation=cv2.INTER_AREA), dtype=np.uint8)


@torch.inference_mode()
def find_cuts(net: TransNetV2, frames: Sequence[Image]) -> list[int]:
    """First frames of new shots; `frames` as `shrink` makes them."""
    step = WINDOW - 2 * EDGE
    tail = EDGE + (-len(frames)) % step
    padded = np.stack([frames[0]] * EDGE + list(frames) + [frames[-1]] * tail)
    parts = [
        net(torch.from_numpy(padded[None, start : start + WINDOW]))[EDGE:-EDGE]
        for start in range(0, len(padded) - WINDOW + 1, step)
    ]
    chance = torch.cat(parts)[: len(frames)].sigmoid().numpy()
    return _peaks(chance)


def _peaks(chance: npt.NDArray[np.float32]) -> list[int]:
    """One cut per run above a half; the network marks the last frame before it."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], chance > 0.5, [False]])))
    runs = edges.reshape(-1, 2).tolist()
    return [begin + int(chance[begin:end].argmax()) + 1 for begin, end in runs]


def _histograms(frames: Tensor) -> Tensor:
    """[1, T, 512] counts of RGB in eight levels each."""
    levels = frames[0].long() >> 5  # [T, 27, 48, 3]
    codes = ((levels[..., 0] << 6) + (levels[..., 1] << 3) + levels[..., 2]).flatten(1)
    counts = torch.zeros(codes.shape[0], 512)
    return counts.scatter_add_(1, codes, torch.ones(codes.shape))[None]
