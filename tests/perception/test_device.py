"""Devices by name; and every network of perception off the CPU gives what it gives on it.

The second processor is everywhere (`tests.doubles.second_device`), CUDA where there is a GPU.
"""

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import pytest
import torch
from torch import nn

from perception.detect.blazeface import BlazeFace
from perception.detect.centernet import CenterNet
from perception.detect.detector import Detector
from perception.detect.faces import FaceDetector
from perception.device import CPU, Device, resolve_device
from perception.features.backbone import Backbone, masked_mean
from perception.masks.proposals import propose
from perception.masks.sam_decoder import SamDecoder
from perception.masks.small_sam import SmallSam
from perception.masks.tiny_vit import TinyViT
from perception.tracking.head import CueNet, NetRefiner
from perception.tracking.renewal import Renewer
from perception.tracking.settings import TrackerConfig
from perception.tracking.tracker import EmbeddedTracker
from stream.errors import ConfigError, MissingDeviceError
from stream.frame import Image
from stream.geometry import decode_mask, mask_iou
from tests.perception.rendered import cat, compose, face

Network = TypeVar("Network", bound=nn.Module)
PLAIN = Device("cpu", torch.float32)
CLOSE = 2e-3  # of the largest value: CUDA multiplies float32 as TF32 in convolutions


def picture(seed: int = 0) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (96, 160, 3), dtype=np.uint8)


def close(here: torch.Tensor, there: torch.Tensor) -> bool:
    """There it lies elsewhere."""
    assert there.device.type != "cpu"
    error = (here - there.cpu()).abs().max() / here.abs().max()
    return bool(error < CLOSE)


def seeded(make: Callable[[], Network], seed: int = 0) -> Network:
    """Random weights, the same each time; what starts as zeros too."""
    torch.manual_seed(seed)
    network = make().eval()
    for parameter in network.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.05)
    return network


def test_the_backbone_and_what_is_read_from_it(other_device: Device) -> None:
    here, there = Backbone.random(0, PLAIN), Backbone.random(0, other_device)
    seen, far = here.features(picture(), 64), there.features(picture(), 64)
    assert close(seen.dense, far.dense) and close(seen.top, far.top)
    pooled, away = here.pooled([picture()] * 2), there.pooled([picture()] * 2)
    assert close(pooled, away) and there.pooled([]).shape == (0, 1280)
    for rows in (pooled, away):  # from wherever
        assert np.allclose(here.class_posteriors(pooled), there.class_posteriors(rows), atol=1e-3)
    mask = np.zeros((96, 160), bool)
    mask[20:60, 30:90] = True
    assert close(masked_mean(seen.top, mask), masked_mean(far.top, mask))
    assert len(propose(picture(), far)) == len(propose(picture(), seen))


def test_the_detectors(other_device: Device) -> None:
    nets = [seeded(CenterNet).to(device.name) for device in (PLAIN, other_device)]
    things, far = (
        Detector(net, device).detect(picture(), 0.0)
        for net, device in zip(nets, (PLAIN, other_device), strict=True)
    )
    assert len(things) == len(far) > 0
    assert [one.probability for one in far] == pytest.approx(
        [one.probability for one in things], abs=1e-3
    )
    boxes = [
        FaceDetector(seeded(BlazeFace).to(device.name), device).faces(picture(), 0.0, closer=False)
        for device in (PLAIN, other_device)
    ]
    assert len(boxes[0]) == len(boxes[1]) > 0


def sam(device: Device) -> SmallSam:
    return SmallSam(seeded(TinyViT), seeded(SamDecoder, 1), 96, device)


def test_the_small_sam_by_every_prompt(other_device: Device) -> None:
    here, there = sam(PLAIN), sam(other_device)
    image, box = picture(), (20, 20, 90, 70)
    assert close(here.embed(image).cells, there.embed(image).cells)
    rough = here.from_box(image, box)
    assert mask_iou(rough, there.from_box(image, box)) > 0.98
    features = Backbone.random(0, PLAIN).features(image, 64)
    point = (40, 40)
    assert (
        mask_iou(here.from_point(image, point, features), there.from_point(image, point, features))
        > 0.98
    )
    assert mask_iou(here.sharpen(image, rough), there.sharpen(image, rough)) > 0.98
    assert [each is None for each in Renewer(here)(image, [rough])] == [
        each is None for each in Renewer(there)(image, [rough])
    ]


def follow(device: Device) -> list[np.ndarray]:
    """Masks of two things over frames in which one leaves and comes back."""
    refiner = NetRefiner(seeded(CueNet).to(device.name, device.dtype))
    backbone = Backbone.random(0, device)
    tracker = EmbeddedTracker(backbone, TrackerConfig(renew_every=4), refiner, Renewer(sam(device)))
    state, masks = tracker.init_state(), []
    pair = (face(), cat())
    for number in range(6):
        away = number in (2, 3)
        sprites, places = (pair[:1], ((80.0, 70.0),)) if away else (pair, ((80, 70), (180, 80)))
        frame, shown = compose(sprites, places, number)
        if number == 0:
            for mask in shown:
                state, _ = tracker.add(state, frame, None, mask)
        state, regions = tracker.step(state, frame)
        masks += [decode_mask(region.mask) for region in regions]
    return masks


def test_the_embedded_tracker_follows_loses_seeks_and_renews(other_device: Device) -> None:
    here, there = follow(PLAIN), follow(other_device)
    same = [mask_iou(a, b) for a, b in zip(here, there, strict=True) if a.any() or b.any()]
    assert len(same) > 4 and float(np.mean(same)) > 0.95


def test_auto_is_cuda_where_there_is_one_and_never_mps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert resolve_device() == CPU and resolve_device("mps") == Device("mps", torch.float32)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    assert resolve_device() == Device("cuda", torch.bfloat16)
    assert resolve_device("auto", "float16") == Device("cuda", torch.float16)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    assert resolve_device("cuda") == Device("cuda", torch.float32)
    assert resolve_device("cpu", "bfloat16").dtype is torch.bfloat16


@pytest.mark.parametrize(
    ("name", "precision", "error", "told"),
    [
        ("cuda", "auto", MissingDeviceError, "expected a GPU .* use auto or cpu"),
        ("mps", "auto", MissingDeviceError, "Apple GPU"),
        ("tpu", "auto", ConfigError, "auto, cpu, cuda, mps; got 'tpu'"),
        ("cpu", "int4", ConfigError, "float16; got 'int4'"),
        ("cpu", "float16", ConfigError, "emulates"),
    ],
)
def test_what_there_is_not_is_refused(
    name: str, precision: str, error: type[Exception], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(error, match=told):
        resolve_device(name, precision)
