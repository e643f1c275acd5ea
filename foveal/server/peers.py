"""The WebRTC connections of a server: each joins a session, for as long as it lasts."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol
from weakref import WeakKeyDictionary

from devices.http.admission import Grant
from devices.http.gate import GateConfig
from devices.http.problems import Problem
from devices.http.proxies import Network
from devices.video.policy import MAX_PIXELS, FramePolicy, ReceiveOptions
from devices.webrtc.tracks import SpeechTrack, ViewTrack
from devices.webrtc.turn import IceServer
from devices.whip.endpoint import SignalConfig, SignalServer
from devices.whip.sdp import Role
from devices.whip.session import PeerSession
from foveal.config.schema import SessionConfig
from foveal.live.access import Access, Right
from foveal.live.guest_ear import GuestEar
from foveal.live.message_log import Message
from foveal.live.protocol.server import ErrorMessage
from foveal.live.recording import RecordPolicy
from foveal.live.registry import Rooms
from foveal.live.room import OnTalk, Room, RoomLimits
from foveal.live.speech.microphone import MakeListener, Microphone
from foveal.server.transport.channel import channel_sender
from foveal.server.transport.socket import after_of
from stream.clock import Clock
from stream.errors import PromptError
from stream.frame import FrameSource
from stream.outgoing import OutgoingLog


@dataclass(frozen=True, slots=True)
class ServeConfig:
    """Who may come, and how many at once."""

    grants: Callable[[], Sequence[Grant]] | None = None  # None: no tokens needed
    origins: tuple[str, ...] = ()  # pages of other sites that may connect (CORS)
    limits: RoomLimits = field(default_factory=RoomLimits)
    session: SessionConfig = field(default_factory=SessionConfig)
    record: RecordPolicy | None = None  # None: recording is off
    ice_servers: tuple[IceServer, ...] = ()  # STUN and TURN; told to clients, used here
    cameras: tuple[str, ...] = ()  # URLs that the server itself reads
    photos: bool = False  # whether devices may post photos
    camera_sound: bool = False  # whether those cameras are listened to all the time
    max_pixels: int = MAX_PIXELS  # of a picture, by whatever way it comes
    proxies: tuple[Network, ...] = ()  # reverse proxies whose word on the client counts
    udp_ports: range | None = None  # for media; None: any
    announce: tuple[str, ...] = ()  # addresses that others know this machine by
    outgoing: OutgoingLog = field(default_factory=OutgoingLog)  # what is sent to other servers

    @property
    def receive(self) -> ReceiveOptions:
        """How every camera's pictures are taken."""
        return ReceiveOptions(FramePolicy.FRESHEST, max_pixels=self.max_pixels)

    def gate(self, scope: str | None) -> GateConfig:
        """Who may use what needs this scope."""
        return GateConfig(grants=self.grants, scope=scope, allowed_origins=self.origins)


class PeerHost(Protocol):
    """What connections need of their server."""

    config: ServeConfig

    @property
    def make_listener(self) -> MakeListener | None:
        """What makes a session's listener; None when nothing can be heard."""

    rooms: Rooms

    def admit(self, name: str | None, grant: Grant, right: Right) -> tuple[Room, Access]:
        """The session of that name, or a new one, and what may be done there; or Problem."""

    async def barred(self, grant: Grant) -> None:
        """Return once that token is revoked or has expired."""

    def find(self, name: str | None) -> Room | None:
        """The session of that name."""

    def hello(self) -> Message:
        """What every client is told first."""


