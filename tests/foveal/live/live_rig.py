"""A live session over doubles, and a client of a live server, for tests."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np
from jsonschema import Draft202012Validator

from devices.speaking.speaker import Speaker
from foveal.config.schema import SessionConfig
from foveal.live.engine import Engine
from foveal.live.live_session import LiveSession
from foveal.live.memory.live_memory import LiveMemory
from foveal.live.parts import LiveParts
from foveal.live.protocol.server import ServerMessage
from foveal.live.threads.answer_threads import AnswerThreads
from foveal.live.threads.worker import FairWorker
from foveal.session.masklets import LiveMasklets
from foveal.session.stages import Stages
from foveal.session.standing import StandingQuestions
from perception.features.backbone import Backbone
from perception.scene.reader import SceneReader
from reasoning.generation.conversation import Assistant
from reasoning.generation.decoding import SearchDecoder
from reasoning.generation.tokens import END_SEARCH, SEARCH
from stream.clock import NS_PER_MS, Clock, MonotonicClock, VirtualClock
from stream.events import Evidence
from stream.frame import Frame
from stream.keyframes.selector import KeyframeSelector
from stream.timing.trace import Tracer
from tests.doubles.devices import ToneSpeaker
from tests.doubles.perception import FakeBackbone, FakeScene, FakeTracker, thing
from tests.doubles.reasoning import Mention, ScriptedLMM, ScriptedSearcher, ScriptPiece

ROOT = Path(__file__).resolve().parents[3]
SIZE = (240, 320)
CUP = thing((40, 40, 120, 120), "cup", size=SIZE)
FACT = Evidence("wiki:1", "Cup", "A cup is a small vessel.", 0.8, "wiki")
TURN: tuple[ScriptPiece, ...] = (
    "A ",
    Mention("cup", CUP),
    ".",
    SEARCH,
    "cup",
    END_SEARCH,
    " It is a small vessel.",
)
HELLO = {  # what a server tells of itself
    "version": "1",
    "speech": True,
    "listening": False,
    "recording": False,
    "max_question_chars": 1000,
}
SAID = "A cup. It is a small vessel."


@cache
def validators() -> dict[str, Draft202012Validator]:
    """The schema of docs/protocol.schema.json, for each side."""
    schema = json.loads((ROOT / "docs" / "protocol.schema.json").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    sides = {}
    for side in ("client", "server"):
        sides[side] = Draft202012Validator({"$defs": schema["$defs"], **schema["$defs"][side]})
    return sides


def make_stages(
    *turns: Sequence[ScriptPiece],
    lmm: ScriptedLMM | None = None,
    tracker: FakeTracker | None = None,
) -> Stages:
    """Stages over doubles that answer `TURN` unless told otherwise."""
    searcher = ScriptedSearcher({"cup": [FACT]})
    decoder = SearchDecoder(searcher, clock=VirtualClock())
    return Stages(
        KeyframeSelector(),
        cast(Backbone, FakeBackbone()),
        LiveMasklets(tracker or FakeTracker(), 3),
        cast(SceneReader, FakeScene([CUP])),
        Assistant(lmm or ScriptedLMM(*(turns or (TURN,))), decoder),
        Tracer(),
    )


def fake_engine(speaker: Speaker | None = None) -> Engine:
    """An engine over doubles."""
    return Engine(make_stages, speaker or ToneSpeaker(samples_per_char=400))


def frame(pts_ms: int, arrival_ns: int = 0, size: tuple[int, int] = SIZE) -> Frame:
    """A grey picture with a bright square that moves."""
    image = np.full((*size, 3), 90, np.uint8)
    image[20:60, 30 + pts_ms % 50 : 70 + pts_ms % 50] = 200
    return Frame(pts_ms * NS_PER_MS, arrival_ns, image, "test")


class QueueSource:
    """Frames as a test hands them out; None ends it."""

    def __init__(self, clock: Clock | None = None) -> None:
        """`clock`: frames arrive when they are handed out; else when the session began."""
        self.queue: asyncio.Queue[Frame | None] = asyncio.Queue()
        self._clock = clock

    async def frames(self) -> AsyncIterator[Frame]:
        while (one := await self.queue.get()) is not None:
            now_ns = 0 if self._clock is None else self._clock.now_ns()
            yield replace(one, arrival_ns=now_ns)

    def put(self, *times_ms: int) -> None:
        for time_ms in times_ms:
            self.queue.put_nowait(frame(time_ms))


@dataclass(eq=False)
class LiveRig:
    """A session with its doubles; what it told is in `told`."""

    make: Callable[[], Stages] = make_stages
    speaker: Speaker | None = None
    memory: LiveMemory | None = None
    standing: Callable[[Stages], StandingQuestions] | None = None
    told: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    async def __aenter__(self) -> "LiveRig":
        self.clock = MonotonicClock()
        self.worker, self.answers = FairWorker(), AnswerThreads(self.clock)
        self.pool = ThreadPoolExecutor(1)
        lane = self.worker.lane()
        pools = self.pool, self.pool
        config, memory, standing = SessionConfig(), self.memory, self.standing
        parts = LiveParts(
            self.make,
            lane,
            self.answers,
            *pools,
            config,
            self.speaker,
            memory=memory,
            standing=standing,
        )
        self.live = LiveSession(parts, self.tell, self.clock)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.live.close()
        self.worker.close()
        self.pool.shutdown()

    def tell(self, message: ServerMessage) -> None:
        self.told.append((message.type, message.data()))

    def of(self, kind: str) -> list[dict[str, Any]]:
        """All messages of one type."""
        return [data for name, data in self.told if name == kind]

    async def until(self, kind: str, count: int = 1) -> dict[str, Any]:
        """The `count`-th message of a type, when it has come."""
        await until(lambda: len(self.of(kind)) >= count)
        return self.of(kind)[count - 1]


async def until(condition: Callable[[], Any], timeout_s: float = 10.0) -> None:
    """Wait for something that a test expects to happen."""
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.005)
