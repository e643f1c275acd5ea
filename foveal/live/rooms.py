"""Sessions of a server: who may start one, who may come back to one, and when it ends."""

import asyncio
import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from devices.webrtc.admission import RateLimit
from devices.webrtc.problems import Problem
from foveal.live.log import Link, Message, Send, SessionLog
from foveal.live.parts import LiveRecording
from foveal.live.protocol import Ask, Device, Forget, Ping, Record, Stop, Talk, parse
from foveal.live.session import LiveSession
from foveal.live.voice import LiveVoice
from stream.clock import NS_PER_S, Clock
from stream.errors import FovealError, PromptError

logger = logging.getLogger(__name__)

SWEEP_NS = NS_PER_S
MAX_LINKS = 8  # that listen to one session

MakeLive = Callable[[Callable[[str, dict[str, Any]], None]], LiveSession]
StartRecording = Callable[[], LiveRecording]
OnTalk = Callable[[Talk], None]


@dataclass(frozen=True, slots=True)
class RoomLimits:
    """What one session may take, and how many there may be."""

    max_sessions: int = 2  # with somebody connected
    max_parked: int = 8  # without: kept for `resume_s`, the oldest goes first
    resume_s: float = 120.0  # how long a session waits for its wearer to come back
    idle_s: float = 600.0  # connected, but no frame and no message for so long: the end
    max_session_s: float = 4 * 3600.0
    questions_per_s: float = 0.5  # over time
    question_burst: int = 6
    messages_per_s: float = 20.0
    message_burst: int = 60
    retry_after_s: int = 5  # told with 503


class Room:
    """One session with all its connections; belongs to the event loop."""

    def __init__(
        self,
        make_live: MakeLive,
        start_recording: StartRecording | None,
        limits: RoomLimits,
        clock: Clock,
        watch: Callable[[str, str, dict[str, Any]], None],
    ) -> None:
        self.id = secrets.token_urlsafe(24)  # 192 random bits: who knows it may come back
        self.log = SessionLog()
        self.closed = asyncio.Event()
        self.media = 0  # connections that carry sound or pictures
        self.kept = False  # for a camera of the box's own: no limit ends it, none counts it
        self.on_talk: OnTalk | None = None
        self.device: dict[str, Any] = {}
        self._watch, self._clock = watch, clock
        self._start_recording = start_recording
        self.made_ns = self.touched_ns = clock.now_ns()
        self.left_ns = clock.now_ns()  # when the last connection went
        self._questions = RateLimit(clock, limits.questions_per_s, limits.question_burst, 1)
        self._messages = RateLimit(clock, limits.messages_per_s, limits.message_burst, 1)
        self.live = make_live(self.tell)

    @property
    def voice(self) -> LiveVoice | None:
        """Our voice, which the wearer may interrupt."""
        return self.live.voice

    @property
    def active(self) -> bool:
        """Whether anybody is connected."""
        return self.media > 0 or self.log.links > 0

    def tell(self, kind: str, data: dict[str, Any]) -> None:
        """Send a message to all who listen."""
        self.log.tell(kind, data)
        self._watch(self.id, kind, data)
        if kind == "regions":
            self.touched_ns = self._clock.now_ns()

    def attach(self, send: Send, after: int | None, hello: Message) -> Link:
        """Let one more listen: a `hello`, what it missed, then everything.

        Raises Problem 503 when too many do.
        """
        if self.log.links >= MAX_LINKS:
            raise Problem(503, f"{MAX_LINKS} clients listen to this session already")
        missed = 0 if after is None else self.log.missed(after)
        told = {"conversation": self.id, "seq": self.log.seq, "missed": missed}
        send({"type": "hello", **told, "camera": self.live.camera, **hello})
        self.touched_ns = self._clock.now_ns()
        return self.log.attach(send, after)

    def detach(self, link: Link) -> None:
        """It listens no longer."""
        self.log.detach(link)
        self.left_ns = self._clock.now_ns()

    def enter(self) -> None:
        """A media connection has come."""
        self.media += 1
        self.touched_ns = self._clock.now_ns()

    def leave(self) -> None:
        """A media connection has gone."""
        self.media -= 1
        self.left_ns = self._clock.now_ns()

    def receive(self, message: object, reply: Send) -> None:
        """Take one message of a client; a bad one is answered with an `error`, to it alone."""
        self.touched_ns = self._clock.now_ns()
        try:
            if self._messages.wait_s("all"):
                raise PromptError("expected fewer messages a second")
            said = parse(message)
            if isinstance(said, Ping):
                reply({"type": "pong", "n": said.number})
            else:
                self._obey(said)
        except FovealError as error:
            reply({"type": "error", "reason": str(error)})

    def ask(self, ask: Ask | str, origin: str = "text") -> int:
        """Ask; the turn's number. Raises PromptError when too much is asked."""
        wait_s = self._questions.wait_s("all")
        if wait_s:
            raise PromptError(f"expected fewer questions; ask again in {wait_s:.0f} s")
        return self.live.ask(ask, origin)

    def heard(self, kind: str, data: dict[str, Any]) -> None:
        """Ear: speech of the wearer began or ended, or words of it."""
        self.touched_ns = self._clock.now_ns()
        self.tell(kind, data)

    def asked(self, text: str) -> None:
        """Ear: a whole question was heard."""
        try:
            self.ask(text, "speech")
        except PromptError as error:
            self.tell("error", {"reason": str(error)})

    def _obey(self, said: Ask | Stop | Forget | Record | Talk | Device) -> None:
        if isinstance(said, Ask):
            self.ask(said)
        elif isinstance(said, Stop):
            self.live.stop_speaking()
        elif isinstance(said, Forget):
            self.live.renew(None, "a new conversation was started")
        elif isinstance(said, Device):
            self.device = dict(said.state)
            self.tell("device", self.device)
        elif isinstance(said, Record):
            self._record(said.on)
        elif self.on_talk is not None:
            self.on_talk(said)
        else:
            raise PromptError("nobody listens: this server has no speech recognition")

    def _record(self, on: bool) -> None:
        if not on:
            self.live.stop_recording("asked for")
        elif self._start_recording is None:
            raise PromptError("recording is off on this server (see `foveal serve --record`)")
        else:
            self.live.renew(self._start_recording(), "another recording was started")

    async def close(self, reason: str) -> None:
        """End the session; whoever is connected hears why."""
        if self.closed.is_set():
            return
        self.tell("bye", {"reason": reason})
        self.closed.set()
        await self.live.close(reason)


