"""What a server says in a live session."""

from typing import Annotated, Literal

from pydantic import Field

from foveal.live.protocol.parts import (
    Count,
    DeviceFacts,
    EvidenceEntry,
    PictureSent,
    PointedQuestion,
    ProtocolMessage,
    RegionState,
    RememberedMoment,
    SearchKind,
    SearchMade,
    Size,
    SpanMark,
    WatchEntry,
    optional,
    told,
)
from stream.outgoing import Seam

Origin = Literal["text", "speech", "other"]
Turn = Annotated[Count, Field(description="the question's number")]
PtsMs = Annotated[Count, Field(description="stream time")]
FrameSize = Annotated[Size, Field(description="[height, width] of the frame")]


class ServerMessage(ProtocolMessage):
    """A message to all clients of a session, or in reply to one."""


class NumberedMessage(ServerMessage):
    """One that is kept, and sent again to who missed it; the session's log sets the number."""

    seq: Count = 0


class HelloMessage(ServerMessage):
    """First on every connection."""

    type: Literal["hello"] = "hello"
    conversation: str = told("to come back with")
    seq: Count = told("number of the session's last message")
    missed: Count = told("messages after `after` that had to give way to newer ones")
    camera: bool = told("whether one is in use")
    recorded: bool = told("whether a recording runs")
    may: tuple[Literal["view", "ask", "publish", "record", "manage"], ...] = told(
        "what this client's token allows here; `manage` is to stop, forget and tell of the device"
    )
    version: str = told("the server's")
    speech: bool = told("whether answers are spoken")
    listening: bool = told("whether questions may be")
    recording: bool = told("whether sessions may be recorded")
    max_question_chars: Count = told("longest `ask`")
    remembered: bool = Field(default=False, description="whether what is seen is remembered")


class CameraMessage(NumberedMessage):
    """A camera came into use, stalls, goes on, or went."""

    type: Literal["camera"] = "camera"
    on: bool = told("whether one is in use")
    stalled: bool | None = optional("true while its pictures stay out: restart it, if you can")
    reason: str | None = optional("why it went or stalls")


class AskedMessage(PointedQuestion, NumberedMessage):
    """A question was taken."""

    type: Literal["asked"] = "asked"
    turn: Turn
    origin: Origin = told("how it came")


class StartedMessage(NumberedMessage):
    """The question's turn began, at the frame of that time."""

    type: Literal["started"] = "started"
    turn: Turn
    pts_ms: PtsMs
    age_ms: Count | None = optional("how old the picture was then, where over 2 s")


class TokenMessage(NumberedMessage):
    """One piece of the decoded sequence."""

    type: Literal["token"] = "token"
    turn: Turn
    id: Count = told("in the model's vocabulary")
    text: str = told("as it is written")
    forced: bool = told("evidence that was put in")
    spoken: bool = told("part of the answer")
    pts_ms: PtsMs


class SearchMessage(NumberedMessage):
    """A search in the middle of the answer."""

    type: Literal["search"] = "search"
    turn: Turn
    kind: SearchKind = told("what was searched with")
    query: str = told("its words")
    refused: str | None = told("why it was not made, or null")
    pts_ms: PtsMs


class EvidenceMessage(NumberedMessage):
    """What the search found."""

    type: Literal["evidence"] = "evidence"
    turn: Turn
    entries: tuple[EvidenceEntry, ...] = told("each an `entry`")
    pts_ms: PtsMs


class EndMessage(NumberedMessage):
    """The whole answer."""

    type: Literal["end"] = "end"
    turn: Turn
    text: str = told("what is said")
    sequence: str = told("all that was decoded")
    spans: tuple[SpanMark, ...] = told("words that name things, each a `span`")
    searches: tuple[SearchMade, ...] = told("each a `search`")
    model: str = told("which one answered")
    size: FrameSize
    pts_ms: PtsMs
    timings_ms: dict[str, float] = told("see below")
    age_ms: Count | None = optional("how old the picture was then, where over 2 s")
    cut: str | None = optional("why it is but a part of the answer, where it was cut off")
    moment: RememberedMoment | None = optional("the `moment` that it recalls, where it does")


class SpeechMessage(NumberedMessage):
    """Audio of a turn was queued."""

    type: Literal["speech"] = "speech"
    turn: Count = told("the question's number; 0: a notice of the server's own")
    duration_s: float = told("its length")
    first_ms: float | None = optional("after the question, with the turn's first audio")


class SpokenMessage(NumberedMessage):
    """The answer of a turn was played to its end (not sent when it was cut off)."""

    type: Literal["spoken"] = "spoken"
    turn: Turn


class RefusedMessage(NumberedMessage):
    """A question, masklet or frame that could not be handled, or speech that could not be made."""

    type: Literal["refused"] = "refused"
    turn: Turn | None = optional("the question's number, where it is one's")
    cause: str = told("question, stopped, cut off, speech, internal, masklet, bad frame, memory")
    reason: str = told("in words")
    pts_ms: PtsMs | None = optional("stream time, where it has one")


