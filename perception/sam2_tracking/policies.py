"""What an object remembers of each frame: stock SAM 2, SAMURAI's or DAM4SAM's rules.

* "recent"  SAM 2 (arXiv 2408.00714): the last six frames, whatever they showed.
* "samurai" Yang et al., arXiv 2411.11922: the frame before, and of older ones those with a good
  mask, the object in view and where its motion said it would be; among the decoder's masks the one
  that fits quality and motion.
* "dam4sam" Videnovic et al., CVPR 2025: seven memories in all, conditioning frames among them; the
  newest with the object in view and every fifth; and for good ("anchors") a sure frame on which
  the decoder also offered a distractor.

An object holds one memory and one pointer more than are read, so that its newest frame can be
corrected on what was remembered before it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

import torch

from perception.sam2.types import PROMPT_LOGIT_LIMIT, MaskCandidates
from perception.sam2_tracking.distractors import stands_apart
from perception.sam2_tracking.motion import logits_box, predicted, start_motion, updated
from perception.sam2_tracking.state import Memory, ObjectPointer, Sam2Config, Sam2Track
from stream.geometry import box_iou

RECENT_AREAS = 10  # frames in view whose areas DAM4SAM's median is over
AREA_FRAMES = 300  # how far back they may lie


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What one frame gave for one object."""

    logits: torch.Tensor  # [4h, 4w]
    pointer: torch.Tensor  # [C]
    tokens: torch.Tensor  # [T, D]
    presence: float
    quality: float
    fits_motion: float = 1.0  # overlap with the box its motion predicts
    distractor: bool = False  # the decoder also offered a mask of something else

    @property
    def sound(self) -> bool:
        """False when the networks returned something that is not a number."""
        return abs(self.presence) < float("inf") and abs(self.quality) < float("inf")


