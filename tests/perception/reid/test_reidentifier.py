"""What is the same thing: on what scale, how clearly, when it is sought, and where it is found."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from perception.features.backbone import Backbone
from perception.reid.reidentifier import AppearanceModel, FoundPlace, ReIdentifier, Scale
from perception.reid.stencils import StencilSeeker
from perception.reid.thresholds import ReidConfig
from perception.sam2_tracking.state import SAM2_REID
from stream.errors import ConfigError
from stream.frame import Mask
from tests.perception.rendered import Place, Sprite, cat, compose, face

REID = replace(SAM2_REID, patience=2, seek_every=2, describe_every=2)


def test_a_place_is_believed_that_is_alike_and_clear() -> None:
    reid = ReIdentifier(ReidConfig(same=0.6, clarity=0.7))
    assert reid.believed(FoundPlace("here", 0.6, clarity=0.7)) == "here"
    assert reid.believed(FoundPlace("here", 0.59, clarity=0.9)) is None
    assert reid.believed(FoundPlace("here", 0.9, clarity=0.69)) is None


def test_what_is_away_is_sought_now_and_then() -> None:
    reid = ReIdentifier(ReidConfig(patience=3, seek_every=2))
    assert [away for away in range(9) if reid.is_due(away)] == [3, 5, 7]


def test_of_several_the_most_alike_is_recognised_or_none() -> None:
    reid, axes = ReIdentifier(), torch.eye(4)
    known = {7: AppearanceModel(axes[:1]), 9: AppearanceModel(axes[1:3])}
    assert reid.recognised(known, torch.tensor([0.6, 0.0, 0.8, 0.0])) == 9
    assert reid.recognised(known, torch.tensor([0.6, 0.0, 0.6, 0.5])) is None
    assert reid.recognised({}, axes[0]) is None
    assert AppearanceModel(torch.zeros(1, 4)).blank and not known[7].blank


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
