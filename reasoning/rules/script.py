"""What scripts are made of: words, mentions and calls, and what they know of the turn."""

from collections.abc import Callable, Iterator, Sequence
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
class SearchFor:
    """A search call with its payload."""

    payload: str
    memory: bool = False  # in what the wearer has seen


ScriptPiece = Say | SearchFor


class ScriptState(Protocol):
    """What scripts read and write of an answer."""

    prompt: Prompt
    evidence: Sequence[Evidence]
    focus: GroundedRegion | None
    subject: str
    noted: str  # the words that own notes were asked with; `evidence` is what came of it
    may_search: bool  # whether another call will be run


Script = Callable[[ScriptState, str], Iterator[ScriptPiece]]
