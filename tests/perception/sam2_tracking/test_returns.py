"""Objects that leave and come back: found by what they look like, strangers refused."""

from dataclasses import replace
from typing import cast

import numpy as np

from perception.masks.prompts import MaskPrompt
from perception.sam2.networks import Sam2Networks
from perception.sam2_tracking.state import SAM2_REID, Sam2Config, Sam2State, state_bytes
from perception.sam2_tracking.tracker import Sam2Tracker
from stream.events import Region
from stream.frame import Frame, Image, Mask
from stream.geometry import decode_mask, mask_iou
from tests.doubles.sam2 import PaintedNetworks

SIDE = 128
REID = replace(SAM2_REID, patience=2, seek_every=2, describe_every=2)
SEEK = Sam2Config(reidentify=True, reid=REID)


def painted(kind: str | None, x: int = 0, y: int = 0) -> Image:
    """Grey noise, with a striped (mine) or checked (other) thing of 32 x 32 px."""
    noise = np.random.default_rng(x + y).integers(90, 130, (SIDE, SIDE, 1), dtype=np.uint8)
    image = noise.repeat(3, axis=2)
    rows, cols = np.mgrid[:32, :32]
    if kind == "mine":
        image[y : y + 32, x : x + 32] = np.where(
            (rows // 2 % 2)[..., None], (250, 30, 20), (0, 90, 0)
        )
    elif kind == "other":
        image[y : y + 32, x : x + 32] = np.where(
            (cols // 8 % 2)[..., None], (0, 40, 240), (0, 230, 240)
        )
    return image


def square(x: int, y: int) -> Mask:
    mask = np.zeros((SIDE, SIDE), bool)
    mask[y : y + 32, x : x + 32] = True
    return mask


Step = tuple[str | None, int, int]
HERE: list[Step] = [("mine", 16 + 4 * i, 32) for i in range(6)]
GONE: list[Step] = [(None, 0, 0)] * 6


def follow(
    networks: PaintedNetworks, config: Sam2Config, steps: list[Step]
) -> tuple[Sam2State, list[Region]]:
    tracker = Sam2Tracker(cast(Sam2Networks, networks), config)
    state, regions = tracker.init_state(), []
    for index, step in enumerate(steps):
        frame = Frame(index, index, painted(*step), "painted")
        if index == 0:
            state, _ = tracker.add(state, frame, None, MaskPrompt(square(*step[1:])))
        state, (region,) = tracker.step(state, frame)
        regions.append(region)
    return state, regions


def test_what_left_is_found_again_under_its_id() -> None:
    back: list[Step] = [("mine", 80, 80)] * 4
    _, stock = follow(PaintedNetworks(), Sam2Config(), HERE + GONE + back)
    assert stock[5].box is not None and all(region.box is None for region in stock[6:])
    networks = PaintedNetworks()
    state, regions = follow(networks, SEEK, HERE + GONE + back)
    assert all(region.box is None for region in regions[6:12])
    assert networks.prompts == 1, "one box prompt, at the one place that looked right"
    last = regions[-1]
    assert last.track_id == regions[0].track_id
    assert mask_iou(decode_mask(last.mask), square(80, 80)) > 0.9
    assert state.tracks[0].appearance is not None and state.tracks[0].appearance.away == 0
    assert len(state.tracks[0].prompted) == 2, "the frame it was found in conditions"


def test_a_stranger_is_not_sought_out() -> None:
    networks = PaintedNetworks()
    _, regions = follow(networks, SEEK, HERE + GONE + [("other", 80, 80)] * 6)
    assert networks.prompts == 0 and all(region.box is None for region in regions[6:])


def test_a_stranger_that_the_decoder_takes_is_refused() -> None:
    steps = HERE + GONE + [("other", 80, 80)] * 4
    _, stock = follow(PaintedNetworks(forgets=False), Sam2Config(), steps)
    assert stock[-1].box is not None, "stock takes whatever comes"
    state, regions = follow(PaintedNetworks(forgets=False), SEEK, steps)
    assert all(region.box is None for region in regions[6:])
    assert state.tracks[0].presence < 0
    _, regions = follow(PaintedNetworks(forgets=False), SEEK, HERE + GONE + [("mine", 80, 80)] * 2)
    assert regions[-1].box is not None, "the thing itself may come back by itself"


def test_a_thing_in_view_is_never_sought() -> None:
    networks = PaintedNetworks()
    steps: list[Step] = [("mine", 4 * i % 90, 40) for i in range(24)]
    state, regions = follow(networks, SEEK, steps)
    assert networks.prompts == 0 and networks.passes == len(steps)
    assert all(region.box is not None for region in regions)
    known = state.tracks[0].appearance
    assert known is not None and 1 <= len(known.vectors) <= REID.max_descriptors


def test_looks_are_bounded_and_counted() -> None:
    steps = HERE + GONE
    few, _ = follow(PaintedNetworks(), Sam2Config(), steps)
    some, _ = follow(PaintedNetworks(), SEEK, steps)
    more, _ = follow(PaintedNetworks(), SEEK, steps * 4)
    known = more.tracks[0].appearance
    assert known is not None and len(known.vectors) <= REID.max_descriptors
    assert state_bytes(few) < state_bytes(some)
    room = REID.max_descriptors * known.vectors.shape[1] * 4 + 64 * 4
    assert state_bytes(more) < 3 * state_bytes(few) + room
