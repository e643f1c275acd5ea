"""What a memory keeps of a picture: what is in it, and vectors of the whole and of its things."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from torch import Tensor

from perception.features.backbone import Backbone
from perception.scene.reader import SceneReader
from perception.scene.recogniser import Recogniser
from retrieval.encoders.appearance import sign_bits
from retrieval.encoders.conse import ConseProjector
from retrieval.encoders.text import Vectors, unit_rows
from retrieval.memory.events import Meanings, quantise
from stream.crops import region_views
from stream.frame import Image, Mask
from stream.geometry import Box

SURE = 0.5  # probability from which what is detected is remembered


@dataclass(frozen=True, slots=True)
class Noted:
    """A thing that was detected in a picture and is followed by nothing."""

    name: str
    confidence: float  # 0..1, of box and name
    box: Box


class Impressions(Protocol):
    """Makes of pictures what is remembered of them; any thread may ask."""

    encoder: str  # of the meanings: `Session.encoder`

    def scene(self, image: Image) -> Meanings | None:
        """[D] int8: what the whole picture means; None where there is nothing to see."""

    def region(self, image: Image, mask: Mask) -> tuple[Meanings | None, bytes]:
        """The meaning and the look of what a [H, W] mask with pixels lies on."""

    def things(self, image: Image) -> tuple[Noted, ...]:
        """What is surely in the picture."""

    def words(self, image: Image) -> str:
        """What is written in the picture, top to bottom."""


class EmbeddedImpressions:
    """With the networks that the session has loaded: one pass of the backbone a call."""

    def __init__(
        self,
        backbone: Backbone,
        recogniser: Recogniser,
        reader: SceneReader,
        class_vectors: Vectors,
        text_encoder: str,
    ) -> None:
        """`class_vectors` [C, D]: the recogniser's classes in the space of `text_encoder`."""
        self._backbone, self._recogniser, self._reader = backbone, recogniser, reader
        self._projector = ConseProjector(class_vectors)
        self.encoder = f"conse+{text_encoder}"

    def scene(self, image: Image) -> Meanings | None:
        """By the classes of the whole picture."""
        return self._meaning(self._backbone.pooled([image]))

    def look(self, image: Image, mask: Mask) -> bytes:
        """`retrieval.encoders.joint.Appearance`: what a region is recognised by."""
        return self.region(image, mask)[1]

    def region(self, image: Image, mask: Mask) -> tuple[Meanings | None, bytes]:
        """Meaning and look of one pass over both views of the region."""
        pooled = self._backbone.pooled(region_views(image, mask))
        views = np.asarray(pooled.cpu().numpy(), np.float32)
        return self._meaning(pooled), sign_bits(unit_rows(views).mean(axis=0))

    def things(self, image: Image) -> tuple[Noted, ...]:
        """What is detected; nothing without a detector."""
        return tuple(
            Noted(one.name, one.probability, one.box)
            for one in self._reader.detect(image)
            if one.probability >= SURE
        )

    def words(self, image: Image) -> str:
        """By the reader of words."""
        return "\n".join(line.text for line in self._reader.read_words(image))

    def _meaning(self, pooled: Tensor) -> Meanings | None:
        posteriors = self._recogniser.posteriors(pooled).mean(axis=0, keepdims=True)
        vector = self._projector.project(posteriors)[0]
        return quantise(vector) if vector.any() else None
