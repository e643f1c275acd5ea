"""The nouns of question and answer, and the events that stream to the device."""

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Literal

from stream.errors import QueryError
from stream.frame import Image
from stream.geometry import Box, Point, Rle

# What a wearer's device says of itself, in the words of the web and of Android.
ThermalState = Literal["nominal", "fair", "serious", "critical"]
NetworkType = Literal["wifi", "cellular", "ethernet", "other", "2g", "3g", "4g", "slow-2g"]
MAX_QUESTION_CHARS = 1000  # of a question that comes over a network

QueryKind = Literal["text", "image", "region"]
QuerySource = Literal["auto", "knowledge", "memory"]  # who is asked; auto: whoever may know
# How far a source is believed: the wearer's own notes, a source that somebody answers for, any
# other. What one unvetted source alone says is shown as its word and not asserted.
Tier = Literal["own", "vetted", "unvetted"]
EventKind = Literal[
    "keyframe",
    "region",
    "question",
    "token",
    "search",
    "evidence",
    "audio",
    "end",
    "refused",
    "alert",
    "watches",
]


@dataclass(frozen=True, slots=True)
class Region:
    """One tracked thing in one frame."""

    track_id: int
    pts_ns: int
    mask: Rle
    box: Box | None  # None when the mask is empty (occluded or out of view)
    score: float  # 0..1, the tracker's confidence that the thing is here
    name: str = ""  # what it is called, once that is known


@dataclass(frozen=True, slots=True)
class Question:
    """What the wearer asked, and what they pointed at if anything."""

    text: str
    asked_ns: int
    point: Point | None = None
    box: Box | None = None
    # Of a recorded live session: the frame after which its answer was applied. None: at once.
    applied_ns: int | None = None


@dataclass(frozen=True, slots=True)
class TokenStep:
    """One token of the answer sequence."""

    token_id: int
    text: str
    forced: bool  # True for injected evidence: not the model's own choice, loss mask 0


@dataclass(frozen=True, slots=True)
class QueryFilter:
    """What evidence must be to be found at all; what is left at its default allows everything."""

    after_ns: int | None = None  # since 1970 (UTC), inclusive; undated evidence does not pass
    before_ns: int | None = None  # exclusive
    tags: tuple[str, ...] = ()  # it bears all of these
    sources: tuple[str, ...] = ()  # it is of one of these
    tiers: tuple[Tier, ...] = ()  # it is of one of these

    def __post_init__(self) -> None:
        if (
            self.after_ns is not None
            and self.before_ns is not None
            and self.after_ns >= self.before_ns
        ):
            raise QueryError(
                f"expected after_ns < before_ns in a filter, got {self.after_ns} and "
                f"{self.before_ns}"
            )

    def admits(
        self, source: str, tier: Tier, tags: Collection[str] = (), at_ns: int | None = None
    ) -> bool:
        """Whether evidence of a source, tier, tags and time may be found."""
        if (self.after_ns is not None or self.before_ns is not None) and at_ns is None:
            return False
        return (
            (self.after_ns is None or at_ns is None or at_ns >= self.after_ns)
            and (self.before_ns is None or at_ns is None or at_ns < self.before_ns)
            and set(self.tags) <= set(tags)
            and (not self.sources or source in self.sources)
            and (not self.tiers or tier in self.tiers)
        )


@dataclass(frozen=True, slots=True, eq=False)
class Query:
    """One search. `payload` is text, a picture, or a picture with its mask."""

    kind: QueryKind
    text: str  # the payload as written in the sequence: free text, "<image>" or "<region>"
    k: int = 3
    image: Image | None = None  # [H, W, 3] uint8 for image and region queries
    mask: Rle | None = None  # for region queries, the size of `image`
    about: str = ""  # what is asked of the thing searched for by its looks; chooses passages
    source: QuerySource = "auto"
    filter: QueryFilter = QueryFilter()

    def __post_init__(self) -> None:
        if self.k < 1:
            raise QueryError(f"expected k >= 1 results, got {self.k}")
        if self.kind == "text" and not self.text.strip():
            raise QueryError("expected words in a text query, got an empty string")
        if self.kind != "text" and self.image is None:
            raise QueryError(f"expected an image for a {self.kind} query, got none")
        if self.kind == "region" and self.mask is None:
            raise QueryError("expected a mask for a region query, got none")


@dataclass(frozen=True, slots=True)
class Evidence:
    """One retrieved entry."""

    id: str
    title: str
    text: str
    score: float  # cosine, -1..1, unless the searcher says otherwise
    source: str  # name of the index or knowledge base
    region: Box | None = None  # the part of the query picture it was matched to
    nearest: tuple[str, ...] = ()  # the passages of `text`, the one nearest to the query first
    tier: Tier = "vetted"
    agreed: tuple[str, ...] = ()  # of unvetted evidence: other sources found that say the same

    @property
    def alone(self) -> bool:
        """Whether it may be shown as what one page says, and not be asserted."""
        return self.tier == "unvetted" and not self.agreed


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of the answer that names a region."""

    start: int  # character offsets into Answer.text
    end: int
    region: Region


@dataclass(frozen=True, slots=True)
class SearchRecord:
    """One search made while answering, with what came back."""

    kind: QueryKind
    query: str
    evidence: tuple[Evidence, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """A finished answer."""

    question: Question
    text: str  # what the wearer hears
    sequence: str  # the whole decoded sequence, search tokens and evidence included
    spans: tuple[Span, ...]
    searches: tuple[SearchRecord, ...]
    timings_ns: dict[str, int] = field(default_factory=dict)  # stage -> duration
    model: str = ""
    cut: str = ""  # why it is but a part of what was to be said; empty for a whole answer

    def name_of(self, span: Span) -> str:
        """What the answer calls a thing, without its article; empty where that says nothing."""
        words = self.text[span.start : span.end].strip()
        name = re.sub(r"^(an?|the)\s+", "", words, flags=re.IGNORECASE)
        return "" if name.lower() in ("thing", "it", "this", "that") else name


@dataclass(frozen=True, slots=True)
class AnswerEvent:
    """One streamed event. `data` holds JSON values only."""

    kind: EventKind
    stream_ns: int  # stream time it belongs to
    data: dict[str, Any]
