"""What segmenting models in this process have in common: greedy words, and evidence on the cache.

None of them was trained to search. They are told that they may, and how, before the question; what
they write is read by reasoning/vlm/grounding_formats.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from perception.scene.reader import GroundedRegion, Scene, SceneView
from reasoning.generation.grammar import Call
from reasoning.generation.protocol import Prompt
from reasoning.generation.tokens import neutralise
from reasoning.vlm.grounding_formats import TagParser
from reasoning.vlm.hf import VlmState
from reasoning.vlm.tagged_stream import TaggedLMM, TaggedState
from stream.errors import PromptError
from stream.frame import Image, Mask

MAX_EVIDENCE = 400  # tokens of injected evidence that are read
GROUNDED = (
    "Please respond with interleaved segmentation masks for the corresponding parts of the answer."
)
ENDS = ("<|im_end|>", "<|endoftext|>")  # of a turn, beside the tokenizer's own


class SegLanguage(Protocol):
    """What answering needs of a vision-language model: a VisionLanguage that takes a region."""

    tokenizer: Any
    device: torch.device

    def begin(
        self, image: Image, messages: Sequence[Mapping[str, str]], pointed: Mask | None = None
    ) -> VlmState:
        """Read a picture and a conversation of role and content; the picture is in the last one.

        `pointed`: the [H, W] region that the last message is about.
        """

    def feed(self, reading: VlmState, ids: Sequence[int]) -> Tensor:
        """Read tokens on top of the cache; [n, D] last-layer states."""


@dataclass(slots=True, eq=False)
class LocalState(TaggedState):
    """One answer while it is made."""

    reading: VlmState = field(kw_only=True)
    own: list[int] = field(default_factory=list)  # own ids since the last special token
    shown: str = ""  # text of `own` so far
    ended: bool = False


StateT = TypeVar("StateT", bound=LocalState)


class LocalLMM(TaggedLMM[StateT]):
    """Most of a segmenting model in this process; greedy."""

    special: frozenset[int] = frozenset()  # ids that mean a mask or a phrase, never in evidence
    spells_special = False  # whether special tokens are text for the parser

    def __init__(self, name: str, language: SegLanguage, scene: Scene) -> None:
        self.name = name
        self._language, self._scene = language, scene
        known = language.tokenizer.get_vocab()
        end = language.tokenizer.eos_token_id
        own = end if isinstance(end, list) else [end]
        self._ends = frozenset([*own, *(known[token] for token in ENDS if token in known)])

    def _answer_call(self, state: StateT, content: str) -> None:
        """Evidence is read on top of the cache; special tokens in it are plain letters."""
        tokenizer = self._language.tokenizer
        ids = tokenizer(content, add_special_tokens=False, split_special_tokens=True).input_ids
        self._language.feed(
            state.reading, [token for token in ids if token not in self.special][:MAX_EVIDENCE]
        )
        state.own, state.shown = [], ""

    def _begin_call(self, state: StateT, call: Call, may_search: bool) -> None:
        state.parser, state.own, state.shown = self._parser(), [], ""

    def _read_on(self, state: StateT) -> bool:
        """Let the model write one token, and take it."""
        if state.ended:
            return False
        token = int(state.reading.logits.argmax())
        if token in self._ends:
            self._flush(state)
            state.ended = True
            return True
        after = self._language.feed(state.reading, [token])[-1]
        if not self._take(state, token, after):
            state.queue.extend(state.parser.push(self._spell(state, token)))
        return True

    def _take(self, state: StateT, token: int, after: Tensor) -> bool:
        """Take a token that is no word, with the state where it is read; False for a word."""
        return False

    def _parser(self) -> TagParser:
        return TagParser()

    def _flush(self, state: StateT) -> None:
        """What the parser held back is decided now: a special token stands between."""
        state.queue.extend(state.parser.close())
        state.own, state.shown = [], ""

    def _spell(self, state: StateT, token: int) -> str:
        """The text that a token adds; an unfinished character comes with its last one."""
        state.own.append(token)
        whole = str(
            self._language.tokenizer.decode(state.own, skip_special_tokens=not self.spells_special)
        )
        if whole.endswith("\ufffd"):
            return ""
        text = whole[len(state.shown) :]
        state.shown = whole
        return text

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
