"""Turns worded from masks: mask generation, which the search-interleaved turns are mixed with."""

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from foveal.training.data.scenes import Rng
from perception.scene.reader import where_box
from reasoning.data.annotator import AnnotatedPicture
from reasoning.data.records import Entity, Segment, TrainingRecord, TurnRecord, Words
from reasoning.data.wearer_questions import point_inside
from reasoning.data.wordings import Wordings
from reasoning.rules.parsing import with_article
from stream.geometry import Rle, decode_mask, encode_mask, mask_box

MOST = 3  # things that are listed


def sentence_records(
    pictures: Iterable[AnnotatedPicture], wordings: Wordings, variants: int
) -> Iterator[TrainingRecord]:
    """`variants` records of one turn for each picture; the same ones every time."""
    for number, picture in enumerate(pictures):
        for variant in range(variants):
            turn = sentence(picture, wordings, np.random.default_rng((number, variant)))
            yield TrainingRecord(f"{number}-{variant}", picture.image, picture.size, (turn,))


def sentence(picture: AnnotatedPicture, wordings: Wordings, rng: Rng) -> TurnRecord:
    """What is pointed at, where something is, or what there is: answered from the masks."""
    names = sorted({thing.name for thing in picture.things})
    chosen = [names[n] for n in rng.permutation(len(names))[:MOST]]
    masks = {name: _together(picture, name) for name in chosen}
    name, point, drawn = chosen[0], None, rng.random()
    if drawn < 0.4:
        kind, pieces, point = "identify", _this(name, masks[name]), point_inside(masks[name], rng)
    elif drawn < 0.7:
        kind, pieces = "where", _where(name, masks[name])
    else:
        kind, pieces = "list", _list(masks)
    asked = wordings.others[kind]
    question = asked[int(rng.integers(len(asked)))].format(name=name)
    return TurnRecord(question, point, tuple(pieces))


def _together(picture: AnnotatedPicture, name: str) -> Rle:
    """The mask of all things of a name."""
    masks = [decode_mask(thing.mask) for thing in picture.things if thing.name == name]
    return encode_mask(np.logical_or.reduce(masks))


def _this(name: str, mask: Rle) -> list[Segment]:
    return [Words(f"This is {_article(name)}"), Entity(name, mask), Words(".")]


def _where(name: str, mask: Rle) -> list[Segment]:
    box = mask_box(decode_mask(mask))
    assert box is not None  # nothing empty is known of a picture
    return [Words("The "), Entity(name, mask), Words(f" is {where_box(box, mask.size)}.")]


def _list(masks: Mapping[str, Rle]) -> list[Segment]:
    pieces: list[Segment] = [Words("I can see ")]
    for number, (name, mask) in enumerate(masks.items()):
        if number:
            pieces.append(Words(" and " if number == len(masks) - 1 else ", "))
        pieces += [Words(_article(name)), Entity(name, mask)]
    return [*pieces, Words(".")]


def _article(name: str) -> str:
    return with_article(name).removesuffix(name)
