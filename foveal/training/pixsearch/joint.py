"""Turns for training through the language model: worded from masks, and read from records."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from foveal.training.data.pictures import SKIMAGE, load_picture
from foveal.training.pixsearch.configuration import JointOptions
from foveal.training.pixsearch.feature_store import MASK, Row, Store, here, tensors, truths
from foveal.training.pixsearch.frozen_prefix_cache import Halves, Read
from foveal.training.pixsearch.grounding_data import SIZE
from foveal.training.pixsearch.objective import Example, LossWeights, losses
from perception.features.backbone import Backbone
from reasoning.data.schema import (
    Entity,
    Information,
    Record,
    Segment,
    TurnRecord,
    Words,
    read_jsonl,
)
from reasoning.generation.tokens import neutralise
from reasoning.pixsearch.connector import GRID, POINTED, THING, Visual, grid_boxes
from reasoning.pixsearch.mask_decoder import picture_input
from reasoning.pixsearch.modeling import PixSearchModel
from reasoning.pixsearch.processing import MAX_EVIDENCE, Encoded, encode_turn, shorten
from reasoning.rules.evidence_wording import CITED
from reasoning.rules.pieces import DONT_KNOW
from reasoning.vlm.causal_lm import CausalLm
from retrieval.sentences import search_words
from stream.errors import ConfigError
from stream.frame import Mask
from stream.geometry import Point, Rle, decode_mask, mask_box

Rng = np.random.Generator
QUOTE = 40  # characters from which words after evidence are taken for a quotation
NO_MASK = Rle((1, 1), (1,))  # masks of pictures of a store come from the store
_NAMED = re.compile(r"^ looks like an? [^:,.(]*: ")  # said before the quotation
HELD = 0.9  # share of a quotation's words that the evidence that is read must hold
NEAR = 4  # batches of turns of like length from which one is drawn
Posteriors = Callable[[Tensor], Tensor]  # [n, 1280] -> [n, C]
Seen = Callable[[str, Point | None], Visual]  # a record's picture and point -> its tokens
ASK_LIST = ("What is there to see?", "What is in front of me?", "List what is here.")
ASK_THIS = ("What might this be?", "What am I pointing at?", "Name this thing.")


class JointTask:
    """Draws batches of turns; `records` may be empty."""

    def __init__(
        self,
        model: PixSearchModel,
        words: CausalLm,
        store: Store,
        records: Sequence[Record],
        backbone: Backbone,
        posteriors: Posteriors,
        options: JointOptions,
        weights: LossWeights,
        shown: Seen | None = None,
    ) -> None:
        """`shown` gives what perception shows of a record's picture; without it the record's own
        masks are taken for the things in view.
        """
        if options.upper and (weights.tversky or weights.bce):
            raise ConfigError("expected no tversky and bce with joint_data.upper, got some")
        self._shown = shown
        self._model, self._words, self._store = model, words, store
        self._backbone, self._posteriors = backbone, posteriors
        self._options, self._weights = options, weights
        turns = [
            (record, number)
            for record in records
            for number, turn in enumerate(record.turns)
            if supported(words, turn)
        ]
        print(f"{len(turns)} of {sum(len(r.turns) for r in records)} turns are supported")
        every = options.watched
        held = {r.id for r in records[every - 1 :: every]} if options.upper else set()
        self.watched = [turn for turn in turns if turn[0].id in held]
        # In order of length, so that a batch of neighbours is padded little.
        kept = [turn for turn in turns if turn[0].id not in held]
        self._turns = sorted(kept, key=self._length) if options.upper else kept
        self._halves = Halves(model) if options.upper else None
        self._reads: dict[tuple[str, int], Read] = {}
        self._of_picture: dict[int, list[Row]] = {}
        for row in store.rows:
            if row.picture not in store.watched and store.kinds[row.picture] != "weak":
                self._of_picture.setdefault(row.picture, []).append(row)
        self._pictures = sorted(self._of_picture)

    def losses(self, rng: Rng, step: int) -> Mapping[str, Tensor]:
        """One batch."""
        weights = self._weights
        if step % self._options.teacher_every:
            weights = replace(weights, teacher=0.0)
        if self._halves is not None:
            return self._halves.losses(self._draw_reads(rng), weights)
        return losses(self._model, [self._draw(rng) for _ in range(self._options.batch)], weights)

    def watch(self) -> Mapping[str, float]:
        """Losses on the turns that are only watched; nothing without any."""
        if self._halves is None or not self.watched:
            return {}
        sums = {"watched_words": 0.0, "watched_spans": 0.0}
        with torch.no_grad():
            for record, number in self.watched:
                read = self._read(record, number)
                terms = self._halves.losses([read], replace(self._weights, teacher=0.0))
                sums["watched_words"] += float(terms["words"]) / len(self.watched)
                sums["watched_spans"] += float(terms["spans"]) / len(self.watched)
        return sums

    def _draw_reads(self, rng: Rng) -> list[Read]:
        """A batch of one kind, of turns of like length."""
        first, second = self._options.mix
        count = self._options.batch
        if self._turns and rng.random() < second / (first + second):
            begin = int(rng.integers(max(1, len(self._turns) - NEAR * count + 1)))
            near = self._turns[begin : begin + NEAR * count]
            drawn = [near[n] for n in rng.permutation(len(near))[:count]]
            return [self._read(*turn) for turn in drawn]
        pictures = [self._pictures[n] for n in rng.integers(len(self._pictures), size=count)]
        return [
            self._read(picture, int(rng.integers(self._options.variants))) for picture in pictures
        ]

    def _read(self, what: Record | int, number: int) -> Read:
        """What the lower half makes of a turn; kept."""
        assert self._halves is not None
        key = (what.id if isinstance(what, Record) else str(what), number)
        if key not in self._reads:
            if isinstance(what, Record):
                example = self.of_record(what, number)
            else:
                example = self.of_store(what, np.random.default_rng((what, number)))
            self._reads[key] = self._halves.read(example)
        return self._reads[key]

    def _length(self, turn: tuple[Record, int]) -> int:
        return len(self._encoded(*turn).ids)

    def _encoded(self, record: Record, number: int) -> Encoded:
        """A turn with the turns before it as its history."""
        turn = record.turns[number]
        history = [(past.question, _said(past)) for past in record.turns[:number]]
        encoded = encode_turn(self._words, turn.question, turn.segments, history)
        return shorten(encoded, self._options.longest)

    def _draw(self, rng: Rng) -> Example:
        first, second = self._options.mix
        if self._turns and rng.random() < second / (first + second):
            record, number = self._turns[int(rng.integers(len(self._turns)))]
            return self.of_record(record, number)
        return self.of_store(self._pictures[int(rng.integers(len(self._pictures)))], rng)

    def of_store(self, picture: int, rng: Rng) -> Example:
        """A turn worded from a picture's masks."""
        rows = self._of_picture[picture]
        names = sorted({row.names[0] for row in rows})
        chosen = [names[n] for n in rng.permutation(len(names))[:3]]
        masks = {
            name: truths(self._store, [r.mask for r in rows if r.names[0] == name]).amax(0)
            for name in chosen
        }
        dense, top, image = (maps[0] for maps in tensors(self._store, [picture]))
        pointed = masks[chosen[0]] if rng.random() < 0.4 else None
        if pointed is not None:
            question, pieces = ASK_THIS[int(rng.integers(len(ASK_THIS)))], _this(chosen[0])
            chosen = chosen[:1]
        elif rng.random() < 0.5:
            question = f"Where is the {chosen[0]}?"
            pieces, chosen = _where(chosen[0], masks[chosen[0]]), chosen[:1]
        else:
            question, pieces = ASK_LIST[int(rng.integers(len(ASK_LIST)))], _list(chosen)
        largest = sorted(rows, key=lambda row: -float(self._store.masks[row.mask].mean()))
        shown = [truths(self._store, [row.mask])[0] for row in largest[: self._model.config.things]]
        turn = shorten(encode_turn(self._words, question, pieces), self._options.longest)
        known = tuple(masks[name] for name in chosen)[: len(turn.spans)]
        return Example(self._visual(top, shown, pointed), turn, dense, top, image, known)

    def of_record(self, record: Record, number: int) -> Example:
        """A turn of a record, with the turns before it."""
        turn, encoded = record.turns[number], self._encoded(record, number)
        if self._shown is not None and self._options.upper:
            return Example(self._shown(record.image, turn.point), encoded)
        picture = load_picture(record.image)
        small = np.asarray(cv2.resize(picture, SIZE[::-1], interpolation=cv2.INTER_AREA), np.uint8)
        features = self._backbone.features(small, SIZE[0])
        dense, top = here(features.dense.clone()), here(features.top.clone())
        masks = tuple(here(shrunk(decode_mask(mask))) for mask in encoded.masks)
        known = list(masks)
        pointed = known[0] if turn.point is not None and known else None
        size = (int(dense.shape[-2]), int(dense.shape[-1]))
        if self._shown is not None:
            visual = self._shown(record.image, turn.point)
        else:
            visual = self._visual(top, known, pointed)
        return Example(visual, encoded, dense, top, here(picture_input(small, size)), masks)

    def _visual(self, top: Tensor, things: Sequence[Tensor], pointed: Tensor | None) -> Visual:
        rows, cols = self._model.config.grid
        pooled = [F.adaptive_avg_pool2d(top[None], (rows, cols))[0].flatten(1).T]
        shown = [*things[: self._model.config.things], *([] if pointed is None else [pointed])]
        pooled += [_under(top, mask)[None] for mask in shown]
        boxes = [grid_boxes(rows, cols), *(_box(mask)[None] for mask in shown)]
        kinds = [GRID] * (rows * cols) + [THING] * len(things[: self._model.config.things])
        kinds += [] if pointed is None else [POINTED]
        return Visual(self._posteriors(torch.cat(pooled)), torch.cat(boxes), tuple(kinds))


