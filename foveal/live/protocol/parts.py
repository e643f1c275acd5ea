"""What messages are made of."""

from typing import Annotated, Any, Literal

from annotated_types import Ge
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from stream.bounds import Share
from stream.events import NetworkType, ThermalState

VERSION: Literal[1] = 1
MAX_EVIDENCE_CHARS = 600

Count = Annotated[int, Ge(0)]
SharePoint = tuple[Share, Share]
ShareBox = tuple[Share, Share, Share, Share]
Size = tuple[Annotated[int, Ge(1)], Annotated[int, Ge(1)]]
Score = Annotated[float, AfterValidator(lambda score: round(score, 4))]
Beginning = Annotated[str, AfterValidator(lambda text: text[:MAX_EVIDENCE_CHARS])]
SearchKind = Literal["text", "image", "region"]


def told(what: str) -> Any:
    """A member that is always there."""
    return Field(description=what)


def optional(what: str) -> Any:
    """A member that is left out where there is nothing to tell."""
    return Field(default=None, description=what, exclude_if=lambda value: value is None)


class ProtocolPart(BaseModel):
    """Typed JSON; members that it does not know are passed over."""

    model_config = ConfigDict(frozen=True, from_attributes=True)


class ProtocolMessage(ProtocolPart):
    """One JSON object with a version and a type."""

    v: Literal[1] = VERSION
    type: str

    def told(self) -> dict[str, Any]:
        """Type and members, as it is sent; version and number come when it is."""
        return {"type": self.type, **self.data()}

    def data(self) -> dict[str, Any]:
        """Its members as JSON values, without version, type and number."""
        return self.model_dump(mode="json", exclude={"v", "type", "seq"})


class MaskCode(ProtocolPart):
    """A mask in COCO's uncompressed run-length code."""

    size: Size = told("[height, width], at most 192 each")
    counts: tuple[Count, ...] = told("runs, column by column, background first")


class RegionState(ProtocolPart):
    """A masklet in one frame."""

    track_id: Count = told("the masklet's number")
    score: float = told("how sure the tracker is, 0..1")
    box: tuple[Count, Count, Count, Count] | None = told("[x0, y0, x1, y1], null out of view")
    mask: MaskCode | None = told("its pixels, null out of view")


class WatchEntry(ProtocolPart):
    """One standing question."""

    id: Count = told("its number")
    asked: str = told("in the wearer's words")
    kind: Literal["see", "again", "sequence", "leave"] = told("what is watched for")
    things: tuple[str, ...] = told("the things, in order; none for what was pointed at")
    repeats: bool = told("whether it is told every time; else once")


class EvidenceEntry(ProtocolPart):
    """One thing that a search found."""

    id: str = told("in the index")
    title: str = told("of the article")
    score: Score = told("likeness, up to 1")
    source: str = told("the index")
    text: Beginning | None = optional(f"at most {MAX_EVIDENCE_CHARS} characters, in `end` only")


class SpanMark(ProtocolPart):
    """Words of an answer that name a thing."""

    start: Count = told("the first character")
    end: Count = told("behind the last character")
    track_id: Count = told("the thing's masklet")


class SearchMade(ProtocolPart):
    """A search that an answer rests on."""

    kind: SearchKind = told("what was searched with")
    query: str = told("its words")
    evidence: tuple[EvidenceEntry, ...] = told("what was found, each an `entry`")


class RememberedMoment(ProtocolPart):
    """An earlier moment that an answer recalls."""

    event: str = told("its id in the memory")
    text: str = told("what is remembered, with its time")
    picture: str | None = optional(
        "a data URI of the picture with the thing's mask, where the box still has it"
    )


class PictureSent(ProtocolPart):
    """A picture that was sent to a server."""

    sha256: str = told("of its bytes as they were sent, in hexadecimal digits")
    size_bytes: Count = told("how many those are")


class DeviceFacts(ProtocolPart):
    """What a wearer's device says of itself."""

    battery: Share | None = optional("charge, 0..1")
    charging: bool | None = optional("whether it is being charged")
    thermal: ThermalState | None = optional("how warm it is")
    network: NetworkType | None = optional("what connects it")


class PointedQuestion(ProtocolPart):
    """A question, and what is pointed at in shares of the picture's width and height."""

    text: str = told("the question")
    point: SharePoint | None = optional("[x, y] of what is meant")
    box: ShareBox | None = optional("[x0, y0, x1, y1] around what is meant")
