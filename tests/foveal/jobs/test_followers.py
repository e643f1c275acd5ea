"""What the embedded tracker makes of prompts: points on and off, tiny things, the first frame."""

import cv2
import numpy as np
import pytest

from foveal.config.models import MaskletSettings
from foveal.jobs.followers import MaskFollower, open_follower
from perception.masks.prompts import BoxPrompt, MaskPrompt, PointsPrompt, Prompt
from stream.errors import PromptError
from stream.frame import Frame, Image, Mask
from stream.geometry import decode_mask, mask_iou

pytestmark = pytest.mark.assets
SIZE = (360, 640)
RED, BLUE = (200, 180), (300, 180)
RADIUS = 40


def ground() -> Image:
    noise = np.random.default_rng(3).integers(60, 160, (*SIZE, 3)).astype(np.uint8)
    return np.asarray(cv2.GaussianBlur(noise, (0, 0), 6), np.uint8)


def disc(centre: tuple[int, int]) -> Mask:
    mask = np.zeros(SIZE, np.uint8)
    cv2.circle(mask, centre, RADIUS, 1, -1)
    return mask > 0


def two_discs() -> Frame:
    image = ground()
    image[disc(RED)], image[disc(BLUE)] = (230, 40, 30), (30, 60, 230)
    return Frame(0, 0, image, "test")


@pytest.fixture(scope="module")
def follower() -> MaskFollower:
    found = open_follower(MaskletSettings())
    assert isinstance(found, MaskFollower)
    return found


def shown(follower: MaskFollower, frame: Frame, prompt: Prompt) -> Mask:
    """The mask of the frame that it was prompted in."""
    track_id = follower.start(frame, prompt)
    (region,) = follower.follow(frame)
    follower.stop(track_id)
    assert region.box is not None
    return decode_mask(region.mask)


@pytest.mark.parametrize(
    "points,labels,wanted",
    [
        ((RED,), (), disc(RED)),
        ((RED, BLUE), (), disc(RED) | disc(BLUE)),
        ((RED, BLUE), (True, False), disc(RED)),
        ((RED, BLUE), (False, True), disc(BLUE)),
    ],
)
def test_all_points_count(
    follower: MaskFollower,
    points: tuple[tuple[int, int], ...],
    labels: tuple[bool, ...],
    wanted: Mask,
) -> None:
    assert mask_iou(shown(follower, two_discs(), PointsPrompt(points, labels)), wanted) > 0.9


def test_the_prompted_frame_shows_the_prompt(follower: MaskFollower) -> None:
    mask = disc(RED)
    mask[:, ::7] = False  # no tracker would carry this comb
    np.testing.assert_array_equal(shown(follower, two_discs(), MaskPrompt(mask)), mask)


@pytest.mark.parametrize("side,kept", [(8, False), (24, True)])
@pytest.mark.parametrize("as_mask", [False, True])
def test_a_thing_too_small_to_carry_is_refused(
    follower: MaskFollower, side: int, kept: bool, as_mask: bool
) -> None:
    image, place = ground(), (slice(180, 180 + side), slice(100, 100 + side))
    image[place] = (240, 40, 30)
    mask = np.zeros(SIZE, bool)
    mask[place] = True
    box = BoxPrompt((100, 180, 100 + side, 180 + side))
    frame, prompt = Frame(0, 0, image, "test"), MaskPrompt(mask) if as_mask else box
    if kept:
        assert shown(follower, frame, prompt).any()
        return
    with pytest.raises(PromptError, match="got one of 8 x 8 pixels"):
        follower.start(frame, prompt)
    assert follower.follow(frame) == ()
