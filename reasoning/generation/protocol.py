"""The seam of segmenting language models: what decoding needs of any of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, runtime_checkable

from perception.scene.reader import GroundedRegion, SceneView
from reasoning.generation.cancel import CancelToken
from reasoning.generation.tokens import END_INFORMATION, INFORMATION, ControlIds
from stream.events import Evidence, Question, TokenStep

State = TypeVar("State")


@dataclass(frozen=True, slots=True, eq=False)
class Turn:
    """One finished turn of the conversation."""

    question: str
    answer: str
    asked_ns: int
    subject: str = ""  # the entity it was about, when known
    # The answer as the model wrote it, with its marks of places and searches; empty where it
    # keeps none.
    written: str = ""


@dataclass(frozen=True, slots=True)
class Glimpse:
    """What was in view at a keyframe, by name: a line of the timeline."""

    at_ns: int
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Prompt:
    """What a model answers from."""

    question: Question
    view: SceneView
    history: tuple[Turn, ...] = ()  # oldest first, bounded by the assistant
    seen: SceneView | None = None  # the keyframe that was read ahead; without it `view` is read
    earlier: tuple[SceneView, ...] = ()  # the keyframes before `seen`, oldest first, a few
    timeline: tuple[Glimpse, ...] = ()  # of keyframes up to `seen`, oldest first, bounded
    # Looked at between tokens by the decode loop; a model that blocks looks itself (`on_cancel`).
    cancel: CancelToken = field(default_factory=CancelToken)
    remembers: bool = False  # what the wearer has seen can be searched, too


@dataclass(frozen=True, slots=True, eq=False)
class EntitySpan:
    """An entity named in the sequence, with its region."""

    start: int  # character offsets into the sequence
    end: int
    region: GroundedRegion


@runtime_checkable
class ReadsAhead(Protocol):
    """A model that reads a view before it is asked about, so that a question costs only itself."""

    def read_view(self, view: SceneView, earlier: Sequence[SceneView] = ()) -> object:
        """Read a view's visual context and keep it as long as the view lives.

        `earlier` are the session's keyframes before it, oldest first: what was kept of them alone
        may go. It is called beside the stream, and left out for a keyframe that was replaced by
        a newer one while it waited; of a model in this process, never while it answers.
        """


@runtime_checkable
class KeepsWriting(Protocol):
    """A model whose later turns are better for its own text than for what was said of it."""

    def written(self, state: Any) -> str:
        """All that it wrote in an answer, its marks and what its searches brought included."""


class SegmentingLMM(Protocol[State]):
    """Writes an answer token by token, names regions, and asks for searches.

    The caller owns the state; a model keeps its key-value cache in it across injected evidence.
    """

    name: str
    controls: ControlIds
    # Whether it waits for a server: answers of such a model get a thread of their own per session,
    # so that a hanging server costs nobody but who asked it.
    remote: bool

    def prefill(self, prompt: Prompt) -> State:
        """Read the prompt."""

    def step(self, state: State, may_search: bool) -> TokenStep:
        """The next token of the model's own choice; no `<search>` unless it may."""

    def inform(self, state: State, evidence: Sequence[Evidence], text: str) -> Sequence[TokenStep]:
        """Take injected evidence, written out in `text`: its tokens, marked as forced."""

    def spans(self, state: State) -> Sequence[EntitySpan]:
        """The entities named so far, in order."""

    def subject(self, state: State) -> str:
        """The entity that the answer is about, or an empty string."""


def evidence_steps(
    controls: ControlIds, text: str, pieces: Callable[[str], Sequence[tuple[int, str]]]
) -> list[TokenStep]:
    """`<information> … </information>` as forced tokens; `pieces` are a tokenizer's ids and texts.

    Only ids make special tokens, so nothing inside can be one.
    """
    inner = text.removeprefix(INFORMATION).removesuffix(END_INFORMATION)
    return [
        TokenStep(controls.id_of(INFORMATION), INFORMATION, forced=True),
        *(TokenStep(token, word, forced=True) for token, word in pieces(inner)),
        TokenStep(controls.id_of(END_INFORMATION), END_INFORMATION, forced=True),
    ]
