"""The trackers that `benchmarks.sam2_stream` compares, over the same frames and weights."""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from skimage import data

from perception.masks.prompts import MaskPrompt
from perception.sam2.convert import convert, resize_config
from perception.sam2.convert_edgetam import edgetam_config
from perception.sam2.networks import Sam2Networks
from perception.sam2_tracking.reference import CONFIGS, build_predictor
from perception.sam2_tracking.state import state_bytes
from perception.sam2_tracking.tracker import Sam2Tracker
from stream.errors import ConfigError
from stream.frame import Frame, Image, Mask
from tests.doubles.sam2_random import random_model, randomise

HEIGHT, WIDTH = 480, 640
SAM2_CONFIG = CONFIGS[(96, 12)]  # SAM 2.1-tiny


@dataclass(slots=True)
class Runner:
    """One tracker under test: `step` takes a frame's index and returns masks [N, H, W]."""

    step: Callable[[int], Any]
    held: Callable[[], int]  # bytes of tensors it keeps


def make_runners(
    size: int, frames: list[Frame], masks: list[Mask], args: argparse.Namespace
) -> dict[str, Runner]:
    """The trackers that are installed, all with the same weights."""
    edge = args.model == "edgetam"
    predictor = None if edge else sam2_predictor(size, args.device)
    if predictor is not None:
        model = convert({k: v.cpu() for k, v in predictor.state_dict().items()}, size)
    else:
        model = random_model(_config(edge, size))
    model = model.to(args.device, getattr(torch, args.precision))
    runners = {
        "foveal": foveal_runner(model, frames, masks),
        "transformers": transformers_runner(model, frames, masks),
    }
    if args.mixed:
        runners["foveal-mixed"] = foveal_runner(model, frames, masks, mixed=True)
        peer = transformers_runner(model, frames, masks)
        runners["transformers-autocast"] = _autocast(peer, args.device)
    if predictor is not None and args.precision == "float32":
        runners["sam2"] = sam2_runner(predictor, frames, masks)
        if args.mixed:
            with torch.autocast(torch.device(args.device).type, torch.bfloat16):
                peer = sam2_runner(predictor, frames, masks)
            runners["sam2-autocast"] = _autocast(peer, args.device)
    return runners


def _config(edge: bool, size: int) -> Any:
    """SAM 2.1-tiny, or EdgeTAM as it is released."""
    from transformers import Sam2VideoConfig

    config = edgetam_config() if edge else Sam2VideoConfig()
    resize_config(config, size)
    return config


def _autocast(runner: Runner, device: str) -> Runner:
    """The same with products in bfloat16, as the sam2 package's own examples run it."""

    def step(index: int) -> Any:
        with torch.autocast(torch.device(device).type, torch.bfloat16):
            return runner.step(index)

    return Runner(step, runner.held)


def sam2_predictor(size: int, device: str) -> Any:
    """The package's predictor with random weights, or None where it is not installed."""
    try:
        predictor = build_predictor(SAM2_CONFIG, size).to(device)
    except ConfigError:
        return None
    randomise(predictor, 0)
    return predictor


def foveal_runner(
    model: Any, frames: list[Frame], masks: list[Mask], mixed: bool = False
) -> Runner:
    """This project's tracker."""
    tracker = Sam2Tracker(Sam2Networks(model, mixed))
    state = tracker.init_state()
    for mask in masks:
        state, _ = tracker.add(state, frames[0], None, MaskPrompt(mask))

    def step(index: int) -> Any:
        nonlocal state
        state, regions = tracker.step(state, frames[index])
        return regions

    return Runner(step, lambda: state_bytes(state))


