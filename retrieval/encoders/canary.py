"""Canaries: what an encoder said of fixed texts and pictures when an index was built.

An encoder that was swapped or edited since, to hide documents or to bring others up, gives other
vectors under the same name ("DisarmRAG" edits a retriever's weights so). A few canaries, drawn anew
at each load so that none can be spared, are encoded again and compared.
"""

import base64
import binascii
import random
from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

import cv2
import numpy as np

from retrieval.encoders.joint import JointEncoder
from retrieval.encoders.text import TextEncoder, Vectors
from stream.errors import AssetError
from stream.frame import Image

LEAST = 0.999  # cosine of a canary with itself; other processors and batches differ by 1e-6
DRAWN = 3  # of each kind, encoded again at a load
SIDE = 64  # pixels of a picture
TEXTS = (
    "A red bicycle leans against a brick wall.",
    "Glaciers move slowly downhill under their own weight.",
    "How long should pasta boil?",
    "The treaty was signed in the spring of the following year.",
    "screwdriver",
    "a photograph of a dog asleep on a sofa",
    "Copper conducts electricity better than iron.",
    "Which bus goes to the station?",
    "Lighthouse, a tower with a lamp for ships",
    "She plays the cello in a small orchestra.",
    "1024 bytes are a kibibyte",
    "Bees dance to tell others where flowers are.",
    "the keys on the kitchen table",
    "Photosynthesis turns light into sugar.",
    "Who painted the ceiling?",
    "An old map of the harbour",
    "Basalt columns form as lava cools.",
    "green umbrella",
    "The second half of the match was delayed by rain.",
    "Turn the valve clockwise to close it.",
)


def record(encoder: TextEncoder) -> dict[str, Any]:
    """What to keep beside an index, as JSON values: vectors of all canaries."""
    told: dict[str, Any] = {"encoder": encoder.id, "texts": _packed(encoder.encode_text(TEXTS))}
    if _sees(encoder):
        told["pictures"] = _packed(encoder.encode_images(canary_pictures()))
    return told


def check(
    encoder: TextEncoder, recorded: Mapping[str, Any], draw: random.Random | None = None
) -> None:
    """Encode DRAWN canaries of each kind again, drawn by the system's randomness unless told.

    Raises AssetError for an encoder that says something else than when they were recorded, and
    for records that are damaged.
    """
    draw = draw or random.SystemRandom()
    if recorded.get("encoder") != encoder.id:
        raise AssetError(
            f"expected the encoder {recorded.get('encoder')} that the index was built with, got "
            f"{encoder.id}; set it, or build the index again"
        )
    numbers = sorted(draw.sample(range(len(TEXTS)), DRAWN))
    texts = encoder.encode_text([TEXTS[number] for number in numbers])
    _compare(encoder, "text", _rows(recorded, "texts", encoder.dim)[numbers], texts, numbers)
    if _sees(encoder) and "pictures" in recorded:
        pictures = canary_pictures()
        shown = encoder.encode_images([pictures[number] for number in numbers])
        kept = _rows(recorded, "pictures", encoder.dim)[numbers]
        _compare(encoder, "picture", kept, shown, numbers)


def canary_pictures() -> list[Image]:
    """As many pictures as TEXTS: discs and bars over gradients, the same on every machine."""
    pictures = []
    for number in range(len(TEXTS)):
        rng = np.random.default_rng(number)
        ends = rng.integers(0, 256, (2, 3))
        ramp = np.linspace(0, 1, SIDE)[:, None, None]
        picture = np.broadcast_to(ends[0] + ramp * (ends[1] - ends[0]), (SIDE, SIDE, 3))
        canvas = np.ascontiguousarray(picture.astype(np.uint8))
        for _ in range(3):
            x, y, size = (int(value) for value in rng.integers(8, SIDE - 8, 3))
            colour = [int(value) for value in rng.integers(0, 256, 3)]
            if rng.random() < 0.5:
                cv2.circle(canvas, (x, y), size // 3, colour, -1)
            else:
                cv2.rectangle(canvas, (x, y), (x + size // 2, y + size // 3), colour, -1)
        pictures.append(canvas)
    return pictures


def _sees(encoder: TextEncoder) -> TypeGuard[JointEncoder]:
    return hasattr(encoder, "encode_images")


def _compare(
    encoder: TextEncoder, kind: str, kept: Vectors, said: Vectors, numbers: Sequence[int]
) -> None:
    cosines = (kept * said).sum(axis=1)
    worst = int(np.argmin(np.nan_to_num(cosines, nan=-1.0)))
    if not cosines[worst] >= LEAST:
        raise AssetError(
            f"expected {encoder.id} to encode canary {kind} {numbers[worst]} as when the index was "
            f"built (cosine >= {LEAST}), got {cosines[worst]:.4f}: its weights or what is done "
            "before them are others. Bring back the encoder of that time, or build a new index "
            "(`foveal index build --out`) if you trust this one"
        )


def _packed(vectors: Vectors) -> str:
    return base64.b64encode(vectors.astype("<f4").tobytes()).decode("ascii")


def _rows(recorded: Mapping[str, Any], kind: str, dim: int) -> Vectors:
    try:
        raw = base64.b64decode(recorded[kind], validate=True)
        return np.frombuffer(raw, "<f4").reshape(len(TEXTS), dim).astype(np.float32)
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        raise AssetError(
            f"expected {len(TEXTS)} vectors of {dim} numbers as the canary {kind} of the index: "
            f"{error}; build the index again"
        ) from error