def supported(words: CausalLm, turn: TurnRecord) -> bool:
    """Whether what is quoted lies in the part of the evidence that is read.

    A turn that quotes what the model cannot see would teach it to make things up. A quotation may
    lack brackets of the evidence, so its words are looked for, and its last ones in a row.
    """
    seen: list[str] = []
    for segment in turn.segments:
        if isinstance(segment, Information):
            pieces = words.pieces(f" {neutralise(segment.text)} ")
            seen += search_words("".join(text for _, text in pieces[:MAX_EVIDENCE]))
        elif isinstance(segment, Words) and seen and DONT_KNOW not in segment.text:
            said = _NAMED.sub("", segment.text.split(CITED)[0]).strip(" :,.…")
            quote = search_words(said)
            held = sum(word in seen for word in quote)
            if len(said) > QUOTE and (held < HELD * len(quote) or not _follow(quote[-3:], seen)):
                return False
    return True


def _follow(words: Sequence[str], within: Sequence[str]) -> bool:
    """Whether some words stand in a row."""
    count = len(words)
    return any(list(within[n : n + count]) == list(words) for n in range(len(within)))


def load_records(paths: Sequence[Path]) -> list[Record]:
    """All records of some JSONL files; their pictures' paths made whole."""
    return [
        replace(record, image=picture_path(record.image, path))
        for path in paths
        for record in read_jsonl(path)
    ]