def transformers_runner(model: Any, frames: list[Frame], masks: list[Mask]) -> Runner:
    """transformers' streaming session, every frame kept as it does."""
    from transformers import EdgeTamVideoInferenceSession, Sam2VideoInferenceSession

    networks = Sam2Networks(model)  # only for its resize, the same as the processor's
    side = (networks.image_size, networks.image_size)
    kind = EdgeTamVideoInferenceSession if networks.edge else Sam2VideoInferenceSession
    session = kind(
        inference_device=networks.device,
        inference_state_device=networks.device,
        video_storage_device=networks.device,
        dtype=networks.dtype,
    )
    for number, mask in enumerate(masks):
        slot = session.obj_id_to_idx(number)
        tensor = torch.from_numpy(mask)[None, None].float()
        soft = F.interpolate(tensor, side, mode="bilinear", antialias=True)
        session.add_mask_inputs(slot, 0, (soft >= 0.5).float())
    session.obj_with_new_inputs = list(range(len(masks)))

    def step(index: int) -> Any:
        pixels = networks.pixels(frames[index].image)
        out = model(session, frame_idx=index, frame=pixels)
        logits = F.interpolate(out.pred_masks.float(), side, mode="bilinear", align_corners=False)
        logits = F.interpolate(logits, (HEIGHT, WIDTH), mode="bilinear", align_corners=False)
        return (logits > 0).cpu().numpy()

    return Runner(step, lambda: tensor_bytes(vars(session)))


def sam2_runner(predictor: Any, frames: list[Frame], masks: list[Mask]) -> Runner:
    """The sam2 package: all frames loaded first, then one generator."""
    size = predictor.image_size
    pixels = [
        torch.from_numpy(frame.image).permute(2, 0, 1)[None].float() / 255 for frame in frames
    ]
    images = torch.cat([F.interpolate(p, (size, size), mode="bilinear") for p in pixels])
    state = _sam2_state(predictor, images.sub(0.45).div(0.225))
    for number, mask in enumerate(masks):
        predictor.add_new_mask(state, 0, number, mask)
    stream: Iterator[Any] = predictor.propagate_in_video(state)

    def step(index: int) -> Any:
        found, _, logits = next(stream)
        assert found == index, "one frame after another"
        return (logits > 0).cpu().numpy()

    return Runner(step, lambda: tensor_bytes(state))


def _sam2_state(predictor: Any, images: torch.Tensor) -> Any:
    """`init_state` for frames in memory instead of a folder of JPEG files."""
    import sam2.sam2_video_predictor as module

    images = images.to(predictor.device)
    load = module.load_video_frames
    module.load_video_frames = lambda **_: (images, HEIGHT, WIDTH)
    try:
        return predictor.init_state("frames in memory")
    finally:
        module.load_video_frames = load


def tensor_bytes(thing: Any) -> int:
    """Bytes of all tensors reachable through containers and objects; shared storage once."""
    seen: set[int] = set()
    storages: dict[int, int] = {}
    waiting = [thing]
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, torch.Tensor):
            storages[one.untyped_storage().data_ptr()] = one.untyped_storage().nbytes()
        elif isinstance(one, dict):
            waiting.extend(one.values())
        elif isinstance(one, list | tuple | set):
            waiting.extend(one)
        elif is_dataclass(one):
            waiting.extend(getattr(one, field.name) for field in fields(one))
        elif hasattr(one, "_vision_features"):  # transformers' feature cache
            waiting.append(vars(one))
    return sum(storages.values())


def make_frames(count: int, clip: Path | None = None) -> list[Frame]:
    """A clip's first frames, or a photograph that turns and grows."""
    if clip is not None:
        from stream.sources.video import VideoReader

        images = (frame.image for frame in VideoReader(clip).read(0))
        pictures = [
            cv2.resize(image, (WIDTH, HEIGHT))
            for image, _ in zip(images, range(count), strict=False)
        ]
        pictures += [pictures[-1]] * (count - len(pictures))
    else:
        still = cv2.resize(data.astronaut(), (WIDTH, HEIGHT))
        pictures = [_turned(still, index) for index in range(count)]
    return [Frame(index * 33_333_333, 0, p, "bench") for index, p in enumerate(pictures)]


def _turned(still: Image, index: int) -> Image:
    turn = cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), 1.5 * index, 1 + 0.002 * index)
    return np.asarray(cv2.warpAffine(still, turn, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT))


def make_masks(count: int) -> list[Mask]:
    """Squares on a grid."""
    masks = []
    for number in range(count):
        mask = np.zeros((HEIGHT, WIDTH), bool)
        x, y = 40 + 120 * (number % 5), 60 + 200 * (number // 5 % 2)
        mask[y : y + 110, x : x + 100] = True
        masks.append(mask)
    return masks
