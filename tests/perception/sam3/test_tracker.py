"""SAM 3's tracker in a bounded state against transformers' session, which keeps every frame."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.sam3_reference import (
    HEIGHT,
    PLAIN,
    WIDTH,
    Pair,
    as_the_package,
    make_frames,
    relative,
    side_by_side,
    square,
)
from perception.masks.prompts import MaskPrompt
from perception.sam2.types import DecodedMasks
from perception.sam2_tracking.state import Sam2Config, state_bytes
from perception.sam2_tracking.tracker import Sam2Tracker
from perception.sam3.checkpoint import load_part
from perception.sam3.tracker import load_sam3_tracker
from stream.errors import ConfigError
from stream.frame import Frame
from stream.geometry import decode_mask, mask_iou
from tests.doubles.sam3_random import SIDE, random_tracker_model, tiny_tracker_config

CELLS = SIDE // 14
MASK_SIDE = 16 * CELLS


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


def both(folder: Path, frames: int) -> Iterator[tuple[int, list[Pair]]]:
    """Five objects, one of them added late."""
    tracker, model = load_sam3_tracker(folder, PLAIN), load_part(folder, "tracker")
    return side_by_side(tracker, as_the_package(model), make_frames(frames))


def test_every_step_of_forty_frames_equals_transformers(folder: Path) -> None:
    """Memories are kept in bfloat16, and a rounding that falls the other way grows in networks as
    wild as these: transformers' session is handed this tracker's memories after each comparison.
    """
    spread = []
    for index, pairs in both(folder, 40):
        for slot, pair in enumerate(pairs):
            newest, kept, where = pair.newest, pair.reference.kept(index), (index, slot)
            assert relative(pair.got.logits, pair.expected) < 1e-4, where
            assert relative(newest.pointer, kept["object_pointer"].flatten()) < 1e-4, where
            assert relative(newest.tokens, kept["maskmem_features"][:, 0]) < 2e-3, where
            assert mask_iou(pair.mask, pair.expected_mask) >= 0.999, where
            pair.reference.take(index, newest)
        spread.append(relative(pairs[0].got.logits, pairs[1].got.logits))
    assert min(spread) > 1e-2, "objects must differ for this to say much"


def test_frames_that_run_freely_keep_the_masks(calm: Path) -> None:
    for index, pairs in both(calm, 20):
        for slot, pair in enumerate(pairs):
            assert mask_iou(pair.mask, pair.expected_mask) >= 0.99, (index, slot)


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
    mixed, frames = load_sam3_tracker(calm, PLAIN, precision="mixed"), make_frames(6)
    kinds = []
    layer = mixed.networks._model.vision_encoder.backbone.layers[0]
    layer.register_forward_hook(lambda module, given, out: kinds.append(out.dtype))
    model = as_the_package(load_part(calm, "tracker"))
    for index, pairs in side_by_side(mixed, model, frames, [(0, MaskPrompt(square(50, 30)))]):
        assert mask_iou(pairs[0].mask, pairs[0].expected_mask) >= 0.95, index
    assert set(kinds) == {torch.float32}  # the residual stream


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