class Peers:
    """The connections of one server; belongs to the event loop."""

    def __init__(self, server: PeerHost, clock: Clock) -> None:
        self._server, self._clock = server, clock
        self._of: WeakKeyDictionary[PeerSession, tuple[Room, Access]] = WeakKeyDictionary()

    def endpoint(self, prefix: str, role: Role, scope: str | None) -> SignalServer:
        """Where connections of one kind are agreed on."""
        config = SignalConfig(
            prefix=prefix,
            gate=replace(self._server.config.gate(scope), token_in_url=role is not Role.DUPLEX),
            max_sessions=4 * self._server.config.limits.max_sessions,  # rooms limit it
            receive=self._server.config.receive,
            ice_servers=self._server.config.ice_servers,
            announce=self._server.config.announce,
        )

        def make_tracks(peer: PeerSession) -> list[Any]:
            after_of(peer.query.get("after"))
            name = peer.query.get("conversation")
            if role is Role.PLAY and self._server.find(name) is None:
                raise Problem(404, "expected ?conversation=ID of a session that is live")
            room, access = self._of[peer] = self._server.admit(name, peer.grant, _right(peer, role))
            room.enter()
            if role is Role.PUBLISH or "view" not in access.rights:
                return []
            view = [ViewTrack()] if role is Role.PLAY else []  # a camera's own client has it
            return [SpeechTrack(self._clock), *view]

        return SignalServer(config, self._live, self._clock, role, make_tracks, self._abandon)

    async def _abandon(self, peer: PeerSession) -> None:
        """Its offer could not be answered: the place that was kept for it is free again."""
        if peer in self._of:
            room, _ = self._of.pop(peer)
            await self._server.rooms.leave(room)

    async def _live(self, peer: PeerSession) -> None:
        """One WebRTC connection, from its answer to its end."""
        room, access = self._of[peer]
        tasks = [asyncio.create_task(work) for work in self._work_of(peer, room, access)]
        ends = [asyncio.create_task(event.wait()) for event in (peer.closed, room.closed)]
        ends.append(asyncio.create_task(self._bar(peer)))
        try:
            for track in peer.sending:
                _attach(room, track, leads=peer.video is not None)
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if room.closed.is_set():
                await asyncio.sleep(0.05)  # `bye` goes out before the connection
        finally:
            for track in peer.sending:
                _detach(room, track)
            for task in (*tasks, *ends):
                task.cancel()
            await asyncio.gather(*tasks, *ends, return_exceptions=True)
            room.used = room.used or peer.connected.is_set()
            await self._server.rooms.leave(room)

    async def _bar(self, peer: PeerSession) -> Literal[True]:
        await self._server.barred(peer.grant)
        return True

    def _work_of(
        self, peer: PeerSession, room: Room, access: Access
    ) -> list[Coroutine[Any, Any, None]]:
        work, talk = [], None
        if peer.video is not None:
            work.append(self._see(peer, room))
        make_listener = self._server.make_listener
        if peer.audio is not None and make_listener is not None and "ask" in access.rights:
            ear = room if "manage" in access.rights else GuestEar(room)
            microphone = Microphone(peer.audio, make_listener(ear, self._clock), self._clock)
            talk = microphone.talk
            work.append(self._hear(peer, room, microphone))
        return [*work, self._talk_to(peer, room, talk, access)]

    async def _hear(self, peer: PeerSession, room: Room, microphone: Microphone) -> None:
        # A second screen's microphone is its own; the one beside the camera serves all.
        with room.hears(microphone.talk, alone=peer.video is not None):
            await microphone.run()

    async def _see(self, peer: PeerSession, room: Room) -> None:
        assert peer.video is not None
        try:
            watching = room.live.watch
            while await watching(peer.video, why=lambda: peer.reason) and await _alone(
                peer.video, room
            ):
                pass  # the camera that had taken over has gone
        except PromptError as error:
            room.tell(ErrorMessage(reason=str(error)))
            await peer.close(str(error))

    async def _talk_to(
        self, peer: PeerSession, room: Room, talk: OnTalk | None, access: Access
    ) -> None:
        """The data channel, if the peer opens one."""
        await peer.channel_opened.wait()
        send = channel_sender(peer)
        try:
            access.need("view")
            after = after_of(peer.query.get("after"))
            link = room.attach(send, after, self._server.hello(), access)
        except (Problem, PromptError) as refused:
            send(ErrorMessage(reason=str(refused)).told())
            return
        peer.channel.on("message", lambda message: room.receive(message, send, talk, access))
        try:
            await peer.closed.wait()
        finally:
            room.detach(link)


def _right(peer: PeerSession, role: Role) -> Right:
    """What an offer needs: a camera is published, a microphone asks, all else looks."""
    if role is Role.PLAY or peer.offer is None:
        return "view"
    if role is Role.PUBLISH or peer.offer.video:
        return "publish"
    return "ask" if peer.offer.audio else "view"


async def _alone(video: FrameSource, room: Room) -> bool:
    """Wait until a frame comes while no other camera is in use; whether one came."""
    async with aclosing(video.frames()) as frames:  # type: ignore[type-var]
        async for _ in frames:
            if not room.live.camera:
                return True
    return False


def _attach(room: Room, track: SpeechTrack | ViewTrack, leads: bool) -> None:
    """Let a client hear our voice, or see the annotated view."""
    if isinstance(track, ViewTrack):
        room.live.view.attach(track)
    elif room.live.voice is not None:
        room.live.voice.attach(track, leads)


def _detach(room: Room, track: SpeechTrack | ViewTrack) -> None:
    if isinstance(track, ViewTrack):
        room.live.view.detach(track)
    elif room.live.voice is not None:
        room.live.voice.detach(track)
