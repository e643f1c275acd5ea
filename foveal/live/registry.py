"""Sessions of a server: who may start one, who may come back to one, and when it ends."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable

from devices.http.admission import Grant
from devices.http.problems import Problem
from foveal.live.room import Room, RoomLimits
from stream.clock import NS_PER_S, Clock

logger = logging.getLogger(__name__)

SWEEP_NS = NS_PER_S


class Rooms:
    """All sessions of a server."""

    def __init__(
        self,
        limits: RoomLimits,
        clock: Clock,
        make: Callable[[], Room],
        holds: Callable[[Grant], bool] = lambda _: True,
    ) -> None:
        """`holds` tells whether a token that started a session is still known."""
        self._limits, self._clock, self._make, self._holds = limits, clock, make, holds
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

    def admit(self, name: str | None = None, owner: Grant | None = None) -> Room:
        """The session of that name, or a new one of `owner`, whose place is not yet taken.

        Raises Problem 503 with Retry-After when full.
        """
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
        room.owner = owner
        self._rooms[room.id] = room
        return room

    async def leave(self, room: Room) -> None:
        """A connection has gone. A session to which nobody ever came waits for nobody."""
        room.leave()
        if not (room.active or room.used or room.kept):
            await self._end(room, "no connection came about")

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            await self._clock.sleep_until(self._clock.now_ns() + SWEEP_NS)
            await self.sweep()

    async def sweep(self) -> None:
        """End the sessions whose time is up."""
        now_ns, limits = self._clock.now_ns(), self._limits
        for room in self.all:
            room.check_consent()
        for room in (one for one in self.all if not one.kept):
            age_s = (now_ns - room.made_ns) / NS_PER_S
            idle_s = (now_ns - room.touched_ns) / NS_PER_S
            parked_s = (now_ns - room.left_ns) / NS_PER_S
            if room.owner is not None and not self._holds(room.owner):
                await self._end(room, "the token that started it was revoked, or has expired")
            elif age_s > limits.max_session_s:
                await self._end(room, "the session has reached its longest time")
            elif room.active and idle_s > limits.idle_s:
                await self._end(room, "nothing happened for a long time")
            elif not room.active and parked_s > limits.resume_s:
                await self._end(room, "nobody came back")
        parked = [room for room in self.all if not room.active and not room.kept]
        while len(parked) > limits.max_parked:
            room = _superfluous(parked)
            parked.remove(room)
            await self._end(room, "too many sessions wait for somebody to come back")

    async def close(self, reason: str) -> None:
        """Admit nobody any more, and end all."""
        self._draining = True
        await asyncio.gather(*(self._end(room, reason) for room in self.all))

    async def _end(self, room: Room, reason: str) -> None:
        self._rooms.pop(room.id, None)
        logger.info("session %s… ends: %s", room.id[:6], reason)
        await room.close(reason)


def _superfluous(parked: list[Room]) -> Room:
    """The oldest of who has the most waiting: nobody drives another one's session out."""
    counts = Counter(_owner(room) for room in parked)
    most = max(counts.values())
    return min((r for r in parked if counts[_owner(r)] == most), key=lambda r: r.left_ns)


def _owner(room: Room) -> str:
    return "" if room.owner is None else room.owner.digest
