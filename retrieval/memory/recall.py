"""What is asked of a memory."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from stream.errors import QueryError

if TYPE_CHECKING:  # the command line offers the kinds without numpy
    from stream.frame import Image
    from stream.geometry import Rle

RecallBy = Literal["all", "words", "meaning", "look", "sequence"]
RecallHow = Literal["best", "first", "last", "count", "list"]


@dataclass(frozen=True, slots=True, eq=False)
class Recall:
    """One question to a memory; raises QueryError when it asks for nothing.

    `by`: "all" mixes the signals that the question has. `how`: "best" ranks, "first" and "last" are
    the ends in time of what matches, "list" is all of it in time, "count" how often.
    """

    what: str = ""  # words: a thing, an act, or a whole question
    by: RecallBy = "all"
    how: RecallHow = "best"
    from_ns: int | None = None  # Unix time, inclusive
    to_ns: int | None = None  # Unix time, exclusive
    image: "Image | None" = None  # [H, W, 3] uint8: something that looks like this
    mask: "Rle | None" = None  # of the thing in `image`; None for the whole picture
    then: tuple[str, ...] = ()  # what came after `what`, in order: makes it a sequence
    k: int = 3  # results at most
    without: tuple[str, ...] = ()  # ids of events that are left out, the question's own for one
    known_ns: int | None = None  # Unix time after which nothing is known: a recording seen before

    def __post_init__(self) -> None:
        if self.k < 1:
            raise QueryError(f"expected k >= 1 results, got {self.k}")
        spans = self.from_ns is not None or self.to_ns is not None
        if not self.what.strip() and self.image is None and not spans:
            raise QueryError("expected words, a picture or a time to recall by, got none")
        if self.by == "look" and self.image is None:
            raise QueryError("expected a picture to recall by its look, got none")
        if self.by in ("words", "sequence") and not self.what.strip():
            raise QueryError(f"expected words to recall by {self.by}, got an empty string")
        if self.mask is not None and self.image is None:
            raise QueryError("expected a mask with its picture, got a mask alone")
        if None not in (self.from_ns, self.to_ns) and self.from_ns > self.to_ns:  # type: ignore[operator]
            raise QueryError(
                f"expected a time span, got one that ends before it starts: "
                f"{self.from_ns} to {self.to_ns}"
            )