def picture_path(image: str, records: Path) -> str:
    """A record's picture: relative to its file's folder unless absolute or scikit-image's."""
    return image if image.startswith(SKIMAGE) else str((records.parent / image).resolve())


def shrunk(mask: Mask) -> Tensor:
    """[H, W] -> [h4, w4] 0..1 at the training size."""
    small = cv2.resize(mask.astype(np.float32), MASK[::-1], interpolation=cv2.INTER_AREA)
    return torch.from_numpy(np.asarray(small, np.float32))


def _under(top: Tensor, mask: Tensor) -> Tensor:
    weight = F.adaptive_avg_pool2d(mask[None, None], (top.shape[-2], top.shape[-1]))[0, 0]
    return (top * weight).sum((1, 2)) / weight.sum().clamp(min=1e-4)


def _box(mask: Tensor) -> Tensor:
    box = mask_box((mask > 0.5).cpu().numpy()) or (0, 0, MASK[1], MASK[0])
    return torch.tensor(box) / torch.tensor([MASK[1], MASK[0], MASK[1], MASK[0]])


def _article(name: str) -> str:
    return "an" if name[:1] in "aeiou" else "a"


def _this(name: str) -> list[Segment]:
    lead = Words(f"This is {_article(name)} ")
    return [lead, Entity(name, NO_MASK), Words(".")]


def _where(name: str, mask: Tensor) -> list[Segment]:
    box = _box(mask)
    x, y = float(box[0] + box[2]) / 2, float(box[1] + box[3]) / 2
    across = "on the left" if x < 0.36 else "on the right" if x > 0.64 else ""
    along = "at the top" if y < 0.3 else "at the bottom" if y > 0.75 else ""
    place = " ".join(filter(None, (along, across))) or "in the middle"
    return [Words("The "), Entity(name, NO_MASK), Words(f" is {place}.")]


def _list(names: Sequence[str]) -> list[Segment]:
    return [Words("I can see "), *_enumerate(names), Words(".")]


def _enumerate(names: Sequence[str]) -> Iterator[Segment]:
    for number, name in enumerate(names):
        if number:
            yield Words(" and " if number == len(names) - 1 else ", ")
        yield Words(f"{_article(name)} ")
        yield Entity(name, NO_MASK)


def _said(turn: TurnRecord) -> str:
    return "".join(p.text for p in turn.segments if isinstance(p, (Words, Entity))).strip()
