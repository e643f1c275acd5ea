"""One session with all its connections: what they may ask of it, and what they are told."""

import asyncio
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from devices.http.admission import Grant, RateLimit
from devices.http.problems import Problem
from foveal.live.access import FULL, Access, Right
from foveal.live.consent import Consent
from foveal.live.live_session import LiveSession, Tell
from foveal.live.message_log import Link, Message, Send, SessionLog
from foveal.live.protocol import client, server
from foveal.live.protocol.parts import PointedQuestion
from foveal.live.recording import FileRecording
from foveal.live.speech.voice import LiveVoice
from stream.clock import NS_PER_S, Clock
from stream.errors import FovealError, PromptError

MAX_LINKS = 8  # that listen to one session

NEEDS: dict[type[client.ClientMessage], Right] = {
    client.AskMessage: "ask",
    client.TalkMessage: "ask",
    client.ListWatchesMessage: "ask",
    client.UnwatchMessage: "ask",
    client.StopMessage: "manage",
    client.ForgetMessage: "manage",
    client.DeviceMessage: "manage",
    client.RecordMessage: "record",
    client.RememberMessage: "record",
}

MakeLive = Callable[[Tell], LiveSession]
StartRecording = Callable[[], FileRecording]
OnTalk = Callable[[client.TalkMessage], None]


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
    consent_s: float = 900.0  # a recording ends then, unless it is asked for again


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
        self.id = secrets.token_urlsafe(24)  # 192 random bits: its address, not its key
        self.owner: Grant | None = None  # of who started it; None: the box's own
        self.used = False  # whether anybody ever came about to be connected
        self.log = SessionLog()
        self.closed = asyncio.Event()
        self.connections = 0  # there are, or are being made
        self.kept = False  # for a camera of the box's own: no limit ends it, none counts it
        self._talks: list[OnTalk] = []  # of the microphones, the one in use last
        self.device: dict[str, Any] = {}
        self._watch, self._clock = watch, clock
        self._start_recording = start_recording
        self._consent = Consent(round(limits.consent_s * NS_PER_S))
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
        return self.connections > 0 or self.log.links > 0

    def tell(self, message: server.ServerMessage) -> None:
        """Send a message to all who listen."""
        if isinstance(message, server.RecordingMessage):
            self._consent.recording = message.id if message.on else None
            if message.on:
                message = self._consent.state(self._clock.now_ns(), message.id)
        data = message.data()
        self.log.tell(message.type, data)
        self._watch(self.id, message.type, data)
        if isinstance(message, server.RegionsMessage):
            self.touched_ns = self._clock.now_ns()

    def attach(self, send: Send, after: int | None, hello: Message, access: Access = FULL) -> Link:
        """Let one more listen: a `hello`, what it missed, then everything.

        Raises Problem 503 when too many do.
        """
        if self.log.links >= MAX_LINKS:
            raise Problem(503, f"{MAX_LINKS} clients listen to this session already")
        told = server.HelloMessage(
            conversation=self.id,
            seq=self.log.seq,
            missed=0 if after is None else self.log.missed(after),
            camera=self.live.camera,
            recorded=self._consent.recording is not None,
            remembered=self.live.remembered,
            may=access.rights,
            **hello,
        )
        send({**told.told(), "seq": told.seq})
        self.touched_ns, self.used = self._clock.now_ns(), True
        return self.log.attach(send, after)

    def detach(self, link: Link) -> None:
        """It listens no longer."""
        self.log.detach(link)
        self.left_ns = self._clock.now_ns()

    def enter(self) -> None:
        """A connection has come, or is being made: its place is taken from now on."""
        self.connections += 1
        self.touched_ns = self._clock.now_ns()

    def leave(self) -> None:
        """A connection has gone, or did not come about."""
        self.connections -= 1
        self.left_ns = self._clock.now_ns()

    @contextmanager
    def hears(self, talk: OnTalk, alone: bool = True) -> Iterator[None]:
        """A microphone has come, which `talk` switches, until the block ends.

        It serves the clients without one of their own; not `alone`: only if there is no other.
        """
        self._talks.insert(len(self._talks) if alone else 0, talk)
        try:
            yield
        finally:
            self._talks.remove(talk)

    def receive(
        self, message: object, reply: Send, talk: OnTalk | None = None, access: Access = FULL
    ) -> None:
        """Take one message of a client; a bad one is answered with an `error`, to it alone.

        `talk` switches the client's own microphone, if it has one.
        """
        self.touched_ns = self._clock.now_ns()
        try:
            if self._messages.wait_s("all"):
                raise PromptError("expected fewer messages a second")
            said = client.parse(message)
            if isinstance(said, client.PingMessage):
                reply(server.PongMessage(n=said.n).told())
            else:
                access.need(NEEDS[type(said)])
                if isinstance(said, client.AskMessage) and self._forgets(said.text, access):
                    return
                self._obey(said, talk)
        except FovealError as error:
            reply(server.ErrorMessage(reason=str(error)).told())

    def ask(self, asked: PointedQuestion | str, origin: server.Origin = "text") -> int:
        """As `LiveSession.ask`; raises PromptError when too much is asked."""
        wait_s = self._questions.wait_s("all")
        if wait_s:
            raise PromptError(f"expected fewer questions; ask again in {wait_s:.0f} s")
        return self.live.ask(asked, origin)

    def heard(self, message: server.HearingMessage | server.TranscriptMessage) -> None:
        """Ear: speech of the wearer began or ended, or words of it."""
        self.touched_ns = self._clock.now_ns()
        self.tell(message)

    def interrupted(self) -> None:
        """Ear: the wearer spoke while we did."""
        self.live.stop_speaking("the wearer spoke")

    def asked(self, text: str) -> None:
        """Ear: a whole question was heard, or a wish to forget."""
        try:
            if not self._forgets(text, FULL):
                self.ask(text, "speech")
        except PromptError as error:
            self.tell(server.ErrorMessage(reason=str(error)))

    def _forgets(self, text: str, access: Access) -> bool:
        """Obey a wish to forget; False where it is none. Raises PromptError without the right."""
        since_ns = self.live.wished_gone(text)
        if since_ns is None:
            return False
        access.need("manage")
        self.live.forget(since_ns=since_ns)
        return True

    def _obey(self, said: client.AnyClientMessage, talk: OnTalk | None) -> None:
        if isinstance(said, client.AskMessage):
            self.ask(said)
        elif isinstance(said, client.StopMessage):
            self.live.stop_speaking()
        elif isinstance(said, client.ListWatchesMessage):
            self.live.tell_watches()
        elif isinstance(said, client.UnwatchMessage):
            self.live.unwatch(said.id)
        elif isinstance(said, client.ForgetMessage):
            if said.last_s is None:
                self.live.renew(None, "a new conversation was started")
            else:
                self.live.forget(said.last_s)
        elif isinstance(said, client.RememberMessage):
            self.live.remember(said.on)
        elif isinstance(said, client.DeviceMessage):
            self.device = said.data()
            self.tell(server.DeviceStateMessage(**self.device))
        elif isinstance(said, client.RecordMessage):
            self._record(said)
        elif isinstance(said, client.TalkMessage) and (talk is not None or self._talks):
            (talk or self._talks[-1])(said)
        else:
            raise PromptError(
                "nobody listens: there is no microphone here, or no speech recognition"
            )

    def check_consent(self) -> None:
        """End a recording that nobody wants any more; say so a while before."""
        now_ns = self._clock.now_ns()
        reason = self._consent.ended(now_ns, watched=self.log.links > 0)
        if reason is not None:
            self.live.stop_recording(reason)
        elif self._consent.warns(now_ns):
            self._tell_recording(now_ns)

    def _record(self, said: client.RecordMessage) -> None:
        now_ns = self._clock.now_ns()
        if not said.on:
            self.live.stop_recording("asked for")
        elif self._start_recording is None:
            raise PromptError("recording is off on this server (see `foveal serve --record`)")
        elif not said.keep:
            self._consent.give(now_ns)
            self.live.renew(self._start_recording(), "another recording was started")
        elif self._consent.recording is None:
            raise PromptError("nothing is recorded that could go on")
        else:
            self._consent.give(now_ns)
            self._tell_recording(now_ns)

    def _tell_recording(self, now_ns: int) -> None:
        if self._consent.recording is not None:
            self.tell(self._consent.state(now_ns, self._consent.recording))

    async def close(self, reason: str) -> None:
        """End the session; whoever is connected hears why."""
        if self.closed.is_set():
            return
        self.tell(server.ByeMessage(reason=reason))
        self.closed.set()
        await self.live.close(reason)
