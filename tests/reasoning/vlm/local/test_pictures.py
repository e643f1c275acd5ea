"""What a picture costs is bounded, whatever the processor would make of it."""

import numpy as np
import pytest

from reasoning.vlm.local.dialogue import Dialogue
from reasoning.vlm.local.pictures import as_picture, bound, fitted, resized_by
from tests.doubles.vlm_random import FAMILIES

SMALL = 32 * 32  # px
NOISE = np.random.default_rng(0).integers(0, 255, (90, 160, 3), np.uint8)
MOST = {  # tokens of one picture of SMALL pixels: four a square of 32, or one a square of 16
    "smolvlm": 4,
    "idefics3": 4,
    "qwen2_5_vl": 4,
    "qwen3_vl": 4,
    "qwen3_5": 4,
    "internvl": 4,
    "gemma3": 4,  # of one size in any case
}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_picture_costs_no_more_than_its_pixels(family: str) -> None:
    _, processor = FAMILIES[family]()
    counted = []
    for pixels in (64 * 64, SMALL):
        bound(processor.image_processor, pixels)
        dialogue = Dialogue(processor, "Answer.", "tiny")
        inputs = dialogue.inputs(dialogue.head([""]), [as_picture(NOISE, pixels)])
        pictured = dialogue.never()
        counted.append(sum(token in pictured for token in inputs["input_ids"][0].tolist()))
    large, small = counted
    assert small <= large and small <= MOST[family] + 2  # and what stands around it


def test_sizes_keep_their_shape() -> None:
    assert fitted((720, 1280), 720 * 1280) == (720, 1280)
    assert fitted((720, 1280), 360 * 640) == (360, 640)
    assert fitted((1, 5000), 100) == (1, 707)
    assert as_picture(NOISE, 90 * 160).size == (160, 90)


def test_qwen_s_own_resizing_is_known() -> None:
    """What boxes in pixels are pixels of."""
    _, processor = FAMILIES["qwen2_5_vl"]()
    bound(processor.image_processor, SMALL)
    resized = resized_by(processor.image_processor)
    assert resized is not None
    height, width = resized.size((90, 160))
    grid = processor.image_processor(images=[as_picture(NOISE, 90 * 160)], return_tensors="pt")
    _, rows, columns = grid["image_grid_thw"][0].tolist()
    assert (height, width) == (rows * 8, columns * 8) and height * width <= SMALL
    assert resized_by(FAMILIES["gemma3"]()[1].image_processor) is None
