"""A region as mask, box and point at once, and back as a prompt: SAM 2++'s three granularities."""

from dataclasses import dataclass
from typing import Literal

from perception.masks.prompts import BoxPrompt, MaskPrompt, PointsPrompt, Prompt
from stream.errors import PromptError
from stream.events import Region
from stream.frame import Mask
from stream.geometry import Box, decode_mask, inner_point, mask_box

Granularity = Literal["mask", "box", "point"]


@dataclass(frozen=True, slots=True, eq=False)
class Forms:
    """One region of one frame in every form; box and point are None while it is out of view."""

    mask: Mask  # [H, W]
    box: Box | None  # tight
    point: tuple[int, int] | None  # x, y of the pixel farthest from the mask's edge
    confidence: float  # 0..1


def forms_of(region: Region) -> Forms:
    """A tracker's region in all three forms."""
    mask = decode_mask(region.mask)
    box = mask_box(mask)
    return Forms(mask, box, None if box is None else inner_point(mask), region.score)


def as_prompt(forms: Forms, granularity: Granularity) -> Prompt:
    """A prompt that says the same; raises PromptError for a region out of view."""
    if forms.box is None or forms.point is None:
        raise PromptError("expected a region in view to prompt with, got an empty one")
    if granularity == "mask":
        return MaskPrompt(forms.mask)
    if granularity == "box":
        return BoxPrompt(forms.box)
    return PointsPrompt(((float(forms.point[0]), float(forms.point[1])),))
