"""What changes while a session runs: its state, and the questions that are being answered."""

from dataclasses import dataclass, field

from foveal.session.late_masks import Carried, Moment, Trail
from foveal.session.stages import SessionSink
from foveal.session.standing import Plan
from foveal.session.watch_book import Watch
from perception.features.backbone import Features
from perception.scene.reader import SceneView
from reasoning.generation.cancel import CancelToken
from reasoning.generation.conversation import Context, Reply
from reasoning.standing.requests import StandingRequest
from stream.events import AnswerEvent, Question, Region
from stream.frame import Frame
from stream.keyframes.selector import KeyframeState


@dataclass(frozen=True, slots=True, eq=False)
class AskedStanding:
    """What a question asks of standing questions, and those that there were then."""

    request: StandingRequest
    watches: tuple[Watch, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """A question with all that its answer depends on: nothing of it changes while it is answered.

    Only the trail grows: the frames that come meanwhile.
    """

    question: Question
    moment: Moment  # the frame it is about, with its masklets
    view: SceneView | None  # that frame's scene, where it was read before
    context: Context
    cancel: CancelToken
    standing: AskedStanding | None = None
    trail: Trail = field(default_factory=Trail)


@dataclass(frozen=True, slots=True, eq=False)
class Answered:
    """What came of a question, to be applied to the session."""

    asked: Asked
    view: SceneView | None  # None: the scene was not needed
    reply: Reply  # its regions are of the asked frame
    carried: tuple[Carried | None, ...]  # of each span, on its way to the present
    plan: Plan | None = None  # what comes of it for standing questions


@dataclass(slots=True, eq=False)
class SessionState:
    """Bounded, whatever the stream's length."""

    keyframes: KeyframeState
    frames: int = 0
    keyframe_count: int = 0
    answered: int = 0
    late: int = 0  # questions asked after the last frame, answered on it
    refused: dict[str, int] = field(default_factory=dict)  # cause -> count
    last: Frame | None = None
    features: Features | None = None  # of the last frame, where they were made
    regions: tuple[Region, ...] = ()  # of the last frame
    view: SceneView | None = None  # the last scene that was read
    asked: list[Asked] = field(default_factory=list)  # and not applied or dropped yet
    held: list[Answered] = field(default_factory=list)  # a recording says when they were applied

    def refuse(self, sink: SessionSink, pts_ns: int, cause: str, reason: str) -> None:
        """Count what could not be handled, and tell it."""
        self.refused[cause] = self.refused.get(cause, 0) + 1
        sink.event(AnswerEvent("refused", pts_ns, {"cause": cause, "reason": reason}))