class MemoryRules:
    """Which frames an object keeps, in what order, and which mask it takes."""

    def __init__(self, config: Sam2Config, memory_frames: int, pointer_frames: int) -> None:
        self.config = config
        if config.clip_frames is not None:
            # Upstream counts a clip's pointers, and their time, by the clip where it is short.
            pointer_frames = max(1, min(pointer_frames, config.clip_frames - 1))
        self._frames, self.pointer_span = memory_frames, pointer_frames

    @property
    def least_presence(self) -> float:
        """Object score logit above which an object is in view."""
        return self.config.visible_presence if self.config.policy == "samurai" else 0.0

    def conditioning(self, track: Sam2Track, index: int) -> tuple[Memory, ...]:
        """Memories without an age that are read at frame `index`, oldest first."""
        if self.config.policy != "dam4sam":
            return track.prompted
        # The frame before is always read as the newest one.
        return track.prompted[:1] + tuple(m for m in track.prompted[1:] if m.index < index - 1)

    def recent(self, track: Sam2Track, index: int) -> tuple[Memory, ...]:
        """Memories with an age that are read at frame `index`, oldest first."""
        before = [m for m in track.recent if m.index < index]
        if self.config.policy == "recent":
            return tuple(m for m in before if index - m.index <= self._frames)
        if self.config.policy == "samurai":
            return tuple(m for m in before if m.good or m.index == index - 1)[-self._frames :]
        fixed = self.conditioning(track, index)
        before += track.prompted[len(fixed) :]
        strided = [m for m in before[:-1] if m.index % self.config.memory_stride == 0]
        room = max(0, self._frames + 1 - len(fixed))
        return tuple([*strided, *before[-1:]][-room:]) if room else ()

    def ages(self, recent: Sequence[Memory], index: int) -> list[int]:
        """Frames back as the networks are told: real ones, or by rank where frames are chosen."""
        if self.config.policy != "recent":
            return list(range(len(recent), 0, -1))
        return [index - m.index for m in recent]

    def pointers(self, track: Sam2Track, index: int) -> tuple[ObjectPointer, ...]:
        """Pointers that are read at frame `index`."""
        return tuple(p for p in track.pointers if 0 < index - p.index <= self.pointer_span)

    def pick(self, tracks: Sequence[Sam2Track], found: MaskCandidates) -> list[int] | None:
        """Which of the decoder's masks each object takes: SAMURAI's choice, or the best.

        None: the best, and nobody has to know here which that is (a GPU need not be waited for).
        """
        if self.config.policy == "recent":
            return None
        best = found.quality.argmax(-1).cpu().tolist()
        if self.config.policy != "samurai" or found.quality.shape[1] < 2:
            return [int(one) for one in best]
        return [
            self._by_motion(track, found, row, int(one))
            for row, (track, one) in enumerate(zip(tracks, best, strict=True))
        ]

    def _moves_steadily(self, track: Sam2Track) -> bool:
        """Whether the object's motion has a say."""
        return track.motion is not None and track.motion.stable >= self.config.stable_frames

    def _by_motion(self, track: Sam2Track, found: MaskCandidates, row: int, best: int) -> int:
        motion = track.motion
        if motion is None or not self._moves_steadily(track):
            return best
        expected, weight = predicted(motion).box, self.config.motion_weight
        scores = [
            weight * box_iou(expected, logits_box(mask)) + (1 - weight) * float(quality)
            for mask, quality in zip(found.masks[row], found.quality[row], strict=True)
        ]
        return max(range(len(scores)), key=scores.__getitem__)

    def judged(
        self, track: Sam2Track, outcome: Outcome, found: MaskCandidates, row: int, chosen: int
    ) -> Outcome:
        """Add what the policy needs to know of the frame."""
        config, motion = self.config, track.motion
        if config.policy == "samurai" and motion is not None and self._moves_steadily(track):
            expected = predicted(motion).box
            return replace(outcome, fits_motion=box_iou(expected, logits_box(outcome.logits)))
        if config.policy == "dam4sam" and outcome.quality > config.anchor_quality:
            others = [mask for i, mask in enumerate(found.masks[row]) if i != chosen]
            apart = stands_apart(outcome.logits, others, config.distractor_iou)
            return replace(outcome, distractor=apart)
        return outcome

    def updated(self, track: Sam2Track, outcome: Outcome, index: int) -> Sam2Track:
        """The object after one more followed frame."""
        if not outcome.sound:  # nothing of it may enter memory; the object counts as away
            gone = torch.full_like(track.logits, -PROMPT_LOGIT_LIMIT)
            return replace(track, index=index, logits=gone, presence=-1.0, quality=0.0)
        memory = Memory(index, outcome.tokens, outcome.pointer)
        shown = replace(
            track,
            index=index,
            logits=outcome.logits,
            presence=outcome.presence,
            quality=outcome.quality,
        )
        if self.config.policy == "dam4sam":
            return self._dam4sam(shown, outcome, memory)
        if self.config.policy == "samurai":
            shown, memory = self._samurai(shown, outcome, memory)
        return self._kept(shown, (*shown.recent, memory), memory)

    def _kept(self, track: Sam2Track, recent: Sequence[Memory], newest: Memory) -> Sam2Track:
        pointers = (*track.pointers, ObjectPointer(newest.index, newest.pointer))
        return replace(
            track,
            recent=tuple(recent)[-(self._frames + 1) :],
            pointers=pointers[-(self.pointer_span + 1) :],
        )

    def _samurai(
        self, track: Sam2Track, outcome: Outcome, memory: Memory
    ) -> tuple[Sam2Track, Memory]:
        config, motion = self.config, track.motion
        box = logits_box(outcome.logits)
        if motion is None or motion.stable == 0:
            motion = start_motion(box) if box is not None else None
        elif box is not None and outcome.quality > config.stable_quality:
            motion = updated(predicted(motion), box)
        else:
            motion = replace(predicted(motion), stable=0)
        good = (
            outcome.quality > config.min_quality
            and outcome.presence > config.min_presence
            and outcome.fits_motion > 0
            and memory.index > 1  # upstream's search for good frames ends there
        )
        # Of bad frames only the last two stay, to be read as the frame before.
        recent = tuple(m for m in track.recent if m.good or m.index == memory.index - 1)
        return replace(track, recent=recent, motion=motion), replace(memory, good=good)

    def _dam4sam(self, track: Sam2Track, outcome: Outcome, memory: Memory) -> Sam2Track:
        config, area, index = self.config, int((outcome.logits > 0).sum()), memory.index
        if not area:  # out of view: neither memory nor pointer of it is ever read
            return track
        areas = (*track.areas, (index, area))[-RECENT_AREAS:]
        areas = tuple(one for one in areas if index - one[0] < AREA_FRAMES)
        usual = median(one for _, one in areas)
        steady = len(areas) > 1 and abs(area - usual) <= config.area_tolerance * usual
        rested = track.anchored is None or index - track.anchored > config.anchor_gap
        sure = outcome.quality > config.anchor_quality
        track = replace(track, areas=areas)
        if sure and steady and rested and outcome.distractor:
            prompted = self.capped((*track.prompted, memory))
            return self._kept(
                replace(track, prompted=prompted, anchored=index), track.recent, memory
            )
        # Only every fifth outlives the newest two.
        held = [m for m in track.recent[:-1] if m.index % config.memory_stride == 0]
        return self._kept(track, (*held, *track.recent[-1:], memory), memory)

    def mended(self, track: Sam2Track, outcome: Outcome) -> Sam2Track:
        """Replace what the newest frame left in memory by the corrected answer."""
        past, index = before(track), track.index
        memory = Memory(index, outcome.tokens, outcome.pointer)
        if self.config.keep_corrections or not past.prompted:
            past = replace(past, prompted=self.capped((*past.prompted, memory)))
        else:
            past = self._kept(past, (*past.recent, memory), memory)
        return replace(
            past,
            logits=outcome.logits,
            presence=outcome.presence,
            quality=outcome.quality,
            motion=None,  # the motion that led here was wrong
        )

    def capped(self, prompted: tuple[Memory, ...]) -> tuple[Memory, ...]:
        """The first memory, which is the one most trusted, and the latest ones."""
        limit = self.config.max_conditioning
        if len(prompted) <= limit:
            return prompted
        return (prompted[0], *prompted[len(prompted) - limit + 1 :]) if limit > 1 else prompted[:1]


def before(track: Sam2Track) -> Sam2Track:
    """The object as it was before its newest frame."""
    return replace(
        track,
        prompted=tuple(m for m in track.prompted if m.index < track.index),
        recent=tuple(m for m in track.recent if m.index < track.index),
        pointers=tuple(p for p in track.pointers if p.index < track.index),
    )
