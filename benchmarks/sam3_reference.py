"""transformers' own session of SAM 3's tracker beside this project's, step by step.

transformers differs from the `sam3` package (sam3_tracker_base.py, memory.py) in three places that
are mended in the reference: a mask prompt comes at the picture's size instead of 16 pixels a cell,
its pointer is that of the best of three masks instead of the single one, and logits, not the masks
made of them, are enlarged for memory.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from skimage import data

from perception.masks.prompts import BoxPrompt, MaskPrompt, PointsPrompt, Prompt
from perception.sam2_tracking.state import Memory, Sam2Config, Sam2Track
from perception.sam2_tracking.tracker import Sam2Tracker
from stream.frame import Frame, Mask
from stream.geometry import decode_mask

HEIGHT, WIDTH = 120, 160
PLAIN = Sam2Config(fill_hole_area=0)  # transformers fills no holes
Plan = Sequence[tuple[int, Prompt]]  # the frame on which an object is started


def make_frames(count: int) -> list[Frame]:
    """A photograph that turns and grows."""
    image = cv2.resize(data.astronaut(), (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    frames = []
    for index in range(count):
        turn = cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), 2.0 * index, 1 + 0.01 * index)
        picture = cv2.warpAffine(image, turn, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT)
        frames.append(Frame(index * 100_000_000, 0, picture, "turning"))
    return frames


def square(x: int, y: int, side: int = 40) -> Mask:
    """[HEIGHT, WIDTH] with a square on it."""
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    mask[y : y + side, x : x + side] = True
    return mask


FIVE: Plan = (
    (0, MaskPrompt(square(10, 10))),
    (0, MaskPrompt(square(90, 60))),
    (0, BoxPrompt((40, 30, 120, 110))),
    (0, PointsPrompt(((100.0, 40.0),), (True,))),
    (6, MaskPrompt(square(60, 20, 60))),
)


def as_the_package(model: Any) -> Any:
    """A `Sam3TrackerVideoModel` with the three differences mended."""
    size = int(model.image_size)
    side = 16 * model.backbone_feature_sizes[-1][0]
    answer, single = model._use_mask_as_output, model._single_frame_forward
    encode, memory = model._encode_new_memory, model.memory_encoder.forward

    def use_mask(*args: Any, **more: Any) -> Any:
        model.image_size = side
        model._single_frame_forward = partial(single, multimask_output=False)
        out = answer(*args, **more)
        model.image_size, model._single_frame_forward = size, single
        out.high_res_masks = F.interpolate(out.pred_masks, (size, size), mode="bilinear")
        return out

    def encode_memory(*args: Any, **more: Any) -> Any:
        cells = model.prompt_encoder.mask_input_size
        model.prompt_encoder.mask_input_size = (size // 4, size // 4)  # so logits stay as they are
        found = encode(*args, **more)
        model.prompt_encoder.mask_input_size = cells
        return found

    def enlarged(vision: torch.Tensor, masks: torch.Tensor) -> Any:
        return memory(vision, F.interpolate(masks, (side, side), mode="bilinear", antialias=True))

    model._use_mask_as_output, model._encode_new_memory = use_mask, encode_memory
    model.memory_encoder.forward = enlarged
    return model


class Reference:
    """transformers' session for one object (it binarises every object's memory on a frame where
    any object is prompted, so each has a session of its own)."""

    def __init__(self, model: Any) -> None:
        from transformers import Sam3TrackerVideoInferenceSession

        self._session = Sam3TrackerVideoInferenceSession(
            dtype=torch.float32,
            inference_device=model.device,
            inference_state_device=model.device,
            video_storage_device=model.device,
        )
        self._model, self._size = model, int(model.image_size)

    def prompt(self, index: int, prompt: Prompt) -> None:
        """Start the object on the frame that comes next."""
        session, slot = self._session, self._session.obj_id_to_idx(1)
        if isinstance(prompt, MaskPrompt):
            session.add_mask_inputs(slot, index, self._fitted(prompt.mask))
        else:
            inputs = {"point_coords": self._places(prompt), "point_labels": self._labels(prompt)}
            session.add_point_inputs(slot, index, inputs)
        session.obj_with_new_inputs = [1]

    def step(self, index: int, pixels: torch.Tensor) -> torch.Tensor:
        """[4h, 4w] mask logits of a frame of [1, 3, S, S] pixels."""
        out = self._model(self._session, frame_idx=index, frame=pixels)
        logits: torch.Tensor = out.pred_masks[0, 0].float()
        return logits

    def kept(self, index: int) -> dict[str, torch.Tensor]:
        """What the session keeps of a frame."""
        outputs = self._session.output_dict_per_obj[0]
        first, later = outputs["cond_frame_outputs"], outputs["non_cond_frame_outputs"]
        found: dict[str, torch.Tensor] = first[index] if index in first else later[index]
        return found

    def take(self, index: int, memory: Memory) -> None:
        """Keep another memory of a frame than its own."""
        kept = self.kept(index)
        kept["maskmem_features"] = memory.tokens[:, None].clone()
        kept["object_pointer"] = memory.pointer.view_as(kept["object_pointer"]).clone()

    def _fitted(self, mask: Mask) -> torch.Tensor:
        """[1, 1, M, M] 0 or 1."""
        side = [16 * self._model.backbone_feature_sizes[-1][0]] * 2
        given = torch.from_numpy(mask)[None, None].float()
        soft = F.interpolate(given, side, mode="bilinear", align_corners=False, antialias=True)
        return (soft >= 0.5).float().to(self._model.device)

    def _places(self, prompt: BoxPrompt | PointsPrompt) -> torch.Tensor:
        values = prompt.box if isinstance(prompt, BoxPrompt) else prompt.points
        points = torch.tensor(values, dtype=torch.float32).reshape(1, 1, -1, 2)
        points = points / torch.tensor([WIDTH, HEIGHT]) * self._size
        return points.to(self._model.device)

    def _labels(self, prompt: BoxPrompt | PointsPrompt) -> torch.Tensor:
        kinds = [2, 3] if isinstance(prompt, BoxPrompt) else [int(on) for on in prompt.labels]
        return torch.tensor([[kinds]], dtype=torch.int32, device=self._model.device)


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """One object on one frame, here and in transformers."""

    got: Sam2Track
    mask: Mask
    expected: torch.Tensor  # [4h, 4w] logits
    reference: Reference

    @property
    def newest(self) -> Memory:
        """What this frame left in memory here."""
        return self.got.recent[-1] if self.got.recent else self.got.prompted[-1]

    @property
    def expected_mask(self) -> Mask:
        """[HEIGHT, WIDTH]."""
        size = (HEIGHT, WIDTH)
        full = F.interpolate(self.expected[None, None], size, mode="bilinear", align_corners=False)
        return np.asarray((full[0, 0] > 0).cpu().numpy())


def side_by_side(
    tracker: Sam2Tracker, model: Any, frames: Sequence[Frame], plan: Plan = FIVE
) -> Iterator[tuple[int, list[Pair]]]:
    """Both over the same frames; `model` is of `as_the_package`."""
    references = [Reference(model) for _ in plan]
    state, ids = tracker.init_state(), [0] * len(plan)
    for index, frame in enumerate(frames):
        for slot, (start, prompt) in enumerate(plan):
            if start == index:
                state, ids[slot] = tracker.add(state, frame, None, prompt)
                references[slot].prompt(index, prompt)
        state, regions = tracker.step(state, frame)
        pixels = tracker.networks.pixels(frame.image)
        masks = {region.track_id: decode_mask(region.mask) for region in regions}
        tracks = {track.track_id: track for track in state.tracks}
        yield (
            index,
            [
                Pair(tracks[number], masks[number], one.step(index, pixels), one)
                for number, one, (start, _) in zip(ids, references, plan, strict=True)
                if start <= index
            ],
        )


def relative(got: torch.Tensor, expected: torch.Tensor) -> float:
    """Norm of the difference, as a share of the norm of what was expected."""
    return float((got.float() - expected.float()).norm() / expected.float().norm())
