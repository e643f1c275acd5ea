"""Objects that come back: when to take their looks, when to seek them, what to believe."""

from dataclasses import replace

import torch

from perception.masks.prompts import BoxPrompt
from perception.reid.sam2_looks import Looks, Place
from perception.sam2.types import ABSENT_LOGIT
from perception.sam2_tracking.policies import MemoryRules, Outcome
from perception.sam2_tracking.state import LookMemory, Sam2Config, Sam2Track


class Returns:
    """Rules of re-identification over the looks of each object (`Sam2Config.reidentify`).

    An object is away when the decoder says so or its mask is empty. After `patience` such frames
    it is sought in every `seek_every`-th one; a place that surely looks like it becomes a box
    prompt on what the object remembers. What comes back, sought or by itself, must look like it.
    """

    def __init__(self, looks: Looks, rules: MemoryRules, config: Sam2Config) -> None:
        self._looks, self._rules, self._config = looks, rules, config

    def started(self, track: Sam2Track, maps: torch.Tensor) -> Sam2Track:
        """After a prompt: a first look, or one more."""
        if track.looks is None:
            return replace(track, looks=self._looks.start(maps, track.logits))
        looks = self._looks.seen(maps, track.looks, track.logits)
        return replace(track, looks=replace(looks, away=0))

    def concerned(self, old: Sam2Track, new: Sam2Track) -> bool:
        """Whether a followed object needs the frame's features looked at."""
        if old.looks is None:
            return False
        return old.looks.away > 0 or not in_view(new) or new.index % self._config.look_every == 0

    def judged(self, old: Sam2Track, new: Sam2Track, maps: torch.Tensor) -> Sam2Track:
        """A followed object with its looks brought up to date; a stranger is not it."""
        looks = old.looks
        if looks is None:
            return new
        if not in_view(new):
            return replace(new, looks=replace(looks, away=looks.away + 1))
        if looks.away >= self._config.patience and self._strange(new, looks, maps):
            return replace(
                old,
                index=new.index,
                logits=torch.full_like(old.logits, ABSENT_LOGIT),
                presence=-1.0,
                quality=0.0,
                looks=replace(looks, away=looks.away + 1),
            )
        if new.quality >= self._config.look_quality and new.index % self._config.look_every == 0:
            looks = self._looks.seen(maps, looks, new.logits)
        return replace(new, looks=replace(looks, away=0))

    def sought(
        self, track: Sam2Track, maps: torch.Tensor, size: tuple[int, int]
    ) -> BoxPrompt | None:
        """A box in a frame of `size` (height, width) where an object that is away surely is."""
        looks, config = track.looks, self._config
        if looks is None or looks.away < config.patience:
            return None
        if (looks.away - config.patience) % config.seek_every:
            return None
        place = self._looks.seek(maps, looks)
        if not self._looks.sure(looks, place.likeness, place.rival):
            return None
        return _box(place, (maps.shape[1], maps.shape[2]), size)

    def taken(self, track: Sam2Track, outcome: Outcome, maps: torch.Tensor) -> Sam2Track:
        """The object with the answer to that prompt, if it shows the object; else as it was."""
        looks = track.looks
        if looks is None or not outcome.sound or outcome.presence <= 0:
            return track
        if not self._looks.sure(looks, self._looks.likeness(maps, looks, outcome.logits)):
            return track
        found = self._rules.mended(track, outcome)
        return replace(found, looks=replace(looks, away=0))

    def _strange(self, track: Sam2Track, looks: LookMemory, maps: torch.Tensor) -> bool:
        return self._looks.strange(looks, self._looks.likeness(maps, looks, track.logits))


def in_view(track: Sam2Track) -> bool:
    """Whether the newest frame shows the object."""
    return track.presence > 0 and bool((track.logits > 0).any())


def _box(place: Place, grid: tuple[int, int], size: tuple[int, int]) -> BoxPrompt:
    """Feature cells -> frame pixels, inside the frame."""
    x0, y0, x1, y1 = place.box
    across, down = size[1] / grid[1], size[0] / grid[0]
    left, top = max(0, int(x0 * across)), max(0, int(y0 * down))
    right, bottom = min(size[1], round(x1 * across)), min(size[0], round(y1 * down))
    return BoxPrompt((left, top, max(left + 1, right), max(top + 1, bottom)))
