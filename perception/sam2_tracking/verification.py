"""Our SAM 2 against the `sam2` package on the same pictures, component by component."""

import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch

from perception.masks.prompts import BoxPrompt, MaskPrompt, PointsPrompt, Prompt
from perception.sam2.convert import read_checkpoint
from perception.sam2.convert_edgetam import is_edgetam
from perception.sam2.types import FrameFeatures
from perception.sam2_tracking.edgetam_reference import EdgeTamSession, as_mask
from perception.sam2_tracking.open import load_model, load_sam2_tracker
from perception.sam2_tracking.reference import PackageSession, package_predictor, write_clip
from perception.sam2_tracking.state import Memory, Sam2Config, Sam2State, Sam2Track
from perception.sam2_tracking.tracker import Sam2Tracker
from stream.events import Region
from stream.frame import Frame, Image, Mask
from stream.geometry import decode_mask, mask_iou

HEIGHT, WIDTH = 240, 320  # of the made-up clip
FRAMES = 10

# What may lie between the two, as a share of the package's norm. Memory is kept in bfloat16 on both
# sides, and a prompted mask enters it as 0 or 1, so that a cell whose logit is nearly 0 may differ.
LIMITS = {
    "pixels": 1e-6,
    "image features": 1e-4,
    "prompt tokens": 1e-5,
    "mask logits": 5e-3,
    "object pointers": 2e-3,
    "memory tokens": 2e-2,
    "memory positions": 1e-5,
    "masks": 1e-2,
}


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far one component is from the package's, at its worst."""

    component: str
    difference: float  # largest absolute; of masks: 1 - IoU
    distance: float  # `apart` of the worst frame and object; of masks: 1 - IoU
    limit: float  # of the distance

    @property
    def agrees(self) -> bool:
        """Whether the distance is within the limit."""
        return self.distance <= self.limit


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """An object is prompted: started when its name is new, else corrected."""

    index: int  # frame
    name: int  # of the object
    prompt: Prompt


@dataclass(slots=True)
class _Worst:
    """The largest difference of each component so far."""

    found: dict[str, tuple[float, float]] = field(default_factory=dict)

    def add(self, component: str, ours: torch.Tensor, theirs: torch.Tensor) -> None:
        """Tensors of one shape."""
        assert ours.shape == theirs.shape, (component, ours.shape, theirs.shape)
        ours, theirs = ours.float().cpu(), theirs.float().cpu()
        if not bool(ours.isfinite().all()):
            return self.note(component, math.inf, math.inf)
        return self.note(component, float((ours - theirs).abs().max()), apart(ours, theirs))

    def note(self, component: str, difference: float, distance: float) -> None:
        """Keep the larger of each."""
        before = self.found.get(component, (0.0, 0.0))
        self.found[component] = (max(before[0], difference), max(before[1], distance))

    def rows(self) -> tuple[Agreement, ...]:
        """In the order of LIMITS."""
        return tuple(
            Agreement(name, *self.found[name], limit)
            for name, limit in LIMITS.items()
            if name in self.found
        )


