"""Messages of a live session: JSON objects with a version and a type. See docs/protocol.md."""

import json
import math
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from stream.clock import NS_PER_MS
from stream.errors import PromptError
from stream.events import (
    MAX_QUESTION_CHARS,
    Answer,
    NetworkType,
    Question,
    Region,
    ThermalState,
)
from stream.geometry import Rle, clip_box, decode_mask, encode_mask

VERSION = 1
MAX_MESSAGE_CHARS = 8192
MAX_MASK_SIDE = 192  # masks are sent no larger: a message must fit the channel at frame rate
MAX_EVIDENCE_CHARS = 600


@dataclass(frozen=True, slots=True)
class Ask:
    """A question; `point` and `box` are shares 0..1 of the picture's width and height."""

    text: str
    point: tuple[float, float] | None = None
    box: tuple[float, float, float, float] | None = None

    def question(self, asked_ns: int, size: tuple[int, int]) -> Question:
        """The question about a frame of (height, width); raises PromptError for an empty box."""
        height, width = size
        point, box = None, None
        if self.point is not None:
            x, y = self.point
            point = min(width - 1, int(x * width)), min(height - 1, int(y * height))
        if self.box is not None:
            x0, y0, x1, y1 = self.box
            edges = (int(x0 * width), int(y0 * height), math.ceil(x1 * width))
            box = clip_box((*edges, math.ceil(y1 * height)), height, width)
        return Question(self.text, asked_ns, point, box)


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop speaking."""


@dataclass(frozen=True, slots=True)
class Forget:
    """Start a new conversation."""


@dataclass(frozen=True, slots=True)
class Ping:
    """Asks for a sign of life."""

    number: int


@dataclass(frozen=True, slots=True)
class Record:
    """Start or stop recording; `keep`: let the one that runs go on for longer."""

    on: bool
    keep: bool = False


@dataclass(frozen=True, slots=True)
class Talk:
    """Push-to-talk: the button is down, or up again; `open_mic`: listen all the time."""

    on: bool
    open_mic: bool = False


@dataclass(frozen=True, slots=True)
class Device:
    """What the device says of itself."""

    state: dict[str, float | bool | str]


ClientMessage = Ask | Stop | Forget | Ping | Record | Talk | Device


def parse(message: object) -> ClientMessage:
    """What a client says; raises PromptError on anything else than docs/protocol.md describes."""
    if not isinstance(message, str) or len(message) > MAX_MESSAGE_CHARS:
        raise PromptError(f"expected JSON text of at most {MAX_MESSAGE_CHARS} characters")
    try:
        data = json.loads(message)
    except (ValueError, RecursionError) as error:
        raise PromptError(f"expected a JSON object, got: {type(error).__name__}") from error
    if not isinstance(data, dict) or data.get("v") != VERSION:
        raise PromptError(f'expected a JSON object with "v": {VERSION}')
    kind = data.get("type")
    if kind == "ask":
        return _ask(data)
    if kind in ("stop", "forget"):
        return Stop() if kind == "stop" else Forget()
    if kind == "ping":
        number = data.get("n", 0)
        if type(number) is not int or abs(number) > 2**53:
            raise PromptError('expected an integer "n"')
        return Ping(number)
    if kind == "record":
        return Record(_flag(data, "on"), "keep" in data and _flag(data, "keep"))
    if kind == "talk":
        return Talk(_flag(data, "on"), "open_mic" in data and _flag(data, "open_mic"))
    if kind == "device":
        return _device(data)
    raise PromptError('expected a "type" of ask, stop, forget, ping, record, talk or device')


def encode(message: Mapping[str, Any]) -> str:
    """A server's message, with its "type", as text."""
    return json.dumps({"v": VERSION, **message}, separators=(",", ":"))


def regions_data(
    regions: Iterable[Region], pts_ns: int, size: tuple[int, int], age_ns: int
) -> dict[str, Any]:
    """All masklets of one frame of (height, width); those out of view have no mask."""
    return {
        "pts_ms": pts_ns // NS_PER_MS,
        "age_ms": age_ns // NS_PER_MS,
        "size": list(size),
        "regions": [
            {
                "track_id": region.track_id,
                "score": round(region.score, 3),
                "box": list(region.box) if region.box is not None else None,
                "mask": shrink(region.mask).as_json() if region.box is not None else None,
            }
            for region in regions
        ],
    }


def answer_data(answer: Answer) -> dict[str, Any]:
    """A finished answer: what was said, what it points at, what it rests on."""
    return {
        "text": answer.text,
        "sequence": answer.sequence,
        "spans": [
            {"start": span.start, "end": span.end, "track_id": span.region.track_id}
            for span in answer.spans
        ],
        "searches": [
            {
                "kind": search.kind,
                "query": search.query,
                "evidence": [
                    {
                        "id": item.id,
                        "title": item.title,
                        "text": item.text[:MAX_EVIDENCE_CHARS],
                        "score": round(item.score, 4),
                        "source": item.source,
                    }
                    for item in search.evidence
                ],
            }
            for search in answer.searches
        ],
        "model": answer.model,
    }


def shrink(mask: Rle) -> Rle:
    """The mask with every n-th row and column, so that no side exceeds MAX_MASK_SIDE."""
    step = -(-max(mask.size) // MAX_MASK_SIDE)
    return mask if step == 1 else encode_mask(decode_mask(mask)[::step, ::step])


def _ask(data: Mapping[str, Any]) -> Ask:
    text = data.get("text")
    if not isinstance(text, str) or len(text) > MAX_QUESTION_CHARS:
        raise PromptError(f'expected a "text" of at most {MAX_QUESTION_CHARS} characters')
    # Control characters and lone surrogates would break tokenizers and terminals.
    plain = "".join(" " if unicodedata.category(c) in ("Cc", "Cs") else c for c in text).strip()
    if not any(char.isalnum() for char in plain):
        raise PromptError('expected a question with words as "text"')
    point, box = data.get("point"), data.get("box")
    if box is not None:
        x0, y0, x1, y1 = _shares("box", box, 4)
        if x1 <= x0 or y1 <= y0:
            raise PromptError('expected a "box" [x0, y0, x1, y1] with x0 < x1 and y0 < y1')
        return Ask(plain, None, (x0, y0, x1, y1))
    if point is not None:
        x, y = _shares("point", point, 2)
        return Ask(plain, (x, y))
    return Ask(plain)


def _flag(data: Mapping[str, Any], name: str) -> bool:
    value = data.get(name)
    if not isinstance(value, bool):
        raise PromptError(f'expected "{name}" to be true or false')
    return value


def _device(data: Mapping[str, Any]) -> Device:
    """Known facts only, of the right type; the others are left out."""
    state: dict[str, float | bool | str] = {}
    battery = data.get("battery")
    if isinstance(battery, int | float) and not isinstance(battery, bool) and 0 <= battery <= 1:
        state["battery"] = round(float(battery), 3)
    if isinstance(data.get("charging"), bool):
        state["charging"] = data["charging"]
    for name, allowed in (("thermal", get_args(ThermalState)), ("network", get_args(NetworkType))):
        if data.get(name) in allowed:
            state[name] = data[name]
    if not state:
        raise PromptError('expected "battery", "charging", "thermal" or "network" of a device')
    return Device(state)


def _shares(name: str, values: object, count: int) -> list[float]:
    given = values if isinstance(values, list) else []
    if len(given) != count or not all(type(v) in (int, float) and 0 <= v <= 1 for v in given):
        raise PromptError(f'expected "{name}" as {count} numbers from 0 to 1')
    return [float(value) for value in given]
