"""Models that write `[SEG]` for a mask, as a SegmentingLMM: Sa2VA.

The last-layer state of the position where `[SEG]` is read becomes a mask. It belongs to the phrase
between `<p>` and `</p>` before it, or to the last word where none is marked. The model was not
trained to search; asked to, it can by the tags of reasoning/vlm/grounding_formats.py, and evidence
is read on top of the cache.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from perception.scene.reader import GroundedRegion, Scene, SceneView
from reasoning.generation.grammar import Call
from reasoning.generation.protocol import EntitySpan, Prompt
from reasoning.generation.tokens import (
    neutralise,
    unbracket,
)
from reasoning.vlm.grounding_formats import TagParser
from reasoning.vlm.hf import VisionLanguage, VlmState
from reasoning.vlm.markup import NamedPlace, ParsedPiece, PlainText
from reasoning.vlm.tagged_stream import TaggedLMM, TaggedState
from stream.errors import AssetError, PromptError
from stream.events import TokenStep
from stream.frame import Image, Mask

SEG, PHRASE, END_PHRASE = "[SEG]", "<p>", "</p>"
MAX_EVIDENCE = 400  # tokens of injected evidence that are read
GROUNDED = (
    "Please respond with interleaved segmentation masks for the corresponding parts of the answer."
)


class WordMasks(Protocol):
    """A mask decoder that takes words."""

    def features(self, image: Image) -> Any: ...

    def mask(self, features: Any, words: Tensor, size: tuple[int, int]) -> Mask: ...


@dataclass(frozen=True, slots=True, eq=False)
class SegParts:
    """What a checkpoint is made of."""

    name: str
    language: VisionLanguage
    project: Callable[[Tensor], Tensor]  # [n, D] states -> [n, C] words of the mask decoder
    masks: WordMasks


@dataclass(slots=True, eq=False)
class SegState(TaggedState):
    """One answer while it is made."""

    reading: VlmState = field(kw_only=True)
    features: Any = None  # of the mask decoder
    own: list[int] = field(default_factory=list)  # own ids since the last special token
    shown: str = ""  # text of `own` so far
    text: str = ""  # the answer's words, for the phrase a mask belongs to
    marked: int | None = None  # where an open <p> began, in `written`
    phrase: tuple[int, int] | None = None  # the last closed phrase
    ended: bool = False


class SegTokenLMM(TaggedLMM[SegState]):
    """A SegmentingLMM over a `[SEG]` checkpoint; greedy."""

    def __init__(self, parts: SegParts, scene: Scene) -> None:
        """Raises AssetError when there is no `[SEG]` in the vocabulary."""
        self._parts, self._scene = parts, scene
        self.name = parts.name
        known = parts.language.tokenizer.get_vocab()
        if SEG not in known:
            raise AssetError(f"expected {SEG} in the vocabulary of {parts.name}, found none")
        self._seg = known[SEG]
        self._phrase, self._end_phrase = known.get(PHRASE), known.get(END_PHRASE)
        self._features: tuple[SceneView, Any] | None = None

    def prefill(self, prompt: Prompt) -> SegState:
        """Read picture and conversation; the mask decoder sees a view once."""
        messages: list[dict[str, str]] = []
        for turn in prompt.history:
            messages.append({"role": "user", "content": _harmless(turn.question)})
            messages.append({"role": "assistant", "content": _harmless(turn.answer)})
        asked = f"{_harmless(prompt.question.text)} {GROUNDED}".strip()
        messages.append({"role": "user", "content": asked})
        image = prompt.view.frame.image
        reading = self._parts.language.begin(image, messages)
        if self._features is None or self._features[0] is not prompt.view:
            self._features = (prompt.view, self._parts.masks.features(image))
        return SegState(prompt, reading=reading, features=self._features[1])

    def _answer_call(self, state: SegState, content: str) -> None:
        """Evidence is read on top of the cache; in it `[SEG]` and the like are plain letters."""
        tokenizer = self._parts.language.tokenizer
        ids = tokenizer(content, add_special_tokens=False, split_special_tokens=True).input_ids
        special = {self._seg, self._phrase, self._end_phrase}
        self._parts.language.feed(
            state.reading, [token for token in ids if token not in special][:MAX_EVIDENCE]
        )
        state.own, state.shown = [], ""

    def _begin_call(self, state: SegState, call: Call, may_search: bool) -> None:
        state.parser, state.own, state.shown = TagParser(), [], ""

    def _read_on(self, state: SegState) -> bool:
        """Let the model write one token, and take it."""
        if state.ended:
            return False
        token = int(state.reading.logits.argmax())
        if token in self._ends():
            self._flush(state)
            state.ended = True
            return True
        after = self._parts.language.feed(state.reading, [token])[-1]
        if token == self._seg:
            self._flush(state)
            self._ground(state, after)
        elif token == self._phrase:
            self._flush(state)
            state.marked = state.written + _waiting(state.queue)
        elif token == self._end_phrase:
            self._flush(state)
            if state.marked is not None:
                state.phrase = (state.marked, state.written + _waiting(state.queue))
                state.marked = None
        else:
            state.queue.extend(state.parser.push(self._spell(state, token)))
        return True

    def _say(self, state: SegState, text: str) -> TokenStep:
        state.text += unbracket(text)
        return super()._say(state, text)

    def _flush(self, state: SegState) -> None:
        """What the parser held back is decided now: a special token stands between."""
        state.queue.extend(state.parser.close())
        state.own, state.shown = [], ""

    def _ends(self) -> frozenset[int]:
        end = self._parts.language.tokenizer.eos_token_id
        return frozenset(end if isinstance(end, list) else [end])

    def _ground(self, state: SegState, hidden: Tensor) -> None:
        """The mask of a state, for the phrase before it."""
        for piece in [*state.queue]:
            if isinstance(piece, Call):
                return  # it wrote on behind a search: a guess
        view = state.prompt.view
        with torch.inference_mode():
            words = self._parts.project(hidden[None])
        mask = self._parts.masks.mask(state.features, words, view.frame.size)
        region = self._named(view, mask)
        start, end = state.phrase or self._last_word(state)
        state.phrase = None
        if region is not None and end > start:
            state.spans.append(EntitySpan(start, end, region))

    def _named(self, view: SceneView, mask: Mask) -> GroundedRegion | None:
        try:
            return self._scene.names_of(view, mask)
        except PromptError:
            return None

    def _last_word(self, state: SegState) -> tuple[int, int]:
        waiting = "".join(p.text for p in state.queue if isinstance(p, PlainText | NamedPlace))
        said = state.text + waiting
        end = state.written + len(waiting)
        stripped = said.rstrip(" ,.:;")
        word = stripped.split()[-1] if stripped.split() else ""
        last = end - (len(said) - len(stripped))
        return last - len(word), last

    def _spell(self, state: SegState, token: int) -> str:
        """The text that a token adds; an unfinished character comes with its last one."""
        state.own.append(token)
        whole = str(self._parts.language.tokenizer.decode(state.own, skip_special_tokens=True))
        if whole.endswith("\ufffd"):
            return ""
        text = whole[len(state.shown) :]
        state.shown = whole
        return text


def _harmless(text: str) -> str:
    """Foreign words that hold no special token of the model."""
    return neutralise(text).replace(SEG, SEG.strip("[]"))


def _waiting(queue: Iterable[ParsedPiece | str]) -> int:
    """Characters that are decided but not written yet."""
    return sum(len(p.text) for p in queue if isinstance(p, PlainText | NamedPlace))