class HearingMessage(NumberedMessage):
    """Somebody speaks, or no longer."""

    type: Literal["hearing"] = "hearing"
    on: bool = told("which of the two")


class TranscriptMessage(NumberedMessage):
    """The words so far, then the whole question."""

    type: Literal["transcript"] = "transcript"
    text: str = told("the words, none where they are no question")
    final: bool = told("whether it is the whole")
    stable: Count | None = optional("characters that will not change")


class KeyframeMessage(NumberedMessage):
    """A frame was picked."""

    type: Literal["keyframe"] = "keyframe"
    reason: str = told("first, scene, drift, interval or question")
    novelty: float = told("how new it is, 0..1")
    pts_ms: PtsMs


class RegionsMessage(ServerMessage):
    """All masklets of a frame."""

    type: Literal["regions"] = "regions"
    pts_ms: PtsMs
    age_ms: Count = told("how long ago the frame came")
    captured_ms: Count | None = optional(
        "when it was taken: Unix time in ms, by its sender's clock"
    )
    size: FrameSize
    regions: tuple[RegionState, ...] = told("each a `region`")


class StatsMessage(ServerMessage):
    """Once a second: what the last one was like."""

    type: Literal["stats"] = "stats"
    fps: float = told("frames done a second")
    age_ms: Count = told("of the oldest of them when it was done; without any, of the last now")
    masklets: Count = told("alive")
    keyframes: Count = told("picked so far")
    waiting: Count = told("questions without an answer")
    dropped: dict[str, Count] = told("frames that were left out since the camera came, by cause")


class AlertMessage(NumberedMessage):
    """A standing question has come true."""

    type: Literal["alert"] = "alert"
    id: Count = told("the standing question's number")
    asked: str = told("in the wearer's words")
    kind: Literal["see", "again", "sequence", "leave"] = told("what was watched for")
    text: str = told("what is said")
    score: float = told("how sure it is, 0..1; 0 for what was not seen")
    done: bool = told("whether it is watched for no longer")
    silent: str | None = optional("why it is not spoken, where it is not")
    region: RegionState | None = optional("what was seen, a masklet from now on")
    pts_ms: PtsMs


class WatchesMessage(NumberedMessage):
    """All that is watched for: after each change, and when it was asked for."""

    type: Literal["watches"] = "watches"
    watches: tuple[WatchEntry, ...] = told("each a `watch`")


class RecordingMessage(NumberedMessage):
    """A recording began, ended, or goes on; told anew a minute before its end."""

    type: Literal["recording"] = "recording"
    on: bool = told("whether it runs")
    id: str = told("the recording's")
    left_s: Count | None = optional("until it ends, unless it is asked for again")
    reason: str | None = optional("why it ended")


class MemoryMessage(NumberedMessage):
    """What is seen is remembered from here on, or no longer."""

    type: Literal["memory"] = "memory"
    on: bool = told("whether it is")


class OutgoingMessage(NumberedMessage):
    """Something of this session was sent to a server."""

    type: Literal["outgoing"] = "outgoing"
    seam: Seam = told("which part sent it")
    server: str = told("its host and port")
    local: bool = told("whether that is this machine, so that nothing left it")
    words: str = told("the last 2,000 characters that were sent")
    pictures: tuple[PictureSent, ...] = told("each a `picture`")
    vectors: Count = told("rows of numbers that stand for words or pictures")
    outcome: str = told("how much came back, `sent`, or what went wrong")
    unix_ms: Count = told("when")


class ForgotMessage(NumberedMessage):
    """A new conversation has begun, and what the memory was asked to forget is gone."""

    type: Literal["forgot"] = "forgot"
    events: Count | None = optional("of the memory, that are gone: to the last byte")


class DeviceStateMessage(DeviceFacts, NumberedMessage):
    """What a client's device said of itself."""

    type: Literal["device"] = "device"


class ErrorMessage(ServerMessage):
    """This client's last message could not be used; numbered where it is told to all."""

    type: Literal["error"] = "error"
    reason: str = told("in words")
    seq: Count | None = optional("number, where it is told to all")


class PongMessage(ServerMessage):
    """The answer to `ping`."""

    type: Literal["pong"] = "pong"
    n: int = told("the same number")


class ByeMessage(NumberedMessage):
    """The session has ended."""

    type: Literal["bye"] = "bye"
    reason: str = told("why")


EVENTS: dict[str, type[ServerMessage]] = {  # that are told as they come from a session
    "token": TokenMessage,
    "search": SearchMessage,
    "evidence": EvidenceMessage,
    "keyframe": KeyframeMessage,
    "refused": RefusedMessage,
    "alert": AlertMessage,
    "watches": WatchesMessage,
}
