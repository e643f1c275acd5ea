"""What an object remembers of each frame: stock SAM 2, SAMURAI's or DAM4SAM's rules.

* "recent"  SAM 2 (arXiv 2408.00714): the last six frames, whatever they showed.
* "samurai" Yang et al., arXiv 2411.11922: only frames with a good mask, the object in view and
  where its motion said it would be; among the decoder's masks the one that fits quality and motion.
* "dam4sam" Videnovic et al., CVPR 2025: every fifth frame and the newest, only with the object in
  view; and for good ("anchors") a sure frame on which the decoder also offered a distractor.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

import torch

from perception.sam2.types import PROMPT_LOGIT_LIMIT, MaskCandidates
from perception.sam2_tracking.motion import logits_box, predicted, start_motion, updated
from perception.sam2_tracking.state import Memory, ObjectPointer, Sam2Config, Sam2Track
from stream.geometry import box_iou

RECENT_AREAS = 10  # frames whose areas DAM4SAM's median is over


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

    def recent(self, track: Sam2Track, index: int) -> tuple[Memory, ...]:
        """Unprompted memories that are read at frame `index`, oldest first."""
        if self.config.policy != "recent":
            return track.recent
        return tuple(m for m in track.recent if index - m.index <= self._frames)

    def ages(self, recent: Sequence[Memory], index: int) -> list[int]:
        """Frames back as the networks are told: real ones, or by rank where frames are chosen."""
        if self.config.policy != "recent":
            return list(range(len(recent), 0, -1))
        return [index - m.index for m in recent]

    def pointers(self, track: Sam2Track, index: int) -> tuple[ObjectPointer, ...]:
        """Pointers that are read at frame `index`."""
        return tuple(p for p in track.pointers if index - p.index <= self.pointer_span)

    def pick(self, tracks: Sequence[Sam2Track], found: MaskCandidates) -> list[int] | None:
        """Which of the decoder's masks each object takes: SAMURAI's choice, or the best.

        None: the best, and nobody has to know here which that is (a GPU need not be waited for).
        """
        if self.config.policy == "recent":
            return None
        best = found.quality.argmax(-1).tolist()
        if self.config.policy != "samurai" or found.quality.shape[1] < 2:
            return [int(one) for one in best]
        return [
            self._by_motion(track, found, row, int(one))
            for row, (track, one) in enumerate(zip(tracks, best, strict=True))
        ]

    def _by_motion(self, track: Sam2Track, found: MaskCandidates, row: int, best: int) -> int:
        motion = track.motion
        if motion is None or motion.stable < self.config.stable_frames:
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
        if self.config.policy == "samurai" and track.motion is not None:
            expected = predicted(track.motion).box
            return replace(outcome, fits_motion=box_iou(expected, logits_box(outcome.logits)))
        if self.config.policy == "dam4sam":
            others = [mask for i, mask in enumerate(found.masks[row]) if i != chosen]
            limit = self.config.distractor_iou
            return replace(outcome, distractor=_stands_apart(outcome.logits, others, limit))
        return outcome

    def updated(self, track: Sam2Track, outcome: Outcome, index: int) -> Sam2Track:
        """The object after one more followed frame."""
        if not outcome.sound:  # nothing of it may enter memory; the object counts as away
            gone = torch.full_like(track.logits, -PROMPT_LOGIT_LIMIT)
            return replace(track, index=index, logits=gone, presence=-1.0, quality=0.0)
        memory = Memory(index, outcome.tokens, outcome.pointer)
        pointers = (*track.pointers, ObjectPointer(index, outcome.pointer))[-self.pointer_span :]
        shown = replace(
            track,
            pointers=pointers,
            index=index,
            logits=outcome.logits,
            presence=outcome.presence,
            quality=outcome.quality,
        )
        if self.config.policy == "samurai":
            return self._samurai(shown, outcome, memory)
        if self.config.policy == "dam4sam":
            return self._dam4sam(shown, outcome, memory)
        return replace(shown, recent=(*track.recent, memory)[-self._frames :])

    def _samurai(self, track: Sam2Track, outcome: Outcome, memory: Memory) -> Sam2Track:
        config, motion = self.config, track.motion
        box = logits_box(outcome.logits)
        if motion is None:
            motion = start_motion(box) if box is not None else None
        elif box is not None and outcome.quality >= config.stable_quality:
            motion = updated(predicted(motion), box)
        else:
            motion = replace(predicted(motion), stable=0)
        worth = (
            outcome.quality > config.min_quality
            and outcome.presence > config.min_presence
            and outcome.fits_motion > 0
        )
        recent = (*track.recent, memory)[-self._frames :] if worth else track.recent
        return replace(track, recent=recent, motion=motion)

    def _dam4sam(self, track: Sam2Track, outcome: Outcome, memory: Memory) -> Sam2Track:
        config, area = self.config, int((outcome.logits > 0).sum())
        if outcome.presence <= 0 or not area:
            return track
        usual = median(track.areas) if track.areas else area
        steady = abs(area - usual) <= config.area_tolerance * usual
        rested = memory.index - track.prompted[-1].index > config.anchor_gap
        sure = outcome.quality > config.anchor_quality
        prompted = track.prompted
        if sure and steady and rested and outcome.distractor:
            prompted = self.capped((*prompted, memory))
        kept = track.recent
        if kept and kept[-1].index % config.memory_stride:  # only every fifth outlives the newest
            kept = kept[:-1]
        recent = (*kept, memory)[-self._frames :]
        areas = (*track.areas, area)[-RECENT_AREAS:]
        return replace(track, prompted=prompted, recent=recent, areas=areas)

    def mended(self, track: Sam2Track, outcome: Outcome) -> Sam2Track:
        """Replace what the newest frame left in memory by the corrected answer."""
        past, index = before(track), track.index
        memory = Memory(index, outcome.tokens, outcome.pointer)
        prompted, recent, pointers = past.prompted, past.recent, past.pointers
        if self.config.keep_corrections or not prompted:
            prompted = self.capped((*prompted, memory))
        else:
            recent = (*recent, memory)[-self._frames :]
            pointers = (*pointers, ObjectPointer(index, outcome.pointer))[-self.pointer_span :]
        return replace(
            past,
            prompted=prompted,
            recent=recent,
            pointers=pointers,
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


def _stands_apart(chosen: torch.Tensor, others: Sequence[torch.Tensor], limit: float) -> bool:
    """Whether another mask covers something beside the object: their common box is much larger."""
    box = logits_box(chosen)
    if box is None:
        return False
    return any(
        0 < box_iou(box, logits_box(torch.maximum(chosen, other))) <= limit for other in others
    )
