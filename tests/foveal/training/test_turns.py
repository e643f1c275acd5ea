"""Turns to train on: sentences worded from masks, answers of records, and settings."""

from pathlib import Path

import numpy as np
import pytest
import torch

from foveal.config.reading import load_settings
from foveal.training.pixsearch.configuration import BatchOptions, PixSearchSettings
from foveal.training.pixsearch.mask_sentences import sentence, sentence_records
from foveal.training.pixsearch.objective import LossWeights
from foveal.training.pixsearch.turns import TurnTask, picture_path, supported
from foveal.training.selector.run import SelectorSettings
from reasoning.data.annotator import AnnotatedPicture, NamedMask
from reasoning.data.records import Entity, Information, TrainingRecord, TurnRecord, Words, problems
from reasoning.data.wordings import read_wordings
from reasoning.pixsearch.connector import VisualTokens
from reasoning.pixsearch.processing import MAX_EVIDENCE
from stream.errors import ConfigError
from stream.geometry import Point, decode_mask, encode_mask
from tests.doubles.pixsearch import tiny_model, tiny_visual

CONFIGS = Path(__file__).resolve().parents[3] / "configs" / "train"
SIZE = (64, 88)


def known(name: str, left: int, right: int) -> NamedMask:
    mask = np.zeros(SIZE, bool)
    mask[10:40, left:right] = True
    return NamedMask(name, encode_mask(mask))


PICTURE = AnnotatedPicture("p.jpg", SIZE, (known("cat", 4, 24), known("red cup", 60, 84)))
TWO = AnnotatedPicture("q.jpg", SIZE, (known("cat", 4, 24), known("cat", 60, 84)))


def test_sentences_are_worded_from_masks() -> None:
    said = set()
    for seed in range(30):
        turn = sentence(PICTURE, read_wordings(), np.random.default_rng(seed))
        assert not problems(TrainingRecord("a", "p.jpg", SIZE, (turn,)))
        entities = [s for s in turn.segments if isinstance(s, Entity)]
        masks = {thing.name: thing.mask for thing in PICTURE.things}
        assert entities and all(one.mask == masks[one.text] for one in entities)
        if turn.point is not None:
            x, y = turn.point
            assert decode_mask(entities[0].mask)[y, x] and len(entities) == 1
        said.add("".join(s.text for s in turn.segments if isinstance(s, (Words, Entity))))
    assert said == {
        "This is a cat.", "This is a red cup.", "The cat is on the left.",
        "The red cup is on the right.", "I can see a cat and a red cup.",
        "I can see a red cup and a cat.",
    }  # fmt: skip
    both = sentence(TWO, read_wordings(), np.random.default_rng(0)).segments
    (one,) = [s for s in both if isinstance(s, Entity)]
    assert decode_mask(one.mask).sum() == 2 * 30 * 20 + 30 * 4  # things of a name are one


def shown(image: str, point: Point | None) -> VisualTokens:
    return tiny_visual(len(image) + (point is not None))


@pytest.mark.parametrize("frozen_prefix", [False, True])
def test_turns_of_both_kinds_are_drawn_and_can_be_trained_on(frozen_prefix: bool) -> None:
    model, tokenizer = tiny_model()
    sentences = list(sentence_records([PICTURE, TWO], read_wordings(), 2))
    assert [record.id for record in sentences] == ["0-0", "0-1", "1-0", "1-1"]
    cat = Entity(" cat", PICTURE.things[0].mask)
    answers = [
        TrainingRecord(
            f"r{n}", "p.jpg", SIZE, (TurnRecord("What is it?", None, (Words("A"), cat)),)
        )
        for n in range(6)
    ]
    options = BatchOptions(batch_size=2, watched=3, frozen_prefix=frozen_prefix)
    task = TurnTask(model, tokenizer, answers, sentences, shown, options, LossWeights())
    assert [record.id for record, _ in task.watched] == ["r2", "r5"]
    drawn = {
        record.id for seed in range(30) for record, _ in task._draw(np.random.default_rng(seed))
    }
    assert drawn == {"r0", "r1", "r3", "r4", "0-0", "0-1", "1-0", "1-1"}
    terms = task.losses(np.random.default_rng(0), 0)
    assert set(terms) == {"words", "spans", "teacher", "loss"}
    torch.autograd.backward(terms["loss"])
    watched = task.watch()
    assert set(watched) == {"watched_words", "watched_spans"} and watched["watched_words"] > 0
    alone = TurnTask(model, tokenizer, [], sentences, shown, options, LossWeights())
    assert alone.watch() == {} and len(alone._draw(np.random.default_rng(1))) == 2


def test_pictures_of_records_are_found_beside_them(tmp_path: Path) -> None:
    records = tmp_path / "records.jsonl"
    assert picture_path("skimage:chelsea", records) == "skimage:chelsea"
    assert picture_path("a/b.jpg", records) == str(tmp_path / "a" / "b.jpg")
    assert picture_path("/c/d.jpg", records) == "/c/d.jpg"


def test_turns_that_quote_what_is_not_read_are_left_out() -> None:
    _, tokenizer = tiny_model()
    quote = "Cats eat mice and other small animals, day and night."
    near = Information(f"Cat: {quote}", ())
    far = Information("x" * MAX_EVIDENCE + quote, ())
    for information, kept in ((near, True), (far, False)):
        segments = (Words("It"), information, Words(f": {quote}"))
        assert supported(tokenizer, TurnRecord("What do cats eat?", None, segments)) is kept
    assert supported(tokenizer, TurnRecord("Who?", None, (Words("I see " + "a cat, " * 20),)))


def test_settings_of_the_stages_are_read_and_checked(tmp_path: Path) -> None:
    first, second = (
        load_settings(PixSearchSettings, CONFIGS / f"stage{number}.yaml") for number in (1, 2)
    )
    assert not first.batches.frozen_prefix and second.batches.frozen_prefix
    assert second.batches.mix == (7, 9) and first.weights.spans == 2.0
    selector = load_settings(SelectorSettings, CONFIGS / "selector.yaml")
    assert selector.phrases.most == 348 and selector.loop.learning_rate == 1.5e-3
    path = tmp_path / "s.yaml"
    for text, message in (
        ("lop: {}", "lop"),
        ("loop: {steps: many}", "steps: expected a whole number"),
        ("loop: {steps: true}", "steps: expected a whole number"),
        ("[1]", "mapping"),
        ("model: 3", "model: expected a mapping"),
    ):
        path.write_text(text)
        with pytest.raises(ConfigError, match=message):
            load_settings(PixSearchSettings, path)
