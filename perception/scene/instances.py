"""What a phrase segmenter finds in a picture: instances of a phrase, and whether any is there."""

from dataclasses import dataclass
from typing import Protocol

from stream.frame import Image, Mask
from stream.geometry import FloatBox


@dataclass(frozen=True, slots=True, eq=False)
class PhraseInstance:
    """One thing that a phrase names."""

    mask: Mask  # [H, W], not empty
    box: FloatBox  # px, as the model predicts it
    score: float  # 0..1, that it is there and that the phrase names it


@dataclass(frozen=True, slots=True, eq=False)
class PhraseInstances:
    """All of a phrase's instances in one picture."""

    presence: float  # 0..1, that anything the phrase names is in the picture
    instances: tuple[PhraseInstance, ...]  # surest first


class PhraseSegmenter(Protocol):
    """A model whose prompt is a short noun phrase."""

    def segment(self, image: Image, phrase: str) -> PhraseInstances:
        """Instances of `phrase` in a [H, W, 3] uint8 RGB picture."""
        ...
