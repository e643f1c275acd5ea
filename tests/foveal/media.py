"""Frames, regions and answers that the tests of what a replay writes share."""

import numpy as np

from stream.events import Answer, Evidence, Question, Region, SearchRecord, Span
from stream.frame import Frame
from stream.geometry import encode_mask, mask_box

STEP_NS = 100_000_000


def frame(index: int, size: tuple[int, int] = (96, 128)) -> Frame:
    """A gradient that moves."""
    height, width = size
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0] = np.arange(width) * 2 % 256
    image[..., 1] = (np.arange(height)[:, None] * 2 + index) % 256
    return Frame(index * STEP_NS, index * STEP_NS, image, "test")


def region(track_id: int, shift: int = 0, size: tuple[int, int] = (96, 128)) -> Region:
    """A square."""
    mask = np.zeros(size, bool)
    mask[20:60, 20 + shift : 60 + shift] = True
    return Region(track_id, 0, encode_mask(mask), mask_box(mask), 0.9)


def answer(text: str = "A red cup, first made in China.", asked_ns: int = 0) -> Answer:
    """A grounded answer with one region search."""
    found = Evidence("wiki:7", "Cup", "A cup is a small container.", 0.71, "wiki-vital")
    return Answer(
        question=Question("What is this?", asked_ns, point=(30, 40)),
        text=text,
        sequence="A red cup<search><region></search><information>Cup | A cup</information>, ...",
        spans=(Span(2, min(9, len(text)), region(1)),) if len(text) > 2 else (),
        searches=(SearchRecord("region", "<region>", (found,)),),
        timings_ns={"first_token": 123_000_000},
        model="test",
    )