def apart(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """Norm of the difference as a share of the norm of `theirs`."""
    return float((ours - theirs).norm() / theirs.norm().clamp(min=1e-12))


def verify(checkpoint: Path, image_size: int) -> tuple[Agreement, ...]:
    """A SAM 2 or 2.1 `.pt` in our tracker and in the package, over a short made-up clip.

    EdgeTAM's is compared with transformers' session instead (edgetam_reference.py).
    Raises AssetError for a file that is no checkpoint, ConfigError without the package.
    """
    if is_edgetam(read_checkpoint(checkpoint)):
        return verify_edgetam(checkpoint, image_size)
    predictor = package_predictor(checkpoint, image_size)
    tracker = load_sam2_tracker(checkpoint, exact_config(FRAMES), image_size=image_size)
    with tempfile.TemporaryDirectory() as folder:
        frames = write_clip([_picture(index) for index in range(FRAMES)], Path(folder))
        session = PackageSession(predictor, Path(folder))
        return compare(session, tracker, frames, _plan())


def verify_edgetam(checkpoint: Path, image_size: int) -> tuple[Agreement, ...]:
    """Boxes and points of the first frame, each object in a session of its own.

    `checkpoint`: `edgetam.pt` or a folder as transformers writes it.
    """
    config = Sam2Config(fill_hole_area=0)  # transformers fills none
    tracker = load_sam2_tracker(checkpoint, config, image_size=image_size)
    model, worst = load_model(checkpoint, image_size).eval(), _Worst()
    pictures = [_picture(index) for index in range(FRAMES)]
    frames = [Frame(n * 100_000_000, 0, image, "made up") for n, image in enumerate(pictures)]
    for prompt in (step.prompt for step in _plan() if step.index == 0):
        if isinstance(prompt, MaskPrompt):
            continue
        session = EdgeTamSession(model)
        session.prompt(prompt, frames[0].size)
        state, _ = tracker.add(tracker.init_state(), frames[0], None, prompt)
        for index, frame in enumerate(frames):
            state, (region,) = tracker.step(state, frame)
            theirs = session.step(index, tracker.networks.pixels(frame.image))
            worst.add("mask logits", state.tracks[0].logits, theirs)
            missed = 1 - _overlap(decode_mask(region.mask), as_mask(theirs, frame.size))
            worst.note("masks", missed, missed)
    return worst.rows()


def exact_config(frames: int) -> Sam2Config:
    """The package's behaviour over a clip of so many frames."""
    return Sam2Config(keep_corrections=False, max_conditioning=max(4, frames), clip_frames=frames)


def compare(
    session: PackageSession, tracker: Sam2Tracker, frames: Sequence[Frame], plan: Sequence[Step]
) -> tuple[Agreement, ...]:
    """The worst of every component over all frames and objects.

    `frames`: those of the session's clip. The tracker is opened with `exact_config`.
    """
    worst, state, ids = _Worst(), tracker.init_state(), dict[int, int]()
    with torch.inference_mode():
        _compare_features(session, tracker, frames, worst)
        for step in plan:
            _compare_prompt(session, tracker, frames[0].size, step.prompt, worst)
    for index, frame in enumerate(frames):
        steps = [step for step in plan if step.index == index]
        for step in steps:
            if step.name not in ids:
                session.prompt(index, step.name, step.prompt)
                state, ids[step.name] = tracker.add(state, frame, None, step.prompt)
        session.step(index)
        state, regions = tracker.step(state, frame)
        for step in steps:
            if index > 0 and step.name in _started(plan, index):
                session.prompt(index, step.name, step.prompt)
                state = tracker.correct(state, frame, ids[step.name], step.prompt)
        session.settle()
        state, regions = tracker.step(state, frame)
        _compare_objects(session, index, state, regions, ids, worst)
    positions = session.output(0, plan[0].name)["maskmem_pos_enc"][-1][0].flatten(1).T
    worst.add("memory positions", tracker.networks.memory_positions, positions)
    return worst.rows()


def _started(plan: Sequence[Step], index: int) -> set[int]:
    """Objects that were there before frame `index`."""
    return {step.name for step in plan if step.index < index}


def _compare_features(
    session: PackageSession, tracker: Sam2Tracker, frames: Sequence[Frame], worst: _Worst
) -> None:
    image = frames[0].image
    worst.add("pixels", tracker.networks.pixels(image)[0], session.pictures[0])
    ours = tracker.networks.features(image)
    fine, middle, coarse = session.predictor.forward_image(session.pictures[:1])["backbone_fpn"]
    theirs = FrameFeatures(coarse[0].flatten(1).T, middle, fine)
    for name in ("tokens", "middle", "fine"):
        worst.add("image features", getattr(ours, name), getattr(theirs, name))


def _compare_prompt(
    session: PackageSession,
    tracker: Sam2Tracker,
    size: tuple[int, int],
    prompt: Prompt,
    worst: _Worst,
) -> None:
    model, networks = session.predictor, tracker.networks
    if isinstance(prompt, MaskPrompt):
        mask = networks.fit_mask(prompt.mask)
        ours = networks.mask_tokens(mask)
        theirs = model.sam_prompt_encoder(None, None, model.mask_downsample(mask))[1]
        worst.add("prompt tokens", ours, theirs)
        return
    points, labels = tracker.segmenter.points(prompt, size)
    worst.add(
        "prompt tokens",
        networks.prompt_tokens(points, labels)[0][:, 0],
        model.sam_prompt_encoder((points, labels), None, None)[0],
    )


def _compare_objects(
    session: PackageSession,
    index: int,
    state: Sam2State,
    regions: Sequence[Region],
    ids: dict[int, int],
    worst: _Worst,
) -> None:
    tracks = {track.track_id: track for track in state.tracks}
    masks = {region.track_id: decode_mask(region.mask) for region in regions}
    for name, track_id in ids.items():
        track, theirs = tracks[track_id], session.output(index, name)
        memory = _newest(track)
        worst.add("mask logits", track.logits, theirs["pred_masks"][0, 0])
        worst.add("object pointers", memory.pointer, theirs["obj_ptr"][0])
        worst.add("memory tokens", memory.tokens, theirs["maskmem_features"][0].flatten(1).T)
        missed = 1 - _overlap(masks[track_id], session.mask(index, name))
        worst.note("masks", missed, missed)


def _newest(track: Sam2Track) -> Memory:
    return max((*track.prompted, *track.recent), key=lambda memory: memory.index)


def _overlap(ours: Mask, theirs: Mask) -> float:
    """IoU; of two empty masks 1."""
    return mask_iou(ours, theirs) if ours.any() or theirs.any() else 1.0


def _picture(index: int) -> Image:
    """[HEIGHT, WIDTH, 3]: a soft ground, and a disc and a square that move apart."""
    ground = np.random.default_rng(0).integers(40, 120, (6, 8, 3), dtype=np.uint8)
    picture = cv2.resize(ground, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    cv2.circle(picture, (90 + 3 * index, 90), 40, (230, 60, 40), -1)
    cv2.rectangle(picture, (200, 120 + 2 * index), (270, 190 + 2 * index), (60, 200, 220), -1)
    return np.asarray(picture)


def _plan() -> list[Step]:
    """Every kind of prompt, a late start and corrections."""
    disc = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.circle(disc, (90, 90), 40, 1, -1)
    return [
        Step(0, 0, MaskPrompt(disc > 0)),
        Step(0, 1, BoxPrompt((198, 118, 272, 192))),
        Step(0, 2, PointsPrompt(((90.0, 90.0),), (True,))),
        Step(0, 3, PointsPrompt(((230.0, 150.0), (30.0, 20.0)), (True, False))),
        Step(4, 4, BoxPrompt((60, 48, 146, 132))),
        Step(6, 2, PointsPrompt(((120.0, 95.0), (250.0, 40.0)), (True, False))),
        Step(7, 1, BoxPrompt((198, 130, 272, 208))),
        Step(8, 0, MaskPrompt(np.roll(disc > 0, 24, axis=1))),
    ]