class Rooms:
    """All sessions of a server."""

    def __init__(self, limits: RoomLimits, clock: Clock, make: Callable[[], Room]) -> None:
        self._limits, self._clock, self._make = limits, clock, make
        self._rooms: dict[str, Room] = {}
        self._draining = False

    @property
    def all(self) -> list[Room]:
        """Those that are there, oldest first."""
        return list(self._rooms.values())

    @property
    def active(self) -> int:
        """How many have somebody connected, those of the box's own cameras left out."""
        return sum(room.active and not room.kept for room in self._rooms.values())

    @property
    def full(self) -> bool:
        """Whether no other may start."""
        return self._draining or self.active >= self._limits.max_sessions

    def find(self, name: str | None) -> Room | None:
        """A session that is still there."""
        return self._rooms.get(name) if name else None

    def admit(self, name: str | None = None) -> Room:
        """The session of that name, or a new one; raises Problem 503 with Retry-After when full."""
        known = self.find(name)
        if known is not None and (known.active or not self.full):
            return known
        retry = {"Retry-After": str(self._limits.retry_after_s)}
        if self._draining:
            raise Problem(503, "this server is shutting down", retry)
        if self.active >= self._limits.max_sessions:
            text = f"all {self._limits.max_sessions} sessions are in use; try again later"
            raise Problem(503, text, retry)
        room = self._make()
        self._rooms[room.id] = room
        return room

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            await self._clock.sleep_until(self._clock.now_ns() + SWEEP_NS)
            await self.sweep()

    async def sweep(self) -> None:
        """End the sessions whose time is up."""
        now_ns, limits = self._clock.now_ns(), self._limits
        for room in (one for one in self.all if not one.kept):
            age_s = (now_ns - room.made_ns) / NS_PER_S
            idle_s = (now_ns - room.touched_ns) / NS_PER_S
            parked_s = (now_ns - room.left_ns) / NS_PER_S
            if age_s > limits.max_session_s:
                await self._end(room, "the session has reached its longest time")
            elif room.active and idle_s > limits.idle_s:
                await self._end(room, "nothing happened for a long time")
            elif not room.active and parked_s > limits.resume_s:
                await self._end(room, "nobody came back")
        parked = sorted(
            (r for r in self.all if not r.active and not r.kept), key=lambda r: r.left_ns
        )
        for room in parked[: max(0, len(parked) - limits.max_parked)]:
            await self._end(room, "too many sessions wait for somebody to come back")

    async def close(self, reason: str) -> None:
        """Admit nobody any more, and end all."""
        self._draining = True
        await asyncio.gather(*(self._end(room, reason) for room in self.all))

    async def _end(self, room: Room, reason: str) -> None:
        self._rooms.pop(room.id, None)
        logger.info("session %s… ends: %s", room.id[:6], reason)
        await room.close(reason)
