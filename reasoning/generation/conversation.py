"""The assistant: keeps the conversation, decodes answers, and turns entity spans into regions."""

import dataclasses
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from perception.scene.reader import GroundedRegion, SceneView
from reasoning.generation.cancel import CancelToken
from reasoning.generation.decoding import SearchDecoder
from reasoning.generation.protocol import Glimpse, Prompt, ReadsAhead, SegmentingLMM, Turn
from reasoning.generation.tokens import neutralise
from stream.events import Answer, AnswerEvent, EventKind, Question, Region, Span
from stream.geometry import encode_mask

MAX_TURNS = 8  # of the conversation that are kept
MAX_WRITTEN = 4000  # characters of a model's own text that are kept of a turn
MAX_WORDS, MAX_CHARS = 120, 1000  # of a question that are read
MAX_SEEN = 4  # keyframes whose pictures are kept for a model that reads ahead
MAX_GLIMPSES = 12  # keyframes whose names are kept for it
MIN_NAME = 0.5  # a masklet's name that is more likely than all others together
NO_TRACK = 0  # track id of a region that no masklet follows

OnEvent = Callable[[AnswerEvent], None]


@dataclass(frozen=True, slots=True, eq=False)
class Context:
    """What an answer depends on besides the question and its view, as it was at that time."""

    history: tuple[Turn, ...] = ()  # oldest first
    seen: SceneView | None = None  # the keyframe that was read ahead
    earlier: tuple[SceneView, ...] = ()  # the keyframes before it, oldest first
    timeline: tuple[Glimpse, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Reply:
    """An answer, and what the conversation keeps of it."""

    answer: Answer
    turn: Turn


class Assistant:
    """Answers one wearer's questions, one after the other.

    `context`, `answer` and `remember` are the parts of `ask`: an answer depends on what it is given
    alone, so it may be made in another thread while the wearer's stream goes on.
    """

    def __init__(
        self, lmm: SegmentingLMM[Any], decoder: SearchDecoder, patience_s: float = 20.0
    ) -> None:
        """`patience_s`: how long a live wearer waits for a sign of life of an answer."""
        self._lmm, self._decoder = lmm, decoder
        self.patience_s = patience_s
        self._history: deque[Turn] = deque(maxlen=MAX_TURNS)
        self._seen: deque[SceneView] = deque(maxlen=MAX_SEEN)  # keyframes that were read ahead
        self._timeline: deque[Glimpse] = deque(maxlen=MAX_GLIMPSES)

    @property
    def reads_ahead(self) -> bool:
        """Whether `see` saves the next question the reading of what is in view."""
        return isinstance(self._lmm, ReadsAhead)

    @property
    def remote(self) -> bool:
        """Whether answering waits for a server."""
        return self._lmm.remote

    @property
    def name(self) -> str:
        """Of the model that answers."""
        return self._lmm.name

    def see(self, view: SceneView) -> Callable[[], object]:
        """Take note of a keyframe: the next questions are asked on top of it.

        Their own frames still give the masks. What comes back lets the model read it, which may
        take as long as an answer and be left out. Both do nothing where it cannot read ahead.
        """
        lmm, earlier = self._lmm, tuple(self._seen)
        if not isinstance(lmm, ReadsAhead):
            return lambda: None
        self._seen.append(view)
        names = glimpsed(view)
        if names:
            self._timeline.append(Glimpse(view.frame.pts_ns, names))
        return lambda: lmm.read_view(view, earlier)

    def ask(self, question: Question, view: SceneView, on_event: OnEvent) -> Answer:
        """Answer from a view; tokens, searches and evidence go to `on_event` as they are made.

        A question is shortened to its first 120 words (1000 characters). Regions carry their
        masklet's id, or 0.
        """
        reply = self.answer(question, view, self.context(), on_event)
        self.remember(reply)
        return reply.answer

    def context(self) -> Context:
        """What the next answer depends on besides its question and view."""
        seen, timeline = tuple(self._seen), tuple(self._timeline)
        return Context(tuple(self._history), seen[-1] if seen else None, seen[:-1], timeline)

    def answer(
        self,
        question: Question,
        view: SceneView,
        context: Context,
        on_event: OnEvent,
        cancel: CancelToken | None = None,
    ) -> Reply:
        """`ask` without remembering; any thread. Raises Cancelled once `cancel` is cancelled."""
        at = question.asked_ns

        def emit(kind: EventKind, data: Mapping[str, Any]) -> None:
            on_event(AnswerEvent(kind, at, dict(data)))

        emit("question", {"text": question.text})
        asked = dataclasses.replace(question, text=shorten(question.text))
        prompt = Prompt(
            asked,
            view,
            context.history,
            context.seen,
            context.earlier,
            context.timeline,
            cancel or CancelToken(),
            self._decoder.remembers,
        )
        decoded = self._decoder.decode(self._lmm, prompt, emit)
        spans = tuple(
            Span(span.start, span.end, as_region(span.region, view.frame.pts_ns))
            for span in decoded.spans
        )
        emit("end", {"text": decoded.text, "tokens": decoded.tokens})
        answer = Answer(
            question,
            decoded.text,
            decoded.sequence,
            spans,
            decoded.searches,
            decoded.timings_ns,
            self._lmm.name,
            decoded.cut,
        )
        written = decoded.written[:MAX_WRITTEN]
        return Reply(answer, Turn(asked.text, decoded.text, at, decoded.subject, written))

    def remember(self, reply: Reply) -> None:
        """The next questions follow on this answer."""
        self._history.append(reply.turn)

    def forget(self) -> None:
        """Start a new conversation."""
        self._history.clear()
        self._seen.clear()
        self._timeline.clear()


def glimpsed(view: SceneView) -> tuple[str, ...]:
    """Names of the masklets of a view that are surely named, each once."""
    followed = (thing for thing in view.things if thing.track_id is not None and thing.names)
    sure = (thing.names[0].label for thing in followed if thing.score >= MIN_NAME)
    return tuple(dict.fromkeys(sure))


def shorten(text: str) -> str:
    """The first words of a question, harmless."""
    # Cut before it is cleaned as well: a question of any length costs the same.
    plain = neutralise(text[: 10 * MAX_CHARS])
    return " ".join(plain[:MAX_CHARS].split()[:MAX_WORDS])


def as_region(region: GroundedRegion, pts_ns: int) -> Region:
    """A grounded region as the stream's noun."""
    track = NO_TRACK if region.track_id is None else region.track_id
    return Region(track, pts_ns, encode_mask(region.mask), region.box, region.score)
