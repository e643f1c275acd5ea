"""Any vision-language model of transformers as a SegmentingLMM, in this process.

It looks at the newest keyframes, which are read as they come; a question is read on top of them,
and evidence on top of that: nothing is read twice. Its words are parsed for boxes and searches as
they are made (reasoning/vlm/markup.py), within the grammar of searches.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

from perception.scene.reader import SceneView
from reasoning.generation.config import VlmConfig
from reasoning.generation.grammar import Call
from reasoning.generation.protocol import Glimpse, Prompt
from reasoning.generation.tokens import END_INFORMATION, END_SEARCH, REGION
from reasoning.vlm.coordinates import SCALE, format_of, instructions
from reasoning.vlm.grounding_formats import END_THINK, THINK, TagParser
from reasoning.vlm.local.dialogue import Dialogue
from reasoning.vlm.local.drift import STILL, Shift, drift, moved
from reasoning.vlm.local.network import Network, Reading
from reasoning.vlm.local.open import Opened
from reasoning.vlm.local.pictures import as_picture, fitted, resized_by
from reasoning.vlm.local.read_ahead import ReadAhead, Views
from reasoning.vlm.local.search_grammar import allows, closing, likeliest, payload
from reasoning.vlm.markup import NamedCodes, NamedPlace
from reasoning.vlm.tagged_stream import Grounder, TaggedLMM, TaggedState
from stream.clock import NS_PER_S
from stream.events import TokenStep

MAX_OWN = 1024  # tokens of one answer, whatever they become
MAX_EVIDENCE = 400  # tokens of injected evidence that are read
ROOM = 1024  # tokens of a context that are left for an answer and what it looks up
UNFINISHED = "\ufffd"  # a character of which bytes are missing


@dataclass(slots=True, eq=False)
class VlmState(TaggedState):
    """One answer while it is made; owned by the decode loop."""

    reading: Reading = field(kw_only=True)
    looked: SceneView = field(kw_only=True)  # the newest picture that is looked at
    shift: Shift = STILL  # of the asked frame against it
    said: str = ""  # own words with their marks, over all calls
    unread: list[int] = field(default_factory=list)  # chosen, and read with what comes next
    own: list[int] = field(default_factory=list)  # own tokens since the last call
    shown: str = ""  # their text
    made: int = 0  # own tokens of the answer
    asked: int = 0  # tokens of the open call
    may_search: bool = True
    ended: bool = False


class VlmLMM(TaggedLMM[VlmState]):
    """A SegmentingLMM over a network of transformers; greedy."""

    remote = False

    def __init__(self, opened: Opened, grounder: Grounder, config: VlmConfig) -> None:
        """Raises AssetError for a model whose chat template takes no pictures."""
        self.name = opened.name
        self._config, self.grounder = config, grounder
        self._network = Network(opened.model)
        form = format_of(opened.model.config.model_type, config.grounding)
        if form.resized is not None:
            form = replace(form, resized=resized_by(opened.processor.image_processor))
        self._form = form
        markup = f"{form.box}{form.point}{form.tokens}{THINK}{END_THINK}"
        told = instructions(form)
        self._dialogue = Dialogue(opened.processor, told, opened.name, markup)
        self._tags = (REGION, self._dialogue.image_tag)
        own = opened.model.generation_config.eos_token_id
        ends = own if isinstance(own, list) else [own]
        self._ends = self._dialogue.ends() | {end for end in ends if end is not None}
        self._never = self._dialogue.never() - self._ends
        self._ahead = ReadAhead(self._read)

    def read_view(self, view: SceneView, earlier: Sequence[SceneView] = ()) -> None:
        """Read a keyframe, and the few before it that are looked at too."""
        views = (*earlier, view)
        self._ahead.read(views[-self._config.frames :], tuple(earlier))

    def prefill(self, prompt: Prompt) -> VlmState:
        """Read the question behind the pictures."""
        views = self._looked_at(prompt)
        reading = self._ahead.read(views)
        self._network.feed(reading, self._question(prompt, _captions(views), reading.position))
        looked, asked = views[-1], prompt.view.frame
        shift = STILL if looked.frame is asked else drift(looked.frame.image, asked.image)
        return VlmState(prompt, self._parser(looked), reading=reading, looked=looked, shift=shift)

    def step(self, state: VlmState, may_search: bool) -> TokenStep:
        """The next piece of what the model writes."""
        state.may_search = may_search
        return super().step(state, may_search)

    def written(self, state: VlmState) -> str:
        """What the model wrote, with its marks: its own history."""
        return state.said

    def _read(self, views: Views) -> Reading:
        """The system's words and the pictures."""
        pictures = [as_picture(view.frame.image, self._config.max_pixels) for view in views]
        return self._network.read(
            self._dialogue.inputs(self._dialogue.head(_captions(views)), pictures)
        )

    def _looked_at(self, prompt: Prompt) -> Views:
        """The newest keyframes, and the asked frame where something in it is pointed at."""
        if prompt.seen is None:
            return (prompt.view,)
        views = (*prompt.earlier, prompt.seen)
        pointed = prompt.question.point or prompt.question.box
        if pointed and prompt.view.frame is not prompt.seen.frame:
            views = (*views, prompt.view)
        return views[-self._config.frames :]

    def _question(self, prompt: Prompt, captions: Sequence[str], read: int) -> list[int]:
        """Token ids of what was said and is asked; the oldest turns go where there is no room."""
        turns = [
            [
                self._dialogue.harmless(turn.question),
                self._dialogue.own(turn.written) or self._dialogue.harmless(turn.answer),
            ]
            for turn in prompt.history
        ]
        asked = self._asked(prompt)
        while True:
            ids = self._dialogue.tail(captions, [*chain.from_iterable(turns), asked])
            if not turns or read + len(ids) + ROOM <= self._network.context:
                return ids
            turns.pop(0)

    def _asked(self, prompt: Prompt) -> str:
        """The question, with what was in view before, and what is pointed at."""
        question, (height, width) = prompt.question, prompt.view.frame.size
        text = self._dialogue.harmless(question.text)
        place, codes = question.box or question.point, self.pointed(prompt)
        if codes:
            text = f"{text} (I mean this region {codes}.)"
        elif place is not None and not self._form.asks:
            sides = (width, height, width, height)
            shown = [v / side * SCALE for v, side in zip(place, sides, strict=False)]
            text = (
                f"{text} (I point at {self._form.write('this', shown, self._size(prompt.view))}.)"
            )
        text = f"{text} {self._form.asks}".rstrip()
        told = _timeline(prompt.timeline, prompt.view.frame.pts_ns)
        return f"{self._dialogue.harmless(told)}\n{text}" if told else text

    def _size(self, view: SceneView) -> tuple[int, int]:
        """(height, width) of the picture that is made of a frame."""
        return fitted(view.frame.size, self._config.max_pixels)

    def _parser(self, view: SceneView) -> TagParser:
        return TagParser(self._form.on(self._size(view)))

    def _read_on(self, state: VlmState) -> bool:
        """Let the model write one token, and take it; a call that takes too long is closed."""
        if state.ended:
            return False
        state.prompt.cancel.check()
        self._catch_up(state)
        token = likeliest(state.reading.logits, lambda token: self._may(state, token))
        calling = payload(state.shown) is not None
        if calling and (token is None or state.asked >= self._config.max_query):
            text = closing(state.shown, self._tags)
            self._take(state, self._dialogue.plain_ids(text), state.shown + text)
        elif token is None or token in self._ends or state.made >= MAX_OWN:
            state.queue.extend(state.parser.close())
            state.ended = True
        else:
            self._take(state, [token], self._spelled(state, token))
        return True

    def _may(self, state: VlmState, token: int) -> bool:
        """Whether a token may come next."""
        if token in self._never:
            return False
        if token in self._ends:
            return payload(state.shown) is None
        return allows(self._spelled(state, token), state.may_search, self._tags)

    def _spelled(self, state: VlmState, token: int) -> str:
        """The text with one more token; without a character that is not finished."""
        return self._dialogue.words([*state.own, token]).removesuffix(UNFINISHED)

    def _take(self, state: VlmState, ids: list[int], text: str) -> None:
        """Tokens that come next, and the text that there is then."""
        added = text[len(state.shown) :]
        state.own += ids
        state.unread += ids
        state.made += len(ids)
        state.shown = text
        state.said += added
        state.asked = state.asked + 1 if payload(text) is not None else 0
        if payload(text) is not None and text.endswith(END_SEARCH):
            # Closed, also where it asks for nothing and no call is begun.
            state.own, state.shown, state.asked = [], "", 0
        state.queue.extend(state.parser.push(added))

    def _catch_up(self, state: VlmState) -> None:
        """Read what was given out: later than that, so that the first word comes sooner."""
        unread, state.unread = state.unread, []
        self._network.feed(state.reading, unread)

    def _name(self, state: VlmState, piece: NamedPlace | NamedCodes) -> TokenStep | None:
        if isinstance(piece, NamedPlace):
            piece = NamedPlace(piece.text, moved(piece.place, state.shift))
        return super()._name(state, piece)

    def _begin_call(self, state: VlmState, call: Call, may_search: bool) -> None:
        state.parser, state.own, state.shown, state.asked = self._parser(state.looked), [], "", 0

    def _answer_call(self, state: VlmState, content: str) -> None:
        """Evidence is read on top of the cache, as words; of a long one the beginning."""
        inner = self._dialogue.plain_ids(content.removesuffix(END_INFORMATION))[:MAX_EVIDENCE]
        state.unread += [*inner, *self._dialogue.plain_ids(END_INFORMATION)]
        self._catch_up(state)


def _captions(views: Views) -> list[str]:
    """What stands before each picture: when it was taken, where there are several."""
    if len(views) == 1:
        return [""]
    return [f"Picture at {view.frame.pts_ns / NS_PER_S:.1f} s: " for view in views]


def _timeline(glimpses: Sequence[Glimpse], now_ns: int) -> str:
    if not glimpses:
        return ""
    lines = "; ".join(
        f"{glimpse.at_ns / NS_PER_S:.1f} s: {', '.join(glimpse.names)}" for glimpse in glimpses
    )
    return f"Followed so far: {lines}. It is {now_ns / NS_PER_S:.1f} s now."
