"""English rules over perception, behind the SegmentingLMM protocol: the baseline without a VLM.

Perception names and grounds, a small language model scores (what is asked, which sentence of the
evidence tells), rules word the answer: the language model writes none of it. What is said next is a
script (a generator) of words, mentions and search calls; the decode loop runs the calls and the
script goes on with the evidence.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from perception.scene.reader import GroundedRegion, Scene
from reasoning.generation.config import PolicyConfig
from reasoning.generation.protocol import EntitySpan, Prompt, Turn, evidence_steps
from reasoning.generation.tokens import (
    END,
    END_SEARCH,
    IMAGE,
    MEMORY,
    REGION,
    SEARCH,
    ControlIds,
    neutralise,
)
from reasoning.rules.actions import ActionScripts
from reasoning.rules.answers.note_answers import NoteAnswers
from reasoning.rules.evidence_wording import CITED
from reasoning.rules.focus import find_focus
from reasoning.rules.follow_ups import expand, name_person
from reasoning.rules.intents import IntentClassifier
from reasoning.rules.parsing import points
from reasoning.rules.policy import Action, Decision, decide
from reasoning.rules.script import Say, ScriptPiece, SearchFor
from reasoning.verification.predicates import asks_fact
from reasoning.verification.rerank import SupportScorer
from reasoning.vlm.causal_lm import CausalLm
from retrieval.memory.asking import asks_of_past
from stream.clock import NS_PER_S
from stream.errors import PromptError
from stream.events import Evidence, TokenStep

LOOKING: tuple[Action, ...] = ("name", "list", "find", "read", "check", "count", "look", "state")
FOLLOW_UP_NS = 60 * NS_PER_S  # how long "it" may mean what was last talked about


@dataclass(slots=True, eq=False)
class RulesState:
    """One answer while it is made; owned by the decode loop."""

    prompt: Prompt
    script: Iterator[ScriptPiece]
    queue: deque[TokenStep] = field(default_factory=deque)
    written: int = 0  # characters of the sequence
    spans: list[EntitySpan] = field(default_factory=list)
    evidence: Sequence[Evidence] = ()  # of the last search
    focus: GroundedRegion | None = None
    subject: str = ""
    noted: str = ""  # the words that own notes were asked with
    read_of: bool = False  # the subject was looked up and is not in view
    decision: Decision | None = None
    may_search: bool = True


class RulesLMM:
    """A SegmentingLMM made of perception, an intent classifier, sentence support and rules."""

    name = "rules-smollm2-135m"
    remote = False

    def __init__(
        self,
        lm: CausalLm,
        intents: IntentClassifier,
        support: SupportScorer,
        scene: Scene,
        policy: PolicyConfig | None = None,
        notes: NoteAnswers | None = None,
    ) -> None:
        """`notes`: the wearer's own, which are asked before anything else is done."""
        self._lm, self._intents, self._scene = lm, intents, scene
        self._policy = policy or PolicyConfig()
        self._scripts = ActionScripts(scene, support, self._policy)
        self._notes = notes
        self.controls = ControlIds(lm.vocabulary)

    def prefill(self, prompt: Prompt) -> RulesState:
        """Score what the question asks for; find what it is about when it is about something."""
        recent = [turn.question for turn in prompt.history if _recent(turn, prompt)]
        question = expand(neutralise(prompt.question.text), map(neutralise, recent))
        if recent:
            question = name_person(question, prompt.history[-1].answer)
        state = RulesState(prompt, _silence())
        state.script = self._script(state, question)
        return state

    def step(self, state: RulesState, may_search: bool) -> TokenStep:
        """The next token of the script."""
        state.may_search = may_search
        while not state.queue:
            piece = next(state.script, None)
            if piece is None:
                return TokenStep(self.controls.id_of(END), END, forced=False)
            self._enqueue(state, piece)
        step = state.queue.popleft()
        state.written += len(step.text)
        return step

    def inform(
        self, state: RulesState, evidence: Sequence[Evidence], text: str
    ) -> Sequence[TokenStep]:
        """Take the evidence; `text` is `<information> … </information>`."""
        state.evidence = evidence
        steps = evidence_steps(self.controls, text, self._lm.pieces)
        state.written += sum(len(step.text) for step in steps)
        return steps

    def spans(self, state: RulesState) -> Sequence[EntitySpan]:
        """Mentions that are written out."""
        return [span for span in state.spans if span.end <= state.written]

    def subject(self, state: RulesState) -> str:
        """The entity talked about."""
        return state.subject

    def _enqueue(self, state: RulesState, piece: ScriptPiece) -> None:
        if isinstance(piece, SearchFor):
            state.queue.append(self._control(SEARCH))
            if piece.memory:
                state.queue.append(self._control(MEMORY))
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

    def _control(self, control: str) -> TokenStep:
        return TokenStep(self.controls.id_of(control), control, forced=False)

    def _script(self, state: RulesState, question: str) -> Iterator[ScriptPiece]:
        """Choose an action and play it; it runs on the first step, so `may_search` is known."""
        if not question:
            yield Say("I did not hear a question.")
            return
        if state.prompt.remembers and asks_of_past(question):
            yield from self._scripts.play("recall", state, question)
            return
        intents = self._intents.scores(question)
        self._find_subject(state, question)
        sight = state.focus.score if state.focus else 0.0
        has_subject = points(question) or state.prompt.question.point is not None
        state.decision = decide(intents, sight, has_subject, state.may_search, self._policy)
        action = state.decision.action
        if self._notes is not None and (yield from self._notes.tell(state, question, action)):
            return
        if state.read_of and action in LOOKING:
            action = "learn_thing"  # what was read about is not in view
        elif has_subject and action in ("name", "look_up_thing") and asks_fact(question):
            action = "learn_thing" if state.may_search else action
        yield from self._scripts.play(action, state, question)

    def _find_subject(self, state: RulesState, question: str) -> None:
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


def _silence() -> Iterator[ScriptPiece]:
    yield from ()


def _recent(turn: Turn, prompt: Prompt) -> bool:
    return prompt.question.asked_ns - turn.asked_ns <= FOLLOW_UP_NS
