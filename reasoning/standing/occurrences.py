"""From looks to occurrences: a thing is there once several looks say so, and gone after a while.

Everybody answers standing questions too early (PhoStream, arXiv 2601.22575): one look is no
evidence. What is asked is therefore not "is it in this picture?" but "does an occurrence begin?",
once for each. `SURE` and the rest are first
guesses: `benchmarks.standing --tune` prints what others would give.
"""

from dataclasses import dataclass, replace
from typing import Literal

from stream.clock import NS_PER_MS, NS_PER_S

SURE = 0.6  # probability of a look that speaks for a thing
FAINT = 0.3  # one that speaks against its having gone
NEEDED, WINDOW = 2, 3  # of the last looks, so many must be sure
APART_NS = 150 * NS_PER_MS  # looks nearer to each other count as one
STALE_NS = 6 * NS_PER_S  # a look older than this says nothing of now
GONE_NS = 3 * NS_PER_S  # out of view for so long, and in so many looks: its occurrence has ended
GONE_LOOKS = 2
CHAIN_NS = 600 * NS_PER_S  # from one thing of a sequence to the next

Turned = Literal["began", "ended", "no"]


@dataclass(frozen=True, slots=True)
class Presence:
    """Whether one thing is there, by the looks so far. Bounded."""

    here: bool = False
    recent: tuple[tuple[int, float], ...] = ()  # time in ns and probability, oldest first
    seen_ns: int | None = None  # when it was last seen, however faintly
    missed: int = 0  # looks in a row without a trace of it

    def suspected(self, sure: float = SURE) -> bool:
        """Whether another look, soon, would decide."""
        return not self.here and bool(self.recent) and self.recent[-1][1] >= sure

    def step(self, at_ns: int, probability: float, sure: float = SURE) -> tuple["Presence", Turned]:
        """After a look at `at_ns`; a clock that went back starts the looks anew."""
        recent = self.recent
        if recent and at_ns < recent[-1][0]:
            recent = ()
        seen_ns = self.seen_ns if self.seen_ns is None else min(self.seen_ns, at_ns)
        if recent and at_ns - recent[-1][0] < APART_NS:
            recent = (*recent[:-1], (recent[-1][0], max(recent[-1][1], probability)))
        else:
            recent = (*recent, (at_ns, probability))
        recent = tuple(one for one in recent if at_ns - one[0] <= STALE_NS)[-WINDOW:]
        trace = probability >= min(FAINT, sure)
        seen_ns, missed = (at_ns, 0) if trace else (seen_ns, self.missed + 1)
        after = Presence(self.here, recent, seen_ns, missed)
        if not self.here and sum(one[1] >= sure for one in recent) >= NEEDED:
            return replace(after, here=True), "began"
        gone = seen_ns is None or at_ns - seen_ns >= GONE_NS
        if self.here and missed >= GONE_LOOKS and gone:
            return replace(after, here=False, recent=()), "ended"
        return after, "no"


@dataclass(frozen=True, slots=True)
class Chain:
    """One thing after the other: which is awaited, and when the one before it was seen."""

    presences: tuple[Presence, ...]
    reached: int = 0  # things of it that were seen, in order
    since_ns: int = 0

    def suspected(self, sure: float = SURE) -> bool:
        """Whether another look, soon, would decide."""
        return self.presences[self.reached].suspected(sure)

    def step(
        self, at_ns: int, probabilities: tuple[float, ...], sure: float = SURE
    ) -> tuple["Chain", bool]:
        """After a look; whether the last of its things has just come, after all others."""
        reached, since_ns = self.reached, self.since_ns
        if reached and not 0 <= at_ns - since_ns <= CHAIN_NS:
            reached = 0
        presences: list[Presence] = []
        complete = False
        awaited = reached
        for number, (one, probability) in enumerate(
            zip(self.presences, probabilities, strict=True)
        ):
            after, turned = one.step(at_ns, probability, sure)
            presences.append(after)
            if number == awaited and turned == "began":
                reached, since_ns = awaited + 1, at_ns
        if reached == len(presences):
            complete, reached = True, 0
        return Chain(tuple(presences), reached, since_ns), complete
