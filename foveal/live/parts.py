"""What a live session is made of."""

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field

from devices.speaking.speaker import Speaker
from foveal.config.schema import SessionConfig
from foveal.live.memory.live_memory import LiveMemory
from foveal.live.threads.answer_threads import AnswerThreads
from foveal.live.threads.worker import Lane
from foveal.session.stages import Stages
from foveal.session.standing import StandingQuestions


@dataclass(frozen=True, slots=True, eq=False)
class LiveParts:
    """What a session is made of; the stages are made in the worker, again for each recording."""

    make_stages: Callable[[], Stages]
    lane: Lane  # of the stream: frames, and what answers bring
    answers: AnswerThreads
    speech_pool: Executor
    view_pool: Executor  # draws the annotated view
    config: SessionConfig = field(default_factory=SessionConfig)
    speaker: Speaker | None = None
    lead_in: str | None = None  # said when an answer takes a while to begin
    memory: LiveMemory | None = None  # of this session alone; None: nothing is remembered
    # What the wearer asked to be told, for each conversation anew; None: nothing is watched for.
    standing: Callable[[Stages], StandingQuestions] | None = None
