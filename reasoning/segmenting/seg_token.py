"""Models that write `[SEG]` for a mask, as a SegmentingLMM: Sa2VA.

The last-layer state of the position where `[SEG]` is read becomes a mask. It belongs to the phrase
between `<p>` and `</p>` before it, or to the last word where none is marked. The model was not
trained to search; asked to, it can by the tags of reasoning/vlm/grounding_formats.py, and evidence
is read on top of the cache.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from perception.scene.reader import GroundedRegion, Scene, SceneView
from reasoning.generation.grammar import Call
from reasoning.generation.protocol import EntitySpan, Prompt
from reasoning.generation.tokens import (
    END,
    END_INFORMATION,
    END_SEARCH,
    IMAGE,
    INFORMATION,
    REGION,
    SEARCH,
    ControlIds,
    neutralise,
    unbracket,
)
from reasoning.vlm.grounding_formats import Named, Piece, Said, TagParser
from reasoning.vlm.hf import Reading, VisionLanguage
from stream.errors import AssetError, PromptError
from stream.events import Evidence, TokenStep
from stream.frame import Image, Mask

SEG, PHRASE, END_PHRASE = "[SEG]", "<p>", "</p>"
WORD = 0  # the id of ordinary tokens in the sequence; the model's own ids stay inside
FIRST_CONTROL = 1
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
class SegState:
    """One answer while it is made."""

    prompt: Prompt
    reading: Reading
    features: Any
    parser: TagParser = field(default_factory=TagParser)
    queue: deque[Piece | str] = field(default_factory=deque)  # a str is a special token
    own: list[int] = field(default_factory=list)  # own ids since the last special token
    shown: str = ""  # text of `own` so far
    text: str = ""  # the answer's words, for the phrase a mask belongs to
    marked: int | None = None  # where an open <p> began, in `written`
    phrase: tuple[int, int] | None = None  # the last closed phrase
    spans: list[EntitySpan] = field(default_factory=list)
    written: int = 0
    ended: bool = False
    subject: str = ""


class SegTokenLMM:
    """A SegmentingLMM over a `[SEG]` checkpoint; greedy."""

    def __init__(self, parts: SegParts, scene: Scene) -> None:
        """Raises AssetError when there is no `[SEG]` in the vocabulary."""
        self._parts, self._scene = parts, scene
        self.name = parts.name
        self.controls = ControlIds(FIRST_CONTROL)
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
        return SegState(prompt, reading, self._features[1])

    def step(self, state: SegState, may_search: bool) -> TokenStep:
        """The next piece; `[SEG]` and phrase marks are taken and leave no words."""
        while True:
            while state.queue:
                step = self._play(state, state.queue.popleft(), may_search)
                if step is not None:
                    return step
            if state.ended:
                return TokenStep(self.controls.id_of(END), END, forced=False)
            self._write_on(state)

    def inform(
        self, state: SegState, evidence: Sequence[Evidence], text: str
    ) -> Sequence[TokenStep]:
        """Read evidence on top of the cache; in it `[SEG]` and the like are plain letters."""
        inner = text.removeprefix(INFORMATION).removesuffix(END_INFORMATION)
        self._feed_text(state, f"{INFORMATION}{inner}{END_INFORMATION}")
        if evidence:
            state.subject = evidence[0].title
        steps = [
            TokenStep(self.controls.id_of(INFORMATION), INFORMATION, True),
            TokenStep(WORD, inner, True),
            TokenStep(self.controls.id_of(END_INFORMATION), END_INFORMATION, True),
        ]
        state.written += sum(len(step.text) for step in steps)
        return steps

    def spans(self, state: SegState) -> Sequence[EntitySpan]:
        """Phrases whose mask is not empty."""
        return state.spans

    def subject(self, state: SegState) -> str:
        """The title found first by the last search."""
        return state.subject

    def _write_on(self, state: SegState) -> None:
        """Let the model write one token, and take it."""
        token = int(state.reading.logits.argmax())
        if token in self._ends():
            self._end(state)
            return
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

    def _end(self, state: SegState) -> None:
        self._flush(state)
        state.ended = True

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
        waiting = "".join(p.text for p in state.queue if isinstance(p, Said | Named))
        said = state.text + waiting
        end = state.written + len(waiting)
        stripped = said.rstrip(" ,.:;")
        word = stripped.split()[-1] if stripped.split() else ""
        last = end - (len(said) - len(stripped))
        return last - len(word), last

    def _play(self, state: SegState, piece: Piece | str, may_search: bool) -> TokenStep | None:
        match piece:
            case str():
                return self._write(state, piece, self.controls.id_of(piece))
            case Said(text) | Named(text, _):
                words = unbracket(text)
                state.text += words
                return self._write(state, words, WORD)
            case Call():
                return self._call(state, piece, may_search)
        return None

    def _call(self, state: SegState, call: Call, may_search: bool) -> TokenStep | None:
        state.queue.clear()
        state.parser, state.own, state.shown = TagParser(), [], ""
        if not may_search:
            return None
        payload = {"region": REGION, "image": IMAGE}.get(call.kind)
        state.queue.append(payload or Said(f" {neutralise(call.payload)} "))
        state.queue.append(END_SEARCH)
        return self._write(state, SEARCH, self.controls.id_of(SEARCH))

    def _spell(self, state: SegState, token: int) -> str:
        """The text that a token adds; an unfinished character comes with its last one."""
        state.own.append(token)
        whole = str(self._parts.language.tokenizer.decode(state.own, skip_special_tokens=True))
        if whole.endswith("\ufffd"):
            return ""
        text = whole[len(state.shown) :]
        state.shown = whole
        return text

    def _feed_text(self, state: SegState, text: str) -> None:
        tokenizer = self._parts.language.tokenizer
        ids = tokenizer(text, add_special_tokens=False, split_special_tokens=True).input_ids
        special = {self._seg, self._phrase, self._end_phrase}
        ids = [token for token in ids if token not in special][:MAX_EVIDENCE]
        if ids:
            self._parts.language.feed(state.reading, ids)
        state.own, state.shown = [], ""

    @staticmethod
    def _write(state: SegState, text: str, token: int) -> TokenStep:
        state.written += len(text)
        return TokenStep(token, text, forced=False)


def _harmless(text: str) -> str:
    """Foreign words that hold no special token of the model."""
    return neutralise(text).replace(SEG, SEG.strip("[]"))


def _waiting(queue: Iterable[Piece | str]) -> int:
    """Characters that are decided but not written yet."""
    return sum(len(p.text) for p in queue if isinstance(p, Said | Named))
