"""A vision-language model that writes given tokens, and masks that are given: for tests."""

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reasoning.vlm.local.network import Reading
from stream.frame import Image, Mask

SPECIAL = ("<eos>", "[SEG]", "<p>", "</p>")
WIDTH = 4


class LetterTokenizer:
    """One token a letter; the special ones come first."""

    eos_token_id = 0

    def get_vocab(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(SPECIAL)}

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = True) -> str:
        return "".join(chr(token) for token in ids if token >= len(SPECIAL))

    def __call__(self, text: str, **_: Any) -> Any:
        return SimpleNamespace(input_ids=[ord(letter) for letter in text])

    def ids(self, *parts: str) -> list[int]:
        """Special tokens as such, everything else letter by letter."""
        found: list[int] = []
        for part in parts:
            found += [SPECIAL.index(part)] if part in SPECIAL else [ord(letter) for letter in part]
        return found


class ScriptedLanguage:
    """Writes its tokens in order; the state of a token is its id and its place."""

    def __init__(self, ids: Sequence[int]) -> None:
        self.tokenizer, self.device = LetterTokenizer(), torch.device("cpu")
        self._ids = list(ids)
        self.read: list[int] = []  # every token that was fed
        self.messages: Sequence[Mapping[str, str]] = ()
        self.pointed: Mask | None = None

    def begin(
        self, image: Image, messages: Sequence[Mapping[str, str]], pointed: Mask | None = None
    ) -> Reading:
        self.messages, self.pointed = messages, pointed
        return Reading(None, self._logits(), 0, 0)

    def feed(self, reading: Reading, ids: Sequence[int]) -> Tensor:
        self.read += ids
        if len(ids) == 1:  # its own; where another token was taken than it wanted, it goes on
            del self._ids[:1]
        states = torch.tensor([[float(token), len(self.read), 0, 0] for token in ids])
        reading.logits = self._logits()
        return states

    def _logits(self) -> Tensor:
        logits = torch.zeros(0x3000)
        logits[self._ids[0] if self._ids else 0] = 1.0
        return logits


class GivenMasks:
    """The same box for every embedding; keeps what it was given."""

    def __init__(self, box: tuple[int, int, int, int] | None) -> None:
        self._box = box
        self.words: list[Tensor] = []
        self.pictures = 0

    def features(self, image: Image) -> None:
        self.pictures += 1

    def mask(self, features: Any, words: Tensor, size: tuple[int, int]) -> Mask:
        self.words.append(words)
        mask = np.zeros(size, bool)
        if self._box is not None:
            x0, y0, x1, y1 = self._box
            mask[y0:y1, x0:x1] = True
        return mask
