"""SAM 3's tracker under the bounded state against transformers' session, which keeps every frame.

transformers differs from the `sam3` package in three places, which are mended in the reference: a
mask prompt comes at the picture's size instead of 16 pixels a cell, its pointer is that of the best
of three masks instead of the single one, and logits, not the masks made of them, are enlarged for
memory.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from skimage import data

from perception.masks.prompts import BoxPrompt, MaskPrompt, PointsPrompt, Prompt
from perception.sam2.types import DecodedMasks
from perception.sam2_tracking.state import Sam2Config, Sam2Track, state_bytes
from perception.sam2_tracking.tracker import Sam2Tracker
from perception.sam3.checkpoint import load_part
from perception.sam3.tracker import load_sam3_tracker
from stream.errors import ConfigError
from stream.frame import Frame, Mask
from stream.geometry import decode_mask, mask_iou
from tests.doubles.sam3_random import SIDE, random_tracker_model, tiny_tracker_config

HEIGHT, WIDTH = 120, 160
CELLS = SIDE // 14
MASK_SIDE = 16 * CELLS
FRAMES = 40
PLAIN = Sam2Config(fill_hole_area=0)  # transformers fills no holes


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
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    mask[y : y + side, x : x + side] = True
    return mask


def fitted(mask: Mask) -> torch.Tensor:
    """[1, 1, M, M] 0 or 1."""
    given = torch.from_numpy(mask)[None, None].float()
    side = (MASK_SIDE, MASK_SIDE)
    soft = F.interpolate(given, side, mode="bilinear", align_corners=False, antialias=True)
    return (soft >= 0.5).float()


def as_the_package(model: Any) -> Any:
    """transformers' model with the three differences mended."""
    answer, single = model._use_mask_as_output, model._single_frame_forward
    encode, memory = model._encode_new_memory, model.memory_encoder.forward

    def use_mask(*args: Any, **more: Any) -> Any:
        model.image_size = MASK_SIDE
        model._single_frame_forward = partial(single, multimask_output=False)
        out = answer(*args, **more)
        model.image_size, model._single_frame_forward = SIDE, single
        out.high_res_masks = F.interpolate(out.pred_masks, (SIDE, SIDE), mode="bilinear")
        return out

    def encode_memory(*args: Any, **more: Any) -> Any:
        cells = model.prompt_encoder.mask_input_size
        model.prompt_encoder.mask_input_size = (SIDE // 4, SIDE // 4)  # so logits stay as they are
        found = encode(*args, **more)
        model.prompt_encoder.mask_input_size = cells
        return found

    def enlarged(vision: torch.Tensor, masks: torch.Tensor) -> Any:
        side = (MASK_SIDE, MASK_SIDE)
        return memory(vision, F.interpolate(masks, side, mode="bilinear", antialias=True))

    model._use_mask_as_output, model._encode_new_memory = use_mask, encode_memory
    model.memory_encoder.forward = enlarged
    return model


class Reference:
    """transformers' session for one object."""

    def __init__(self, model: Any) -> None:
        from transformers import Sam3TrackerVideoInferenceSession

        self.session = Sam3TrackerVideoInferenceSession(dtype=torch.float32)
        self._model = model

    def prompt(self, index: int, prompt: Prompt) -> None:
        session, slot = self.session, self.session.obj_id_to_idx(1)
        if isinstance(prompt, MaskPrompt):
            session.add_mask_inputs(slot, index, fitted(prompt.mask))
        else:
            box = isinstance(prompt, BoxPrompt)
            values = prompt.box if isinstance(prompt, BoxPrompt) else prompt.points
            points = torch.tensor(values, dtype=torch.float32).reshape(1, 1, -1, 2)
            points = points / torch.tensor([WIDTH, HEIGHT]) * SIDE
            kinds = [2, 3] if box else [int(on) for on in prompt.labels]  # type: ignore[union-attr]
            labels = torch.tensor([[kinds]], dtype=torch.int32)
            inputs = {"point_coords": points, "point_labels": labels}
            session.add_point_inputs(slot, index, inputs)
        session.obj_with_new_inputs = [1]

    def step(self, index: int, pixels: torch.Tensor) -> torch.Tensor:
        out = self._model(self.session, frame_idx=index, frame=pixels)
        logits: torch.Tensor = out.pred_masks[0, 0].float()
        return logits

    def kept(self, index: int) -> dict[str, torch.Tensor]:
        """What the session keeps of a frame."""
        outputs = self.session.output_dict_per_obj[0]
        first, later = outputs["cond_frame_outputs"], outputs["non_cond_frame_outputs"]
        found: dict[str, torch.Tensor] = first[index] if index in first else later[index]
        return found


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny networks run slower on many threads, most of all on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sam3")
    random_tracker_model(tiny_tracker_config(), seed=1).save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights that look at the average of their memories: errors do not grow."""
    path = tmp_path_factory.mktemp("calm")
    random_tracker_model(tiny_tracker_config(), seed=1, gain=1.0).save_pretrained(path)
    return path


def relative(got: torch.Tensor, expected: torch.Tensor) -> float:
    return float((got.float() - expected.float()).norm() / expected.float().norm())


def mask_of(logits: torch.Tensor) -> Mask:
    full = F.interpolate(logits[None, None], (HEIGHT, WIDTH), mode="bilinear", align_corners=False)
    return np.asarray((full[0, 0] > 0).numpy())


PLAN: list[tuple[int, Prompt]] = [
    (0, MaskPrompt(square(10, 10))),
    (0, MaskPrompt(square(90, 60))),
    (0, BoxPrompt((40, 30, 120, 110))),
    (0, PointsPrompt(((100.0, 40.0),), (True,))),
    (6, MaskPrompt(square(60, 20, 60))),
]


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """One object on one frame, here and in transformers."""

    got: Sam2Track
    mask: Mask
    expected: torch.Tensor  # [4h, 4w] logits
    reference: Reference


def side_by_side(folder: Path) -> Iterator[tuple[int, list[Pair]]]:
    """Both over the same frames with five objects, one of them added late."""
    tracker = load_sam3_tracker(folder, PLAIN)
    model = as_the_package(load_part(folder, "tracker"))
    references = [Reference(model) for _ in PLAN]
    state, ids = tracker.init_state(), [0] * len(PLAN)
    for index, frame in enumerate(make_frames(FRAMES)):
        for slot, (start, prompt) in enumerate(PLAN):
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
                for number, one, (start, _) in zip(ids, references, PLAN, strict=True)
                if start <= index
            ],
        )


def test_every_step_of_forty_frames_equals_transformers(folder: Path) -> None:
    """Memories are kept in bfloat16, and a rounding that falls the other way grows in networks as
    wild as these: transformers' session is handed this tracker's memories after each comparison.
    """
    spread = []
    for index, pairs in side_by_side(folder):
        for slot, pair in enumerate(pairs):
            newest = pair.got.recent[-1] if pair.got.recent else pair.got.prompted[-1]
            kept = pair.reference.kept(index)
            where = (index, slot)
            assert relative(pair.got.logits, pair.expected) < 1e-4, where
            assert relative(newest.pointer, kept["object_pointer"].flatten()) < 1e-4, where
            assert relative(newest.tokens, kept["maskmem_features"][:, 0]) < 2e-3, where
            assert mask_iou(pair.mask, mask_of(pair.expected)) >= 0.999, where
            kept["maskmem_features"] = newest.tokens[:, None].clone()
            kept["object_pointer"] = newest.pointer.view_as(kept["object_pointer"]).clone()
        spread.append(relative(pairs[0].got.logits, pairs[1].got.logits))
    assert min(spread) > 1e-2, "objects must differ for this to say much"


def test_forty_frames_that_run_freely_keep_the_masks(calm: Path) -> None:
    for index, pairs in side_by_side(calm):
        for slot, pair in enumerate(pairs):
            assert mask_iou(pair.mask, mask_of(pair.expected)) >= 0.99, (index, slot)


def test_each_component_equals_transformers(folder: Path) -> None:
    networks, model = load_sam3_tracker(folder, PLAIN).networks, load_part(folder, "tracker")
    image = make_frames(1)[0].image
    pixels = networks.pixels(image)
    with torch.inference_mode():
        seen = networks.features(image)
        fine, middle, coarse = model.get_image_features(pixels, return_dict=True).fpn_hidden_states
        assert relative(seen.tokens, coarse[:, 0]) < 1e-5
        assert relative(seen.middle.flatten(2)[0].T, middle[:, 0]) < 1e-5
        assert relative(seen.fine.flatten(2)[0].T, fine[:, 0]) < 1e-5
        points = torch.tensor([[[50.0, 40.0]]])
        labels = torch.ones(1, 1, dtype=torch.int32)
        found = networks.choose(
            networks.candidates(seen, networks.alone(seen), points, labels, first=True)
        )
        maps = [
            one.permute(1, 2, 0).view(1, -1, *size)
            for one, size in zip(
                (fine, middle, coarse + model.no_memory_embedding),
                model.backbone_feature_sizes,
                strict=True,
            )
        ]
        expected = model._single_frame_forward(
            input_points=points[:, None], input_labels=labels[:, None], image_embeddings=maps
        )
        assert relative(found.logits, expected.pred_masks[:, 0]) < 1e-4
        assert relative(found.pointers, expected.object_pointer[:, 0]) < 1e-4
        assert relative(found.presence, expected.object_score_logits.flatten()) < 1e-4


def test_masks_enter_memory_at_sixteen_pixels_a_cell(folder: Path) -> None:
    """1008 px make 72 cells of 14 px: the masks of memory are 1152 px wide, as in the package."""
    networks = load_sam3_tracker(folder, PLAIN).networks
    given = []
    networks._memory_encoder._down[0].conv.register_forward_pre_hook(
        lambda module, inputs: given.append(inputs[0])
    )
    with torch.inference_mode():
        seen = networks.features(make_frames(1)[0].image)
        one = torch.ones(1)
        logits = torch.randn(1, 4 * CELLS, 4 * CELLS, generator=torch.Generator().manual_seed(0))
        decoded = DecodedMasks(logits, torch.zeros(1, 128), one, one)
        tokens = networks.remember(seen, decoded, prompted=True)
    assert given[0].shape == (1, 1, MASK_SIDE, MASK_SIDE) and tokens.shape[1] == CELLS * CELLS
    assert float(given[0].min()) == -10 and float(given[0].max()) == 10


def grown(tracker: Sam2Tracker, frames: int) -> list[int]:
    """Bytes of the state after each frame, with three objects."""
    state, sizes = tracker.init_state(), []
    pictures = make_frames(8)
    for index in range(frames):
        frame = Frame(index, 0, pictures[index % 8].image, "turning")
        if index == 0:
            for x in (10, 50, 100):
                state, _ = tracker.add(state, frame, None, MaskPrompt(square(x, 30)))
        state, _ = tracker.step(state, frame)
        sizes.append(state_bytes(state))
    return sizes


def test_memory_is_bounded(folder: Path) -> None:
    sizes = grown(load_sam3_tracker(folder, PLAIN), 40)
    assert len(set(sizes[16:])) == 1  # six memories and fifteen pointers are full by then


def test_another_image_size(folder: Path) -> None:
    tracker = load_sam3_tracker(folder, PLAIN, image_size=140)
    assert tracker.networks.image_size == 140 and tracker.networks.grid == (10, 10)
    frames = make_frames(3)
    state, _ = tracker.add(tracker.init_state(), frames[0], None, MaskPrompt(square(50, 30)))
    for frame in frames:
        state, (region,) = tracker.step(state, frame)
        assert decode_mask(region.mask).shape == (HEIGHT, WIDTH)
    with pytest.raises(ConfigError, match="multiple of 14"):
        load_sam3_tracker(folder, image_size=128)


def test_pixels_equal_the_processor(folder: Path) -> None:
    from transformers import Sam3ImageProcessor

    tracker = load_sam3_tracker(folder, Sam2Config(resize="bilinear"))
    image = make_frames(3)[2].image
    processor = Sam3ImageProcessor(size={"height": SIDE, "width": SIDE})
    expected = processor(images=image, return_tensors="pt").pixel_values
    assert torch.allclose(tracker.networks.pixels(image), expected, atol=1e-5)


def test_mixed_keeps_the_masks(calm: Path) -> None:
    exact, mixed = (load_sam3_tracker(calm, PLAIN, precision=one) for one in ("float32", "mixed"))
    kinds = []
    layer = mixed.networks._model.vision_encoder.backbone.layers[0]
    layer.register_forward_hook(lambda module, given, out: kinds.append(out.dtype))
    states = [exact.init_state(), mixed.init_state()]
    frames = make_frames(6)
    for slot, tracker in enumerate((exact, mixed)):
        states[slot], _ = tracker.add(states[slot], frames[0], None, MaskPrompt(square(50, 30)))
        for frame in frames:
            states[slot], _ = tracker.step(states[slot], frame)
    assert set(kinds) == {torch.float32}  # the residual stream
    first, second = (state.tracks[0].logits for state in states)
    assert mask_iou(mask_of(first), mask_of(second)) >= 0.95


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_is_refused_with_the_reason(precision: Any, folder: Path) -> None:
    with pytest.raises(ConfigError, match="expected precision float32 or mixed for SAM 3"):
        load_sam3_tracker(folder, precision=precision)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("precision", ["float32", "mixed"])
def test_the_same_masks_on_a_gpu(precision: Any, calm: Path) -> None:
    masks = []
    for tracker in (
        load_sam3_tracker(calm, PLAIN),
        load_sam3_tracker(calm, PLAIN, precision=precision, device="cuda"),
    ):
        frames = make_frames(8)
        state, _ = tracker.add(tracker.init_state(), frames[0], None, MaskPrompt(square(50, 30)))
        for frame in frames:
            state, (region,) = tracker.step(state, frame)
        masks.append(decode_mask(region.mask))
    assert mask_iou(masks[0], masks[1]) >= 0.95
