"""From a session's nouns to messages, and messages as text."""

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from foveal.live.protocol.parts import (
    VERSION,
    MaskCode,
    PictureSent,
    PointedQuestion,
    RegionState,
    RememberedMoment,
    SearchMade,
    SpanMark,
)
from foveal.live.protocol.server import EndMessage, OutgoingMessage, RegionsMessage
from stream.clock import NS_PER_MS
from stream.events import Answer, Question, Region
from stream.frame import Frame
from stream.geometry import Rle, clip_box, decode_mask, encode_mask
from stream.outgoing import Outgoing

MAX_MASK_SIDE = 192  # masks are sent no larger: a message must fit the channel at frame rate


def encode(message: Mapping[str, Any]) -> str:
    """A server's message, with its "type", as text."""
    return json.dumps({"v": VERSION, **message}, separators=(",", ":"))


def question_of(asked: PointedQuestion, asked_ns: int, size: tuple[int, int]) -> Question:
    """The question about a frame of (height, width); raises PromptError for an empty box."""
    height, width = size
    point, box = None, None
    if asked.box is not None:
        x0, y0, x1, y1 = asked.box
        edges = (int(x0 * width), int(y0 * height), math.ceil(x1 * width))
        box = clip_box((*edges, math.ceil(y1 * height)), height, width)
    elif asked.point is not None:
        x, y = asked.point
        point = min(width - 1, int(x * width)), min(height - 1, int(y * height))
    return Question(asked.text, asked_ns, point, box)


def outgoing_message(sent: Outgoing) -> OutgoingMessage:
    """What was sent to a server, for those whose session it is."""
    return OutgoingMessage(
        seam=sent.seam,
        server=sent.server,
        local=sent.local,
        words=sent.words,
        pictures=tuple(
            PictureSent(sha256=one.sha256, size_bytes=one.size_bytes) for one in sent.pictures
        ),
        vectors=sent.vectors,
        outcome=sent.outcome,
        unix_ms=sent.at_ns // NS_PER_MS,
    )


def regions_message(
    regions: Iterable[Region], frame: Frame, age_ns: int, captured_ns: int | None = None
) -> RegionsMessage:
    """All masklets of one frame; those out of view have no mask.

    `captured_ns`: when it was taken, in Unix time of its sender's clock, where that is known.
    """
    captured_ms = None if captured_ns is None else captured_ns // NS_PER_MS
    return RegionsMessage(
        pts_ms=frame.pts_ns // NS_PER_MS,
        age_ms=age_ns // NS_PER_MS,
        captured_ms=captured_ms,
        size=frame.size,
        regions=tuple(
            RegionState(
                track_id=region.track_id,
                score=round(region.score, 3),
                box=region.box,
                mask=None if region.box is None else _code(region.mask),
            )
            for region in regions
        ),
    )


def end_message(
    turn: int,
    answer: Answer,
    frame: Frame,
    timings_ms: Mapping[str, float],
    age_ms: int | None = None,
    moment: RememberedMoment | None = None,
) -> EndMessage:
    """A finished answer: what was said, what it points at, what it rests on, what it recalls.

    `age_ms`: of the picture when it was asked about, where that is worth telling.
    """
    return EndMessage(
        turn=turn,
        text=answer.text,
        sequence=answer.sequence,
        spans=tuple(
            SpanMark(start=span.start, end=span.end, track_id=span.region.track_id)
            for span in answer.spans
        ),
        searches=tuple(SearchMade.model_validate(search) for search in answer.searches),
        model=answer.model,
        size=frame.size,
        pts_ms=frame.pts_ns // NS_PER_MS,
        timings_ms={stage: round(taken, 1) for stage, taken in timings_ms.items()},
        age_ms=age_ms,
        cut=answer.cut or None,
        moment=moment,
    )


def small(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """An event's data with the mask of its region as messages carry masks."""
    region = data.get("region")
    if not region:
        return data
    mask = Rle(tuple(region["mask"]["size"]), tuple(region["mask"]["counts"]))
    return {**data, "region": {**region, "mask": _code(mask)}}


def shrink(mask: Rle) -> Rle:
    """The mask with every n-th row and column, so that no side exceeds MAX_MASK_SIDE."""
    step = -(-max(mask.size) // MAX_MASK_SIDE)
    return mask if step == 1 else encode_mask(decode_mask(mask)[::step, ::step])


def _code(mask: Rle) -> MaskCode:
    small = shrink(mask)
    return MaskCode(size=small.size, counts=small.counts)
