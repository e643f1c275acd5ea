"""The live server: cameras and browsers in, answers out, around one set of models.

/session     WebRTC for a browser or phone: camera, microphone, answers, data channel
/whip /whep  WebRTC for cameras that only send, and for players
/events      the messages of a session over a WebSocket
/photo       photos of devices that send no video, where that is on
/            the web client; /health, /ready; for admins /sessions and /recordings
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from aiohttp import web

from devices.http.admission import Grant
from devices.http.gate import Gate
from devices.http.problems import Problem
from devices.http.proxies import behind_proxies
from devices.video.photos import MAX_BYTES, PhotoInbox
from devices.webrtc.reach import within_ports
from devices.whip.endpoint import build_app
from devices.whip.sdp import Role
from foveal.live.access import Access, Right, access_of
from foveal.live.engine import Engine
from foveal.live.live_session import LiveSession, Tell
from foveal.live.memory.live_memory import LiveMemory
from foveal.live.message_log import Message
from foveal.live.parts import LiveParts
from foveal.live.protocol.parts import VERSION, PointedQuestion
from foveal.live.recording import Library
from foveal.live.registry import Rooms
from foveal.live.room import Room
from foveal.live.speech.microphone import MakeListener
from foveal.live.threads.answer_threads import AnswerThreads
from foveal.live.threads.worker import FairWorker
from foveal.server.cameras import Cameras, Spot
from foveal.server.pages import page_routes
from foveal.server.peers import Peers, ServeConfig
from foveal.server.recordings import RecordPages
from foveal.server.status import add_defences, local_hosts_only, project_version, status_routes
from foveal.server.transport.socket import EventSocket
from foveal.session.stages import Stages
from foveal.session.standing import StandingQuestions
from stream.clock import NS_PER_S, Clock, MonotonicClock, UnixClock
from stream.errors import PromptError
from stream.events import MAX_QUESTION_CHARS

logger = logging.getLogger(__name__)

JOIN_S = 5.0  # for the job that runs at shutdown
NO_ANSWER = ("question", "internal", "stopped")  # causes with which a question ends
ANSWER_S = 120.0  # how long `ask` waits for an answer

__all__ = ["LiveServer", "ServeConfig"]
Watcher = Callable[[str, str, dict[str, Any]], None]  # conversation, type, data


class LiveServer:
    """All sessions of one process. Make it on the event loop; it loads while it listens."""

    def __init__(self, config: ServeConfig, clock: Clock | None = None) -> None:
        self.config, self._clock = config, clock or MonotonicClock()
        self.admitting = True  # False: no new sessions; those that are there go on
        self._engine: Engine | None = None
        self._worker = FairWorker()
        self._answers = AnswerThreads(self._clock)
        self._speech = ThreadPoolExecutor(1, thread_name_prefix="speech")
        self._views = ThreadPoolExecutor(1, thread_name_prefix="views")
        self._drawing = ThreadPoolExecutor(1, thread_name_prefix="drawing")
        self.library = None if config.record is None else Library(config.record, UnixClock())
        self._gate = Gate(config.gate("view"), self._clock)
        self.rooms = Rooms(config.limits, self._clock, self._make_room, self._gate.holds)
        self._peers = Peers(self, self._clock)
        self._inbox = self._make_inbox() if config.photos else None
        self._cameras = Cameras(
            config.cameras, self._inbox, self._clock, config.receive, config.camera_sound
        )
        self.spots: list[Spot] = []  # sessions of the box's own cameras, once it is loaded
        self._watchers: list[Watcher] = []
        self.stuck = False  # after the end: a model still works, and cannot be stopped
        self._sweeper: asyncio.Task[None] | None = None
        self.signals = [
            self._peers.endpoint("/session", Role.DUPLEX, None),
            self._peers.endpoint("/whip", Role.PUBLISH, "publish"),
            self._peers.endpoint("/whep", Role.PLAY, "view"),
        ]

    async def load(self, load: Callable[[], Engine]) -> None:
        """Load the models; until then sessions are refused with 503. Raises what `load` raises."""
        lane = self._worker.lane()
        self._engine = await asyncio.wrap_future(lane.submit(load))
        rooms = [self.rooms.admit() for _ in range(len(self._cameras))]
        self.spots = self._cameras.start(rooms, self.make_listener)

    def application(self) -> web.Application:
        """The aiohttp application; it ends all sessions at shutdown."""
        app = build_app(*self.signals)
        if self.config.proxies:
            app.middlewares.append(behind_proxies(self.config.proxies))
        if self.config.udp_ports is not None:
            app.cleanup_ctx.append(within_ports(self.config.udp_ports))
        if self.config.grants is None:
            app.middlewares.append(local_hosts_only)
        admin = Gate(self.config.gate("admin"), self._clock)
        socket = EventSocket(self._gate, self)
        app.router.add_get("/events", socket.handle)
        app.add_routes(status_routes(self, Gate(self.config.gate(None), self._clock), admin))
        if self._inbox is not None:
            app.add_routes(self._inbox.routes())
        records = RecordPages(self.library, admin, self._views)
        app.add_routes([*records.routes(), *page_routes()])
        app.on_response_prepare.append(add_defences)
        app.on_startup.append(self._start)
        app.on_shutdown.insert(0, self._stop)  # before the peers go: they hear why
        app.on_cleanup.append(self._cleanup)
        return app

    # For others in this process (MQTT, a physical button, ...).

    def watch(self, watcher: Watcher) -> Callable[[], None]:
        """Call `watcher` with every message of every session; returns how to stop that."""
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher)

    async def ask(
        self, asked: PointedQuestion | str, conversation: str | None = None
    ) -> dict[str, Any]:
        """Ask in the session of that name, or in the only one with a camera.

        Returns its `end` message with the `session`. Raises PromptError when there is no such
        session, or the question is refused.
        """
        room = self._asked_room(conversation)
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[dict[str, Any]] = loop.create_future()
        turn = 0

        def watcher(name: str, kind: str, data: dict[str, Any]) -> None:
            if name != room.id or answer.done():
                return
            mine = data.get("turn") == turn
            if kind == "bye":
                answer.set_exception(PromptError(f"the session ended: {data['reason']}"))
            elif mine and kind == "end":
                answer.set_result({"session": name, **data})
            elif mine and kind == "refused" and data["cause"] in NO_ANSWER:
                answer.set_exception(PromptError(data["reason"]))

        stop = self.watch(watcher)
        try:
            turn = room.ask(asked, "other")
            async with asyncio.timeout(ANSWER_S):
                return await answer
        except TimeoutError as error:
            raise PromptError(f"expected an answer within {ANSWER_S:.0f} s") from error
        finally:
            stop()

    def _asked_room(self, conversation: str | None) -> Room:
        """Nobody's session is asked by mistake: where several see, one has to be named."""
        seeing = [room for room in self.rooms.all if room.live.camera]
        if conversation is not None:
            seeing = [room for room in self.rooms.all if room.id == conversation]
        if not seeing:
            raise PromptError("expected a session with a camera, there is none; connect one first")
        if len(seeing) > 1:
            raise PromptError(
                f"expected the `session` that is asked, as {len(seeing)} have a camera; name one"
            )
        return seeing[0]

    def state(self) -> dict[str, Any]:
        """The server in numbers, without any secret."""
        limits = self.config.limits
        full, loading = self.rooms.full or not self.admitting, self._engine is None
        return {
            "status": "loading" if loading else "full" if full else "ready",
            "protocol": VERSION,
            "version": project_version(),
            "sessions": self.rooms.active,
            "max_sessions": limits.max_sessions,
            "camera": any(room.live.camera for room in self.rooms.all),
            "token_needed": self.config.grants is not None,
            "speech": self._engine is not None and self._engine.speaker is not None,
            "listening": self._engine is not None and self._engine.make_listener is not None,
            "recording": self.library is not None,
        }

    def hello(self) -> Message:
        """What every client is told first, besides its session."""
        state = self.state()
        names = ("version", "speech", "listening", "recording")
        return {**{name: state[name] for name in names}, "max_question_chars": MAX_QUESTION_CHARS}

    @property
    def make_listener(self) -> MakeListener | None:
        """What makes a session's listener; None when nothing can be heard."""
        return None if self._engine is None else self._engine.make_listener

    def find(self, name: str | None) -> Room | None:
        """The session of that name, if it is there."""
        return self.rooms.find(name)

    def admit(self, name: str | None, grant: Grant, right: Right) -> tuple[Room, Access]:
        """The session of that name, or a new one that is `grant`'s, and what it may do there.

        Raises Problem 403 without `right` there, 503 when no session can be had.
        """
        known = self.rooms.find(name)
        access = access_of(grant, grant if known is None else known.owner)
        wanted = "publish" if known is None else right  # who may not publish starts nothing
        if wanted not in access.rights:
            whose = "a new session" if known is None else "this session"
            raise Problem(403, f"this token lacks the right to {wanted} in {whose}")
        if self._engine is None:
            raise Problem(503, "the models are loading; try again soon", {"Retry-After": "5"})
        if not self.admitting and self.rooms.find(name) is None:
            retry = {"Retry-After": str(self.config.limits.retry_after_s)}
            raise Problem(503, "no new sessions are taken now; try again later", retry)
        return self.rooms.admit(name, grant), access

    async def barred(self, grant: Grant) -> None:
        """Return once that token is revoked or has expired; what lives on it ends then."""
        while self._gate.holds(grant):
            await self._clock.sleep_until(self._clock.now_ns() + NS_PER_S)

    def _make_inbox(self) -> PhotoInbox:
        gate = replace(self.config.gate("publish"), max_body_bytes=MAX_BYTES, token_in_url=True)
        return PhotoInbox(self._clock, gate, max_pixels=self.config.max_pixels)

    def _make_room(self) -> Room:
        engine = self._engine
        assert engine is not None  # `admit` refuses before

        def mine() -> bool:
            """Whether the session is of whom this server remembers for: not a guest's."""
            return room.owner is None or room.owner.allows("admin")

        def make_stages() -> Stages:
            guests = engine.make_guest_stages
            return engine.make_stages() if guests is None or mine() else guests()

        def standing(stages: Stages) -> StandingQuestions:
            assert engine.standing is not None  # else it is not handed on
            return engine.standing(stages, "" if room.owner is None else room.owner.digest)

        def make_live(tell: Tell) -> LiveSession:
            memory = engine.memory
            parts = LiveParts(
                make_stages,
                self._worker.lane(),
                self._answers,
                self._speech,
                self._drawing,
                self.config.session,
                engine.speaker,
                engine.lead_in,
                None if memory is None else LiveMemory(memory, UnixClock(), mine),
                None if engine.standing is None else standing,
            )
            return LiveSession(parts, tell, self._clock)

        start = None if self.library is None else self.library.start
        limits = self.config.limits
        room = Room(make_live, start, limits, self._clock, self._tell_watchers)
        return room

    def _tell_watchers(self, name: str, kind: str, data: dict[str, Any]) -> None:
        for watcher in list(self._watchers):
            try:
                watcher(name, kind, data)
            except Exception:  # one that fails must not stop the session
                logger.exception("a watcher failed")

    async def _start(self, _: web.Application) -> None:
        self._sweeper = asyncio.create_task(self.rooms.run())

    async def _stop(self, _: web.Application) -> None:
        if self._sweeper is not None:
            self._sweeper.cancel()
        await self.rooms.close("the server is shutting down")
        await self._cameras.close()

    async def _cleanup(self, _: web.Application) -> None:
        self._worker.close()
        ending = (self._worker, self._answers)
        self.stuck = not all([await asyncio.to_thread(one.join, JOIN_S) for one in ending])
        if self._engine is not None and not self.stuck:
            await asyncio.to_thread(self._engine.close)
        self._speech.shutdown(wait=False, cancel_futures=True)
        self._views.shutdown(wait=False, cancel_futures=True)
        self._drawing.shutdown(wait=False, cancel_futures=True)
