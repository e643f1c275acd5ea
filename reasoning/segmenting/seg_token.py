"""Models that write `[SEG]` for a mask, as a SegmentingLMM: Sa2VA.

A last-layer state becomes a mask. It belongs to the phrase between `<p>` and `</p>` before it, or
to the last word where none is marked; a mask that nothing names is left out.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from perception.scene.reader import Scene, SceneView
from reasoning.generation.grammar import Call
from reasoning.generation.protocol import EntitySpan, Prompt
from reasoning.generation.tokens import unbracket
from reasoning.segmenting.answering import (
    LocalLMM,
    LocalState,
    SegLanguage,
    conversation,
    harmless,
)
from reasoning.vlm.coordinates import INTERLEAVED, SEARCHES
from reasoning.vlm.markup import NamedPlace, ParsedPiece, PlainText
from stream.errors import AssetError
from stream.events import TokenStep
from stream.frame import Image, Mask

SEG, PHRASE, END_PHRASE = "[SEG]", "<p>", "</p>"
# Last words of the replies that Sa2VA was trained to give to "Please segment …": they name nothing.
STOCK = frozenset(("sure", "is", "it"))


class WordMasks(Protocol):
    """A mask decoder that takes words."""

    def features(self, image: Image) -> Any: ...

    def mask(self, features: Any, words: Tensor, size: tuple[int, int]) -> Mask: ...


@dataclass(frozen=True, slots=True, eq=False)
class SegParts:
    """What a checkpoint is made of."""

    name: str
    language: SegLanguage
    project: Callable[[Tensor], Tensor]  # [n, D] states -> [n, C] words of the mask decoder
    masks: WordMasks
    # Which state a mask is made of: of the place that reads [SEG] (Sa2VA), or of the one before,
    # which predicts it (LISA, GLaMM, VideoLISA).
    state: Literal["reads", "predicts"] = "reads"


@dataclass(slots=True, eq=False)
class SegState(LocalState):
    """One answer while it is made."""

    features: Any = None  # of the mask decoder
    text: str = ""  # the answer's words, for the phrase a mask belongs to
    marked: int | None = None  # where an open <p> began, in `written`
    phrase: tuple[int, int] | None = None  # the last closed phrase
    before: Tensor | None = None  # the state of the token read last


class SegTokenLMM(LocalLMM[SegState]):
    """A SegmentingLMM over a `[SEG]` checkpoint; greedy."""

    def __init__(self, parts: SegParts, scene: Scene) -> None:
        """Raises AssetError when there is no `[SEG]` in the vocabulary."""
        super().__init__(parts.name, parts.language, scene)
        self._parts = parts
        known = parts.language.tokenizer.get_vocab()
        if SEG not in known:
            raise AssetError(f"expected {SEG} in the vocabulary of {parts.name}, found none")
        self._seg = known[SEG]
        self._phrase, self._end_phrase = known.get(PHRASE), known.get(END_PHRASE)
        marks = (self._seg, self._phrase, self._end_phrase)
        self.special = frozenset(token for token in marks if token is not None)
        self._features: tuple[SceneView, Any] | None = None

    def prefill(self, prompt: Prompt) -> SegState:
        """Read picture and conversation; the mask decoder sees a view once."""
        asked = f"{SEARCHES}\n{harmless(prompt.question.text)} {INTERLEAVED}"
        image = prompt.view.frame.image
        pointed = self._pointed(prompt)
        reading = self._language.begin(image, conversation(prompt, asked), pointed)
        seen = self._features  # sessions share the model
        if seen is None or seen[0] is not prompt.view:
            seen = (prompt.view, self._parts.masks.features(image))
            self._features = seen
        return SegState(prompt, reading=reading, features=seen[1])

    def _take(self, state: SegState, token: int, after: Tensor) -> bool:
        before, state.before = state.before, after
        if token not in self.special:
            return False
        self._flush(state)
        here = state.written + _waiting(state.queue)
        if token == self._seg:
            source = after if self._parts.state == "reads" else before
            if source is not None:
                self._ground(state, source)
        elif token == self._phrase:
            state.marked = here
        elif state.marked is not None:
            state.phrase, state.marked = (state.marked, here), None
        return True

    def _say(self, state: SegState, text: str) -> TokenStep:
        state.text += unbracket(text)
        return super()._say(state, text)

    def _ground(self, state: SegState, hidden: Tensor) -> None:
        """The mask of a state, for the phrase before it."""
        if any(isinstance(piece, Call) for piece in state.queue):
            return  # it wrote on behind a search: a guess
        start, end = state.phrase or self._last_word(state)
        state.phrase = None
        if end <= start:
            return
        view = state.prompt.view
        with torch.inference_mode():
            words = self._parts.project(hidden[None])
        mask = self._parts.masks.mask(state.features, words, view.frame.size)
        region = self._named(view, mask)
        if region is not None:
            state.spans.append(EntitySpan(start, end, region))

    def _last_word(self, state: SegState) -> tuple[int, int]:
        waiting = "".join(p.text for p in state.queue if isinstance(p, PlainText | NamedPlace))
        said = state.text + waiting
        stripped = said.rstrip(" ,.:;")
        word = stripped.split()[-1] if stripped.split() else ""
        last = state.written + len(waiting) - (len(said) - len(stripped))
        return (last, last) if word.lower() in STOCK else (last - len(word), last)


def _waiting(queue: Iterable[ParsedPiece | str]) -> int:
    """Characters that are decided but not written yet."""
    return sum(len(p.text) for p in queue if isinstance(p, PlainText | NamedPlace))
