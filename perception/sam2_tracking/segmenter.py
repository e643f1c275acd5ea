"""What SAM 2's networks make of objects in one frame: followed by memory, or prompted."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from perception.masks.prompts import BoxPrompt, MaskPrompt, PointsPrompt, Prompt
from perception.sam2.holes import fill_holes
from perception.sam2.networks import Sam2Networks
from perception.sam2.types import PROMPT_LOGIT_LIMIT, DecodedMasks, FrameFeatures, Recalled
from perception.sam2_tracking.policies import MemoryRules, Outcome, before
from perception.sam2_tracking.state import Sam2Track


class Segmenter:
    """Masks of objects in a frame, from their memories or from prompts."""

    def __init__(self, networks: Sam2Networks, rules: MemoryRules, max_batch: int) -> None:
        self.networks, self._rules, self._max_batch = networks, rules, max_batch

    def follow(
        self, tracks: Sequence[Sam2Track], seen: FrameFeatures, index: int
    ) -> dict[int, Sam2Track]:
        """Follow objects in batches of those that remember equally much."""
        groups: dict[tuple[int, int, int], list[Sam2Track]] = {}
        for track in tracks:
            rules = self._rules
            shape = (
                len(rules.conditioning(track, index)),
                len(rules.recent(track, index)),
                len(rules.pointers(track, index)),
            )
            groups.setdefault(shape, []).append(track)
        followed: dict[int, Sam2Track] = {}
        for group in groups.values():
            for start in range(0, len(group), self._max_batch):
                batch = group[start : start + self._max_batch]
                for track, outcome in zip(batch, self._tracked(batch, seen, index), strict=True):
                    followed[track.track_id] = self._rules.updated(track, outcome, index)
        return followed

    def _tracked(
        self, tracks: Sequence[Sam2Track], seen: FrameFeatures, index: int
    ) -> list[Outcome]:
        view = self.networks.conditioned(seen, self._recall(tracks, index))
        found = self.networks.candidates(seen, view)
        choice = self._rules.pick(tracks, found)
        decoded = self.networks.choose(found, choice, self._rules.least_presence)
        tokens = self.networks.remember(seen, decoded, prompted=False)  # holes and all, as upstream
        outcomes = _outcomes(self._filled(decoded), tokens)
        if choice is None:
            return outcomes
        return [
            self._rules.judged(track, outcome, found, row, choice[row])
            for row, (track, outcome) in enumerate(zip(tracks, outcomes, strict=True))
        ]

    def _recall(self, tracks: Sequence[Sam2Track], index: int) -> Recalled:
        """Stack the memories of objects that hold equally many."""
        tokens, offsets, pointers, times = [], [], [], []
        for track in tracks:
            fixed = self._rules.conditioning(track, index)
            recent, thin = self._rules.recent(track, index), self._rules.pointers(track, index)
            tokens.append(torch.stack([m.tokens for m in (*fixed, *recent)]))
            offsets.append([0] * len(fixed) + self._rules.ages(recent, index))
            vectors = [m.pointer for m in fixed] + [p.vector for p in thin]
            pointers.append(torch.stack(vectors))
            times.append([index - m.index for m in fixed] + [index - p.index for p in thin])
        device = self.networks.device
        return Recalled(
            torch.stack(tokens),
            torch.tensor(offsets, device=device),
            torch.stack(pointers),
            torch.tensor(times, dtype=torch.float32, device=device),
            self._rules.pointer_span,
        )

    def prompted(
        self,
        seen: FrameFeatures,
        prompt: Prompt,
        size: tuple[int, int],
        track: Sam2Track | None,
        refine: bool = True,
    ) -> Outcome:
        """Segment by a prompt; with a track, on top of what it remembers.

        `refine`: box and points also mend the mask that the track shows now, as the `sam2`
        package's `add_new_points_or_box` hands the frame's kept logits back.
        """
        networks = self.networks
        if isinstance(prompt, MaskPrompt):
            decoded = networks.adopt(seen, prompt.mask)
        else:
            decoded = self._pointed(seen, *self.points(prompt, size), track, refine)
        decoded = self._filled(decoded)
        return _outcomes(decoded, networks.remember(seen, decoded, prompted=True))[0]

    def _pointed(
        self,
        seen: FrameFeatures,
        points: torch.Tensor,
        labels: torch.Tensor,
        track: Sam2Track | None,
        refine: bool,
    ) -> DecodedMasks:
        networks = self.networks
        mask, view, first = None, networks.alone(seen), True
        if track is not None:
            past = before(track)
            if past.prompted:
                view, first = networks.conditioned(seen, self._recall([past], track.index)), False
            if refine:
                limit = PROMPT_LOGIT_LIMIT
                mask = track.logits.clamp(-limit, limit)[None, None].to(networks.dtype)
        found = networks.candidates(seen, view, points, labels, mask, first)
        return networks.choose(found, None, self._rules.least_presence)

    def _filled(self, decoded: DecodedMasks) -> DecodedMasks:
        return replace(
            decoded, logits=fill_holes(decoded.logits, self._rules.config.fill_hole_area)
        )

    def points(
        self, prompt: BoxPrompt | PointsPrompt, size: tuple[int, int]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """[1, K, 2] model pixels and [1, K] labels."""
        if isinstance(prompt, BoxPrompt):
            x0, y0, x1, y1 = prompt.box
            places, kinds = [(x0, y0), (x1, y1)], [2, 3]
        else:
            places = list(prompt.points)  # type: ignore[arg-type]
            kinds = [int(on) for on in prompt.labels]
        scale = torch.tensor([size[1], size[0]], dtype=torch.float32)
        points = torch.tensor(places, dtype=torch.float32) / scale * self.networks.image_size
        labels = torch.tensor([kinds], dtype=torch.int32)
        networks = self.networks
        return points[None].to(networks.device, networks.dtype), labels.to(networks.device)


def _outcomes(decoded: DecodedMasks, tokens: torch.Tensor) -> list[Outcome]:
    """Split a batch into objects whose tensors do not keep the batch alive."""
    presence, quality = torch.stack([decoded.presence, decoded.quality]).cpu().tolist()
    return [
        Outcome(
            decoded.logits[row].clone(),
            decoded.pointers[row].clone(),
            tokens[row].clone(memory_format=torch.contiguous_format),
            presence[row],
            quality[row],
        )
        for row in range(len(presence))
    ]
