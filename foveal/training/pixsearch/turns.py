"""Batches of turns to train on: answers of records, mixed with sentences worded from masks."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from foveal.training.data.pictures import SKIMAGE
from foveal.training.data.scenes import Rng
from foveal.training.pixsearch.configuration import BatchOptions
from foveal.training.pixsearch.frozen_prefix_cache import LowerStates, SplitModel
from foveal.training.pixsearch.objective import LossWeights, TurnExample, losses
from reasoning.data.records import (
    Entity,
    Information,
    TrainingRecord,
    TurnRecord,
    Words,
    read_jsonl,
)
from reasoning.generation.tokens import neutralise
from reasoning.pixsearch.connector import VisualTokens
from reasoning.pixsearch.modeling import PixSearchModel
from reasoning.pixsearch.processing import (
    MAX_EVIDENCE,
    EncodedTurn,
    Tokenizer,
    encode_turn,
    shorten,
)
from reasoning.rules.evidence_wording import CITED
from reasoning.rules.script import DONT_KNOW
from retrieval.sources.sentences import search_words
from stream.geometry import Point

QUOTE = 40  # characters from which words after evidence are taken for a quotation
_NAMED = re.compile(r"^ looks like an? [^:,.(]*: ")  # said before the quotation
HELD = 0.9  # share of a quotation's words that the evidence that is read must hold
NEAR = 4  # batches of turns of like length from which one is drawn
Visual = Callable[[str, Point | None], VisualTokens]  # of a record's picture and point
Turn = tuple[TrainingRecord, int]  # with its number


class TurnTask:
    """Draws batches of turns and gives their losses."""

    def __init__(
        self,
        model: PixSearchModel,
        tokenizer: Tokenizer,
        answers: Sequence[TrainingRecord],
        sentences: Sequence[TrainingRecord],
        visual: Visual,
        options: BatchOptions,
        weights: LossWeights,
    ) -> None:
        """Either kind of records may be empty, but not both."""
        self._model, self._tokenizer, self._visual = model, tokenizer, visual
        self._options, self._weights = options, weights
        self._split = SplitModel(model) if options.frozen_prefix else None
        self._read: dict[tuple[str, int], LowerStates] = {}
        turns = _turns(answers)
        told = [turn for turn in turns if supported(tokenizer, turn[0].turns[turn[1]])]
        print(f"{len(told)} of {len(turns)} turns are supported")
        held = {record.id for record in answers[options.watched - 1 :: options.watched]}
        self.watched = [turn for turn in told if turn[0].id in held]
        # In order of length, so that a batch of neighbours is padded little.
        self._answers = sorted((t for t in told if t[0].id not in held), key=self._length)
        self._sentences = sorted(_turns(sentences), key=self._length)

    def losses(self, rng: Rng, step: int) -> Mapping[str, Tensor]:
        """One batch."""
        weights = self._weights
        if step % self._options.teacher_every:
            weights = replace(weights, teacher=0.0)
        return self._losses(self._draw(rng), weights)

    def watch(self) -> Mapping[str, float]:
        """Losses on the turns that are only watched; nothing without any."""
        sums = {"watched_words": 0.0, "watched_spans": 0.0} if self.watched else {}
        with torch.no_grad():
            for turn in self.watched:
                terms = self._losses([turn], replace(self._weights, teacher=0.0))
                sums["watched_words"] += float(terms["words"]) / len(self.watched)
                sums["watched_spans"] += float(terms["spans"]) / len(self.watched)
        return sums

    def example(self, turn: Turn) -> TurnExample:
        """A turn with what the model is shown of its picture."""
        record, number = turn
        visual = self._visual(record.image, record.turns[number].point)
        return TurnExample(visual, self._encoded(turn))

    def _losses(self, turns: Sequence[Turn], weights: LossWeights) -> Mapping[str, Tensor]:
        if self._split is None:
            return losses(self._model, [self.example(turn) for turn in turns], weights)
        for turn in turns:
            if (turn[0].id, turn[1]) not in self._read:
                self._read[turn[0].id, turn[1]] = self._split.read(self.example(turn))
        return self._split.losses([self._read[record.id, n] for record, n in turns], weights)

    def _draw(self, rng: Rng) -> list[Turn]:
        """A batch of one kind, of turns of like length."""
        first, second = self._options.mix
        count = self._options.batch_size
        answer = rng.random() < second / (first + second)
        pool = (self._answers if answer else self._sentences) or self._answers or self._sentences
        begin = int(rng.integers(max(1, len(pool) - NEAR * count + 1)))
        near = pool[begin : begin + NEAR * count]
        return [near[n] for n in rng.permutation(len(near))[:count]]

    def _length(self, turn: Turn) -> int:
        return len(self._encoded(turn).ids)

    def _encoded(self, turn: Turn) -> EncodedTurn:
        """With the turns before it as its history."""
        record, number = turn
        asked = record.turns[number]
        history = [(past.question, _said(past)) for past in record.turns[:number]]
        encoded = encode_turn(self._tokenizer, asked.question, asked.segments, history)
        return shorten(encoded, self._options.max_tokens)


def supported(tokenizer: Tokenizer, turn: TurnRecord) -> bool:
    """Whether what is quoted lies in the part of the evidence that is read.

    A turn that quotes what the model cannot see would teach it to make things up. A quotation may
    lack brackets of the evidence, so its words are looked for, and its last ones in a row.
    """
    seen: list[str] = []
    for segment in turn.segments:
        if isinstance(segment, Information):
            pieces = tokenizer.pieces(f" {neutralise(segment.text)} ")
            seen += search_words("".join(text for _, text in pieces[:MAX_EVIDENCE]))
        elif isinstance(segment, Words) and seen and DONT_KNOW not in segment.text:
            said = _NAMED.sub("", segment.text.split(CITED)[0]).strip(" :,.…")
            quote = search_words(said)
            held = sum(word in seen for word in quote)
            if len(said) > QUOTE and (held < HELD * len(quote) or not _follow(quote[-3:], seen)):
                return False
    return True


def load_records(paths: Sequence[Path]) -> list[TrainingRecord]:
    """All records of some JSONL files; their pictures' paths made whole."""
    return [
        replace(record, image=picture_path(record.image, path))
        for path in paths
        for record in read_jsonl(path)
    ]


def picture_path(image: str, records: Path) -> str:
    """A record's picture: relative to its file's folder unless absolute or scikit-image's."""
    return image if image.startswith(SKIMAGE) else str((records.parent / image).resolve())


def _turns(records: Sequence[TrainingRecord]) -> list[Turn]:
    return [(record, number) for record in records for number in range(len(record.turns))]


def _follow(words: Sequence[str], within: Sequence[str]) -> bool:
    """Whether some words stand in a row."""
    count = len(words)
    return any(list(within[n : n + count]) == list(words) for n in range(len(within)))


def _said(turn: TurnRecord) -> str:
    return "".join(p.text for p in turn.segments if isinstance(p, (Words, Entity))).strip()
