"""What models with masks of their own have in common: greedy words, and evidence on the cache.

None of them was trained to search. They are told that they may, and how, before the question; the
grammar of searches holds their words to it (reasoning/vlm/local/search_grammar.py).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from perception.scene.reader import GroundedRegion, Scene, SceneView
from reasoning.generation.grammar import Call
from reasoning.generation.protocol import Prompt
from reasoning.generation.tokens import END_INFORMATION, END_SEARCH, neutralise
from reasoning.vlm.grounding_formats import TagParser
from reasoning.vlm.local.network import Reading
from reasoning.vlm.local.search_grammar import allows, closing, likeliest, payload
from reasoning.vlm.tagged_stream import TaggedLMM, TaggedState
from stream.errors import PromptError
from stream.events import TokenStep
from stream.frame import Image, Mask

MAX_OWN = 1024  # tokens of one answer, whatever they become
MAX_EVIDENCE = 400  # tokens of injected evidence that are read
MAX_QUERY = 24  # tokens of a search
UNFINISHED = "\ufffd"  # a character of which bytes are missing
ENDS = ("<|im_end|>", "<|endoftext|>")  # of a turn, beside the tokenizer's own


class SegLanguage(Protocol):
    """What answering needs of a vision-language model: a VisionLanguage that takes a region."""

    tokenizer: Any
    device: torch.device

    def begin(
        self, image: Image, messages: Sequence[Mapping[str, str]], pointed: Mask | None = None
    ) -> Reading:
        """Read a picture and a conversation of role and content; the picture is in the last one.

        `pointed`: the [H, W] region that the last message is about.
        """

    def feed(self, reading: Reading, ids: Sequence[int]) -> Tensor:
        """Read tokens on top of the cache; [n, D] last-layer states."""


@dataclass(slots=True, eq=False)
class LocalState(TaggedState):
    """One answer while it is made."""

    reading: Reading = field(kw_only=True)
    own: list[int] = field(default_factory=list)  # own ids since the last special token or call
    shown: str = ""  # their text
    made: int = 0  # own tokens of the answer
    asked: int = 0  # tokens of the open call
    may_search: bool = True
    ended: bool = False


StateT = TypeVar("StateT", bound=LocalState)


class LocalLMM(TaggedLMM[StateT]):
    """Most of a segmenting model in this process; greedy."""

    special: frozenset[int] = frozenset()  # ids that mean a mask or a phrase, never in evidence

    def __init__(self, name: str, language: SegLanguage, scene: Scene) -> None:
        self.name = name
        self._language, self._scene = language, scene
        known = language.tokenizer.get_vocab()
        end = language.tokenizer.eos_token_id
        own = end if isinstance(end, list) else [end]
        self._ends = frozenset([*own, *(known[token] for token in ENDS if token in known)])

    def step(self, state: StateT, may_search: bool) -> TokenStep:
        """The next piece of what the model writes."""
        state.may_search = may_search
        return super().step(state, may_search)

    def _answer_call(self, state: StateT, content: str) -> None:
        """Evidence is read on top of the cache, as words; of a long one the beginning."""
        inner = self._plain_ids(content.removesuffix(END_INFORMATION))[:MAX_EVIDENCE]
        self._language.feed(state.reading, [*inner, *self._plain_ids(END_INFORMATION)])

    def _begin_call(self, state: StateT, call: Call, may_search: bool) -> None:
        state.parser, state.own, state.shown, state.asked = TagParser(), [], "", 0

    def _read_on(self, state: StateT) -> bool:
        """Let the model write one token, and take it; a call that takes too long is closed."""
        if state.ended:
            return False
        state.prompt.cancel.check()
        token = likeliest(state.reading.logits, lambda token: self._may(state, token))
        calling = payload(state.shown) is not None
        if calling and (token is None or state.asked >= MAX_QUERY):
            text = closing(state.shown)
            ids = self._plain_ids(text)
            self._language.feed(state.reading, ids)
            self._write_on(state, ids, state.shown + text)
        elif token is None or token in self._ends or state.made >= MAX_OWN:
            self._flush(state)
            state.ended = True
        else:
            after = self._language.feed(state.reading, [token])[-1]
            if self._take(state, token, after):
                state.made += 1
            else:
                self._write_on(state, [token], self._spelled(state, token))
        return True

    def _may(self, state: StateT, token: int) -> bool:
        """Whether a token may come next: a call holds words alone."""
        if token in self._ends or token in self.special:
            return payload(state.shown) is None
        return allows(self._spelled(state, token), state.may_search)

    def _take(self, state: StateT, token: int, after: Tensor) -> bool:
        """Take a token that is no word, with the state where it is read; False for a word."""
        raise NotImplementedError

    def _write_on(self, state: StateT, ids: list[int], text: str) -> None:
        """Words that come next, and the text that there is then."""
        added = text[len(state.shown) :]
        state.own += ids
        state.made += len(ids)
        state.shown = text
        state.asked = state.asked + 1 if payload(text) is not None else 0
        if text.endswith(END_SEARCH):  # closed, also where it asks for nothing
            state.own, state.shown, state.asked = [], "", 0
        state.queue.extend(state.parser.push(added))

    def _flush(self, state: StateT) -> None:
        """What the parser held back is decided now: a special token stands between."""
        state.queue.extend(state.parser.close())
        state.own, state.shown = [], ""

    def _spelled(self, state: StateT, token: int) -> str:
        """The text with one more token; without a character that is not finished."""
        decode = self._language.tokenizer.decode
        return str(decode([*state.own, token], skip_special_tokens=True)).removesuffix(UNFINISHED)

    def _plain_ids(self, text: str) -> list[int]:
        """Token ids of foreign words: special tokens in them are plain letters."""
        told = self._language.tokenizer(text, add_special_tokens=False, split_special_tokens=True)
        return [token for token in told.input_ids if token not in self.special]

    def _pointed(self, prompt: Prompt) -> Mask | None:
        """The region that the wearer points at, if any is there."""
        asked = prompt.question
        if asked.point is None and asked.box is None:
            return None
        try:
            return self._scene.point_at(prompt.view, asked.point, asked.box).mask
        except PromptError:
            return None

    def _named(self, view: SceneView, mask: Mask) -> GroundedRegion | None:
        """A mask with its names; None for an empty one."""
        try:
            return self._scene.names_of(view, mask)
        except PromptError:
            return None


def conversation(prompt: Prompt, asked: str) -> list[dict[str, str]]:
    """Former turns, and what is asked now."""
    messages: list[dict[str, str]] = []
    for turn in prompt.history:
        messages.append({"role": "user", "content": harmless(turn.question)})
        messages.append({"role": "assistant", "content": harmless(turn.answer)})
    return [*messages, {"role": "user", "content": asked}]


def harmless(text: str) -> str:
    """Foreign words that hold no special token of a model."""
    return neutralise(text).replace("[SEG]", "SEG")
