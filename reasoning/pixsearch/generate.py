"""The trained segmenting model behind the decode loop's protocol.

Its cache is kept through injected evidence; a view's visual prefix is read once however many
questions it gets; an entity gets its mask when its span ends, and the grammar decides which special
tokens may come.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from transformers import DynamicCache

from perception.scene.reader import GroundedRegion, SceneView
from reasoning.generation.config import LogitsProcessorConfig
from reasoning.generation.grammar import Grammar
from reasoning.generation.protocol import EntitySpan, Prompt, evidence_steps
from reasoning.generation.tokens import END, unbracket
from reasoning.pixsearch.entity_masks import EntityGrounder, EntityMasks
from reasoning.pixsearch.logits_processor import LogitsProcessor
from reasoning.pixsearch.modeling import PixSearchModel
from reasoning.pixsearch.processing import MAX_EVIDENCE, question_text
from reasoning.pixsearch.spans import BEGIN, INSIDE, MAX_SPAN
from reasoning.pixsearch.visual_input import VisualInput
from reasoning.vlm.causal_lm import CausalLm
from stream.events import Evidence, TokenStep


@dataclass(slots=True, eq=False)
class OpenSpan:
    """An entity while it is written."""

    start: int  # character
    tokens: list[int] = field(default_factory=list)  # places in the state's rows


@dataclass(frozen=True, slots=True)
class Unread:
    """A word that was given out and not read yet."""

    token: int
    start: int  # character of the sequence at which its text begins
    lead: int  # spaces before the word
    named: bool  # may be part of an entity


@dataclass(slots=True, eq=False)
class PixSearchState:
    """One answer while it is made; owned by the decode loop."""

    masks: EntityMasks
    cache: Any
    states: list[Tensor]  # [D] last-layer states of the answer's tokens, the newest last
    embeddings: list[Tensor]  # [D] of the same tokens
    logits: Tensor  # [V + 7] of the next token
    last: Tensor  # [D] state of the newest token
    grammar: Grammar = field(default_factory=Grammar)
    written: int = 0  # characters of the sequence
    own: list[int] = field(default_factory=list)  # own words since the last special token
    said: list[int] = field(default_factory=list)  # own words of the answer
    shown: str = ""  # text of `own` so far
    unread: Unread | None = None  # read when the next token is asked for
    open: OpenSpan | None = None
    spans: list[EntitySpan] = field(default_factory=list)
    sequence: str = ""
    subject: str = ""


class PixSearchLMM:
    """A SegmentingLMM: one model writes, marks, masks and asks for searches."""

    name = "pixsearch-smollm2-135m"
    remote = False

    def __init__(
        self,
        model: PixSearchModel,
        tokenizer: CausalLm,
        grounder: EntityGrounder,
        visual: VisualInput,
        logits_processor: LogitsProcessorConfig | None = None,
    ) -> None:
        """`visual` has the model's own grid and number of things."""
        self._model, self._tokenizer, self._grounder = model.eval(), tokenizer, grounder
        self._visual = visual
        self.controls = model.controls
        self._logits_processor = LogitsProcessor(
            model.controls, logits_processor or LogitsProcessorConfig()
        )
        # Views read ahead, as long as somebody holds them: sessions share the model.
        self._read: WeakKeyDictionary[SceneView, Any] = WeakKeyDictionary()

    def read_view(self, view: SceneView, earlier: Sequence[SceneView] = ()) -> Any:
        """The cache of a view's visual prefix: call it as a keyframe comes, and a question costs
        only its own tokens. It looks at one view; `earlier` ones are not read."""
        read = self._read.get(view)
        if read is None:
            read = DynamicCache()
            with torch.inference_mode():
                prefix = self._model.prefix(self._visual.of_view(view))
                self._model.states(prefix[None], cache=read)
            self._read[view] = read
        return read

    def forget_view(self, view: SceneView) -> None:
        """Drop what `read_view` kept: the next question reads the view itself."""
        self._read.pop(view, None)

    @property
    def network(self) -> PixSearchModel:
        """The model itself, for those who measure it."""
        return self._model

    @property
    def tokenizer(self) -> CausalLm:
        """Words to token ids and back."""
        return self._tokenizer

    @property
    def visual(self) -> VisualInput:
        """How views become visual tokens."""
        return self._visual

    def prefill(self, prompt: Prompt) -> PixSearchState:
        """Read the question on top of the view, or of the keyframe that was read ahead of it."""
        masks = self._grounder.begin(prompt)
        cache, last, logits = self._read_question(prompt, masks.pointed)
        return PixSearchState(masks, cache, [], [], logits, last)

    def _read_question(
        self, prompt: Prompt, pointed: GroundedRegion | None
    ) -> tuple[Any, Tensor, Tensor]:
        """Cache, last state [D] and next logits [V + 7] after view, pointed thing and question.

        What is pointed at comes before its words. The kept cache of the view is never written to:
        the answer goes on in a copy of its own. A view that was not read ahead is read in one pass
        with the question, and kept for the next one.
        """
        model, view = self._model, prompt.seen or prompt.view
        with torch.inference_mode():
            history = [(turn.question, turn.answer) for turn in prompt.history]
            ids = self._tokenizer.encode(question_text(prompt.question.text, history))
            rows = model.embed(torch.tensor(ids))
            if pointed is not None:
                shown = self._visual.of_pointed(prompt.view, pointed)
                # `prefix` begins with <image>, which was read with the view.
                rows = torch.cat([model.prefix(shown)[1:], rows])
            read = self._read.get(view)
            if read is not None:
                cache = copy.deepcopy(read)
                states = model.read(rows, cache)
            else:
                prefix, cache = model.prefix(self._visual.of_view(view)), DynamicCache()
                states = model.read(torch.cat([prefix, rows]), cache)
                kept = copy.deepcopy(cache)
                kept.crop(-len(rows))
                self._read[view] = kept  # whole when others see it
            return cache, states[-1], model.logits(states[-1])

    def step(self, state: PixSearchState, may_search: bool) -> TokenStep:
        """The next token, given out before it is read; a span's mask is made as the next one is.

        So the first token costs no pass but the question's own.
        """
        self._catch_up(state)
        token = self._logits_processor.next_token(
            state.logits,
            state.grammar,
            state.own or state.said,
            may_search,
            named=bool(state.spans),
        )
        control = self.controls.control(token)
        text = control or self._spell(state, token)
        state.grammar.push(control or unbracket(text), control)
        if control is None:
            state.own.append(token)
            state.said.append(token)
        else:
            state.own, state.shown = [], ""
            self._end_span(state, state.written)
        if control == END:
            return TokenStep(token, END, forced=False)
        named = control is None and state.grammar.place == "answer"
        state.unread = Unread(token, state.written, len(text) - len(text.lstrip()), named)
        self._write(state, text)
        return TokenStep(token, text, forced=False)

    def inform(
        self, state: PixSearchState, evidence: Sequence[Evidence], text: str
    ) -> Sequence[TokenStep]:
        """Read the evidence on top of the cache: its first tokens, as in training."""
        self._catch_up(state)
        steps = evidence_steps(self.controls, text, self._tokenizer.pieces)
        read = [*steps[: MAX_EVIDENCE + 1], steps[-1]] if len(steps) > MAX_EVIDENCE + 2 else steps
        self._feed(state, [step.token_id for step in read])
        for step in steps:
            control = self.controls.control(step.token_id)
            state.grammar.push(control or unbracket(step.text), control)
            self._write(state, step.text)
        if evidence:
            state.subject = evidence[0].title
        return steps

    def spans(self, state: PixSearchState) -> Sequence[EntitySpan]:
        """Entities whose span has ended and whose mask is not empty."""
        self._catch_up(state)
        if state.grammar.place != "answer":
            self._end_span(state, state.written)
        return state.spans

    def subject(self, state: PixSearchState) -> str:
        """The title last looked up, else the last entity named."""
        if not state.subject and state.spans:
            span = state.spans[-1]
            return state.sequence[span.start : span.end]
        return state.subject

    def _feed(self, state: PixSearchState, ids: Sequence[int]) -> None:
        with torch.inference_mode():
            rows = self._model.embed(torch.tensor(list(ids)))
            states = (
                self._model.read(rows, state.cache)
                if len(rows) > 1
                else self._model.states(rows[None], cache=state.cache)[0]
            )
            state.logits = self._model.logits(states[-1])
        state.states += list(states)
        state.embeddings += list(rows)

    def _catch_up(self, state: PixSearchState) -> None:
        """Read the token that was given out last, and label it."""
        unread, state.unread = state.unread, None
        if unread is None:
            return
        self._feed(state, [unread.token])
        label = 0
        if unread.named:
            with torch.inference_mode():
                before = [state.last, *state.states][-2:]
                pair = torch.stack(before)[None]
                words = torch.stack([state.embeddings[-1]] * 2)[None]
                label = int(self._model.tag(pair, words)[0, -1].argmax())
        if state.open is not None and label != INSIDE:
            self._end_span(state, unread.start)
        if label == BEGIN:
            state.open = OpenSpan(unread.start + unread.lead)
        if state.open is not None:
            state.open.tokens.append(len(state.states) - 1)

    def _end_span(self, state: PixSearchState, end: int) -> None:
        """Make the mask of the open span that ends before character `end`, unless it is too long
        to be a name."""
        opened, state.open = state.open, None
        if opened is None or len(opened.tokens) > MAX_SPAN:
            return
        places = slice(opened.tokens[0], opened.tokens[-1] + 1)
        words = torch.stack(state.embeddings[places]).mean(0)[None]
        region = self._grounder.ground(state.masks, words)
        if region is not None:
            state.spans.append(EntitySpan(opened.start, end, region))

    def _spell(self, state: PixSearchState, token: int) -> str:
        """The text that a token adds; bytes of an unfinished character come with its last one."""
        whole = str(self._tokenizer.tokenizer.decode([*state.own, token]))
        if whole.endswith("\ufffd"):
            return ""
        text = whole[len(state.shown) :]
        state.shown = whole
        return text

    @staticmethod
    def _write(state: PixSearchState, text: str) -> None:
        state.written += len(text)
        state.sequence += text
