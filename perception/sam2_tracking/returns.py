"""Objects that come back: when to describe them, when to seek them, what to believe."""

from dataclasses import replace

import torch

from perception.masks.prompts import BoxPrompt
from perception.reid.reidentifier import ReIdentifier
from perception.reid.stencils import StencilSeeker
from perception.reid.thresholds import ReidConfig
from perception.sam2.types import ABSENT_LOGIT
from perception.sam2_tracking.policies import MemoryRules, Outcome
from perception.sam2_tracking.state import Sam2Track
from stream.geometry import FloatBox


class ReturnRules:
    """Re-identification over what each object looks like (`Sam2Config.reidentify`).

    An object is away when the decoder says so or its mask is empty. After `patience` such frames
    it is sought in every `seek_every`-th one; a place that surely looks like it becomes a box
    prompt on what the object remembers. What comes back, sought or by itself, must look like it.
    """

    def __init__(self, grid: tuple[int, int], rules: MemoryRules, config: ReidConfig) -> None:
        self._rules, self._config = rules, config
        self._reid = ReIdentifier(config)
        self.seeker = StencilSeeker(grid, self._reid)

    def started(self, track: Sam2Track, maps: torch.Tensor) -> Sam2Track:
        """After a prompt: a first description, or one more."""
        known = track.appearance
        if known is None:
            return replace(track, appearance=self.seeker.start(maps, track.logits))
        known = self.seeker.learnt(maps, known, track.logits)
        return replace(track, appearance=replace(known, away=0))

    def concerned(self, old: Sam2Track, new: Sam2Track) -> bool:
        """Whether a followed object needs the frame's features looked at."""
        known = old.appearance
        return known is not None and (known.away > 0 or not in_view(new) or self._described(new))

    def judged(self, old: Sam2Track, new: Sam2Track, maps: torch.Tensor) -> Sam2Track:
        """A followed object with its appearance brought up to date; a stranger is not it."""
        known = old.appearance
        if known is None:
            return new
        gone = replace(known, away=known.away + 1)
        if not in_view(new):
            return replace(new, appearance=gone)
        if known.away >= self._config.patience:
            likeness = self.seeker.likeness(maps, known, new.logits)
            if self._reid.is_other(likeness, known.scale):
                return replace(
                    old,
                    index=new.index,
                    logits=torch.full_like(old.logits, ABSENT_LOGIT),
                    presence=-1.0,
                    quality=0.0,
                    appearance=gone,
                )
        if new.quality >= self._config.min_quality and self._described(new):
            known = self.seeker.learnt(maps, known, new.logits)
        return replace(new, appearance=replace(known, away=0))

    def sought(
        self, track: Sam2Track, maps: torch.Tensor, size: tuple[int, int]
    ) -> BoxPrompt | None:
        """A box in a frame of `size` (height, width) where an object that is away surely is."""
        known = track.appearance
        if known is None or not self._reid.is_due(known.away):
            return None
        place = self._reid.believed(self.seeker.seek(maps, known), known.scale)
        return None if place is None else _prompt(place, (maps.shape[1], maps.shape[2]), size)

    def taken(self, track: Sam2Track, outcome: Outcome, maps: torch.Tensor) -> Sam2Track:
        """The object with the answer to that prompt, if it shows the object; else as it was."""
        known = track.appearance
        if known is None or not outcome.sound or outcome.presence <= 0:
            return track
        likeness = self.seeker.likeness(maps, known, outcome.logits)
        if not self._reid.is_same(likeness, scale=known.scale):
            return track
        return replace(self._rules.mended(track, outcome), appearance=replace(known, away=0))

    def _described(self, track: Sam2Track) -> bool:
        """Whether the object is described in its newest frame, if that shows it well."""
        return track.index % self._config.describe_every == 0


def in_view(track: Sam2Track) -> bool:
    """Whether the newest frame shows the object."""
    return track.presence > 0 and bool((track.logits > 0).any())


def _prompt(place: FloatBox, grid: tuple[int, int], size: tuple[int, int]) -> BoxPrompt:
    """Feature cells -> frame pixels, inside the frame."""
    x0, y0, x1, y1 = place
    across, down = size[1] / grid[1], size[0] / grid[0]
    left, top = max(0, int(x0 * across)), max(0, int(y0 * down))
    right, bottom = min(size[1], round(x1 * across)), min(size[0], round(y1 * down))
    return BoxPrompt((left, top, max(left + 1, right), max(top + 1, bottom)))
