"""Objects that leave and come back: found by their looks, strangers refused, all of it bounded."""

from collections.abc import Callable
from dataclasses import replace
from typing import cast

import numpy as np
import pytest
import torch

from perception.features.backbone import Backbone
from perception.masks.prompts import MaskPrompt
from perception.reid.reidentifier import ReIdentifier, Scale
from perception.reid.settings import ReidConfig
from perception.reid.stencils import StencilSeeker
from perception.sam2.networks import Sam2Networks
from perception.sam2_tracking.state import SAM2_REID, Sam2Config, Sam2State, state_bytes
from perception.sam2_tracking.tracker import Sam2Tracker
from stream.errors import ConfigError
from stream.events import Region
from stream.frame import Frame, Image, Mask
from stream.geometry import decode_mask, mask_iou
from tests.doubles.sam2 import PaintedNetworks
from tests.perception.rendered import Place, Sprite, cat, compose, face

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


def test_the_first_look_outlives_the_others() -> None:
    seeker = StencilSeeker((8, 8), ReIdentifier(replace(SAM2_REID, max_descriptors=3)))
    generator = torch.Generator().manual_seed(1)
    logits = torch.full((32, 32), -5.0)
    logits[8:20, 8:20] = 5.0
    known = seeker.start(torch.randn(16, 8, 8, generator=generator), logits)
    assert known is not None
    first = known.vectors[0]
    for _ in range(6):  # nothing alike, so each is a new look
        known = seeker.learnt(torch.randn(16, 8, 8, generator=generator), known, logits)
    assert known.vectors.shape == (3, 16) and torch.equal(known.vectors[0], first)


def test_what_looks_like_everything_is_never_sure() -> None:
    reid = ReIdentifier(SAM2_REID)
    common = Scale(own=0.9, other=0.88)
    assert not reid.is_same(1.0, scale=common) and not reid.is_other(-1.0, common)
    plain = Scale(own=0.9, other=0.3)
    assert reid.is_same(0.85, 0.4, plain)
    assert not reid.is_same(0.85, 0.84, plain), "two places alike: not sure which"
    assert not reid.is_same(0.5, scale=plain) and reid.is_other(0.35, plain)


@pytest.mark.parametrize("shift", [(0, 0), (3, -2), (-4, 5), (5, 5)])
def test_a_moved_patch_is_found_where_it_went(shift: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(2)
    patch = torch.randn(8, 3, 4, generator=generator)
    reid = ReIdentifier(REID)
    seeker = StencilSeeker((16, 16), reid)

    def scene(row: int, col: int) -> torch.Tensor:
        maps = 0.5 * torch.randn(8, 16, 16, generator=generator)
        maps[:, row : row + 3, col : col + 4] = patch
        return maps

    logits = torch.full((64, 64), -5.0)
    logits[24:36, 20:36] = 5.0  # rows 6..9, columns 5..9 of the features
    known = seeker.start(scene(6, 5), logits)
    assert known is not None
    row, col = 6 + shift[0], 5 + shift[1]
    found = seeker.seek(scene(row, col), known)
    assert found.place == (col, row, col + 4, row + 3)
    assert found.likeness > 0.99 and reid.is_same(found.likeness, found.rival, known.scale)


@pytest.mark.assets
@pytest.mark.parametrize("mine", [face, cat])
def test_on_trained_features_the_thing_is_found_and_its_absence_seen(
    trained_backbone: Backbone, mine: Callable[[], Sprite]
) -> None:
    """The embedded backbone stands for SAM 2's encoder, whose weights are not at hand."""
    thing, other = mine(), cat() if mine is face else face()
    reid = ReIdentifier(REID)

    def look(
        sprites: tuple[Sprite, ...], places: tuple[Place, ...], shift: int
    ) -> tuple[torch.Tensor, tuple[Mask, ...]]:
        frame, masks = compose(sprites, places, 0, shift)
        dense = trained_backbone.features(frame.image).dense
        return StencilSeeker((dense.shape[1], dense.shape[2]), reid).maps(dense.flatten(1).T), masks

    def logits(mask: Mask) -> torch.Tensor:
        return torch.from_numpy(mask.astype(np.float32)) - 0.5

    maps, (mask,) = look((thing,), ((60, 70),), 0)
    seeker = StencilSeeker((maps.shape[1], maps.shape[2]), reid)
    known = seeker.start(maps, logits(mask))
    assert known is not None
    maps, (mask,) = look((thing,), ((75, 72),), 4)
    known = seeker.learnt(maps, known, logits(mask))
    maps, _ = look((other,), ((190, 60),), 16)
    found = seeker.seek(maps, known)
    assert reid.believed(found, known.scale) is None
    maps, _ = look((other, thing), ((60, 60), (185, 85)), 24)
    found = seeker.seek(maps, known)
    box = reid.believed(found, known.scale)
    assert box is not None
    cell = 144 / maps.shape[1]
    x, y = (box[0] + box[2]) / 2 * cell, (box[1] + box[3]) / 2 * cell
    assert abs(x - 185) < 12 and abs(y - 85) < 12


def test_nonsense_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match="seek_every of 1 or more"):
        ReidConfig(seek_every=0)
