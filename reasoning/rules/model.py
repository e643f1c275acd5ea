"""The composed baseline: perception names and grounds, the language model scores, rules word it.

It stands behind the SegmentingLMM protocol like a trained model, so the decode loop cannot tell.
What it does next is a script (a generator) that yields words, mentions and search calls; the loop
runs the calls and the script goes on with the evidence. Where several ways to go on look possible
a script offers drafts of them: the likeliest is taken, or what a judge, the trained model, makes of
them (reasoning/pixsearch/drafted.py).
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from perception.scene.reader import GroundedRegion, Scene
from reasoning.generation.protocol import EntitySpan, Prompt, Turn
from reasoning.generation.settings import PolicyConfig
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
)
from reasoning.rules.evidence_wording import CITED
from reasoning.rules.focus import find_focus
from reasoning.rules.follow_ups import expand, name_person
from reasoning.rules.intents import IntentClassifier
from reasoning.rules.openings import offer_of
from reasoning.rules.parsing import points
from reasoning.rules.pieces import CallFor, Judge, Offer, Playing, Say
from reasoning.rules.policy import Action, Choice, choose
from reasoning.rules.scripts import Scripts
from reasoning.verification.predicates import asks_fact
from reasoning.verification.rerank import SupportScorer
from reasoning.vlm.causal_lm import CausalLm
from stream.clock import NS_PER_S
from stream.errors import PromptError
from stream.events import Evidence, TokenStep

LOOKING: tuple[Action, ...] = ("name", "list", "find", "read", "check", "count", "look", "state")
MOST = 0.6  # of log odds that reading may cost a draft: a small model is at times sure and wrong
FOLLOW_UP_NS = 60 * NS_PER_S  # how long "it" may mean what was last talked about


@dataclass(slots=True, eq=False)
class ComposedState:
    """One answer while it is made; owned by the decode loop."""

    prompt: Prompt
    script: Playing
    queue: deque[TokenStep] = field(default_factory=deque)
    written: int = 0  # characters of the sequence
    spans: list[EntitySpan] = field(default_factory=list)
    evidence: Sequence[Evidence] = ()  # of the last search
    focus: GroundedRegion | None = None
    subject: str = ""
    read_of: bool = False  # the subject was looked up and is not in view
    choice: Choice | None = None
    may_search: bool = True
    judge: Judge | None = None  # reads offered drafts


class ComposedLMM:
    """A SegmentingLMM made of perception, an intent classifier and sentence support."""

    name = "composed-smollm2-135m"

    def __init__(
        self,
        lm: CausalLm,
        intents: IntentClassifier,
        support: SupportScorer,
        scene: Scene,
        policy: PolicyConfig | None = None,
    ) -> None:
        self._lm, self._intents, self._scene = lm, intents, scene
        self._policy = policy or PolicyConfig()
        self._scripts = Scripts(scene, support, self._policy)
        self.controls = ControlIds(lm.vocabulary)

    def prefill(self, prompt: Prompt) -> ComposedState:
        """Score what the question asks for; find what it is about when it is about something."""
        recent = [turn.question for turn in prompt.history if _recent(turn, prompt)]
        question = expand(neutralise(prompt.question.text), map(neutralise, recent))
        if recent:
            question = name_person(question, prompt.history[-1].answer)
        state = ComposedState(prompt, _silence())
        state.script = self._script(state, question)
        return state

    def step(self, state: ComposedState, may_search: bool) -> TokenStep:
        """The next token of the script."""
        state.may_search = may_search
        while not state.queue:
            piece = self._next(state)
            if piece is None:
                return TokenStep(self.controls.id_of(END), END, forced=False)
            self._enqueue(state, piece)
        step = state.queue.popleft()
        state.written += len(step.text)
        return step

    def inform(
        self, state: ComposedState, evidence: Sequence[Evidence], text: str
    ) -> Sequence[TokenStep]:
        """Take the evidence; `text` is `<information> … </information>`."""
        state.evidence = evidence
        inner = text.removeprefix(INFORMATION).removesuffix(END_INFORMATION)
        steps = [self._control(INFORMATION, forced=True)]
        steps += [TokenStep(token, word, True) for token, word in self._lm.pieces(inner)]
        steps.append(self._control(END_INFORMATION, forced=True))
        state.written += sum(len(step.text) for step in steps)
        return steps

    def spans(self, state: ComposedState) -> Sequence[EntitySpan]:
        """Mentions that are written out."""
        return [span for span in state.spans if span.end <= state.written]

    def subject(self, state: ComposedState) -> str:
        """The entity talked about."""
        return state.subject

    def _next(self, state: ComposedState) -> Say | CallFor | None:
        """The next piece of the script that is written out; None at its end."""
        try:
            piece = state.script.send(None)
            while isinstance(piece, Offer):
                piece = state.script.send(self._pick(state, piece))
        except StopIteration:
            return None
        return piece

    def _pick(self, state: ComposedState, offer: Offer) -> int:
        """The draft that is taken: what looked best beforehand, as far as the judge agrees."""
        if state.judge is None or offer.trust == 0:
            return offer.best
        read = state.judge([draft.openings for draft in offer.drafts])
        odds = [
            draft.prior + max(offer.trust * log, -MOST)
            for draft, log in zip(offer.drafts, read, strict=True)
        ]
        return max(range(len(odds)), key=lambda number: odds[number])

    def _enqueue(self, state: ComposedState, piece: Say | CallFor) -> None:
        if isinstance(piece, CallFor):
            state.queue.append(self._control(SEARCH))
            if piece.payload in (REGION, IMAGE):
                state.queue.append(self._control(piece.payload))
            else:
                words = f" {neutralise(piece.payload)} "
                state.queue.extend(TokenStep(t, w, False) for t, w in self._lm.pieces(words))
            state.queue.append(self._control(END_SEARCH))
            return
        start = state.written
        if piece.region is not None:
            lead = len(piece.text) - len(piece.text.lstrip())
            state.spans.append(EntitySpan(start + lead, start + len(piece.text), piece.region))
        state.queue.extend(TokenStep(t, w, False) for t, w in self._lm.pieces(piece.text))

    def _control(self, control: str, forced: bool = False) -> TokenStep:
        return TokenStep(self.controls.id_of(control), control, forced)

    def _script(self, state: ComposedState, question: str) -> Playing:
        """Choose an action and play it; it runs on the first step, so `may_search` is known."""
        if not question:
            yield Say("I did not hear a question.")
            return
        intents = self._intents.scores(question)
        self._find_subject(state, question)
        sight = state.focus.score if state.focus else 0.0
        has_subject = points(question) or state.prompt.question.point is not None
        state.choice = choose(intents, sight, has_subject, state.may_search, self._policy)
        actions, offer = offer_of(state.choice, state, question, self._policy.judge_actions)
        action = actions[0] if offer is None else actions[(yield offer) or 0]
        if state.read_of and action in LOOKING:
            action = "learn_thing"  # what was read about is not in view
        elif has_subject and action in ("name", "look_up_thing") and asks_fact(question):
            action = "learn_thing" if state.may_search else action
        yield from self._scripts.play(action, state, question)

    def _find_subject(self, state: ComposedState, question: str) -> None:
        """What the question is about: what was last talked about, or what is in view."""
        prompt = state.prompt
        asked = replace(prompt.question, text=question)
        state.focus = None
        if asked.point is None and asked.box is None and prompt.history:
            last = prompt.history[-1]
            words = question.lower().replace("?", " ").split()
            if _recent(last, prompt) and last.subject and ({"it", "its"} & set(words)):
                state.subject = last.subject
                state.focus = self._again(prompt, last.subject)
                state.read_of = state.focus is None and CITED in last.answer
        if state.focus is None:
            state.focus = find_focus(self._scene, prompt.view, asked)

    def _again(self, prompt: Prompt, subject: str) -> GroundedRegion | None:
        """What was talked about, where it is in view now."""
        try:
            return self._scene.find(prompt.view, subject)
        except PromptError:
            return None


def _silence() -> Playing:
    yield from ()


def _recent(turn: Turn, prompt: Prompt) -> bool:
    return prompt.question.asked_ns - turn.asked_ns <= FOLLOW_UP_NS
