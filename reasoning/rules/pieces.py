"""What scripts are made of: words, mentions, calls and choices, and what they know of the turn."""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from perception.scene.reader import GroundedRegion
from reasoning.generation.protocol import Prompt
from stream.events import Evidence

SURE, LIKELY = 0.75, 0.45  # name probability for "is" and "looks like"
DONT_KNOW = "I don't know"


@dataclass(frozen=True, slots=True, eq=False)
class Say:
    """Words of the answer; with a region they mention it."""

    text: str
    region: GroundedRegion | None = None


@dataclass(frozen=True, slots=True)
class CallFor:
    """A search call with its payload."""

    payload: str


@dataclass(frozen=True, slots=True)
class Draft:
    """One way to go on: how it would begin, and how good it looks before anybody has read it."""

    openings: tuple[str, ...]  # its first words, special tokens written out; any of several forms
    prior: float  # natural logarithm of odds


@dataclass(frozen=True, slots=True)
class Offer:
    """Several ways to go on: whoever plays the script sends back the number of the one taken."""

    drafts: tuple[Draft, ...]
    trust: float  # weight of a model's reading beside the priors

    @property
    def best(self) -> int:
        """The one that looks best beforehand."""
        return max(range(len(self.drafts)), key=lambda number: self.drafts[number].prior)


Piece = Say | CallFor | Offer


class TurnState(Protocol):
    """What scripts read and write of an answer."""

    prompt: Prompt
    evidence: Sequence[Evidence]
    focus: GroundedRegion | None
    subject: str
    may_search: bool  # whether another call will be run


Script = Callable[[TurnState, str], Iterator[Piece]]
Playing = Generator[Piece, int | None, None]
Judge = Callable[[Sequence[Sequence[str]]], Sequence[float]]
"""Openings of several drafts -> log-probability of each draft among them, by a model's reading."""
