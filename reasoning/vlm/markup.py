"""The forms in which vision-language models write places, as patterns that can wait for more text.

Each form is tried where its text begins; `regex` tells a text that does not fit from one that may
still come to fit, so that a stream can be read as it comes. `supervision` reads the finished forms
that it knows.
"""

import ast
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import regex
import supervision.detection.vlm as written
from transformers.models.kosmos2.processing_kosmos2 import patch_index_to_coordinate

from reasoning.generation.grammar import Call, read_payload
from reasoning.generation.tokens import END_SEARCH, IMAGE, SEARCH, neutralise
from reasoning.vlm import mask_codes
from reasoning.vlm.coordinates import PATCHES, SCALE, THOUSANDTHS, Coordinates
from stream.errors import GrammarError

EDGE = "\0"  # stands before the first character of a stream and behind the last one
PICTURE = "<picture>"  # for <image> in a search: to some models that word is a picture itself
SQUARE = (SCALE, SCALE)
MAX_NAME, MAX_TAG, MAX_JSON = 120, 400, 4000  # characters
NUMBER = r"-?\d{1,5}(?:\.\d{1,4})?"


@dataclass(frozen=True, slots=True)
class PlainText:
    """Words."""

    text: str


@dataclass(frozen=True, slots=True)
class NamedPlace:
    """Words that name a thing, and where it is: (x, y) or (x0, y0, x1, y1) in thousandths.

    Without words, the place is that of the words before it.
    """

    text: str
    place: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class NamedCodes:
    """Words that name a thing, and the codes of its mask (reasoning/vlm/mask_codes.py).

    Without words, the mask is that of the words before it.
    """

    text: str
    codes: tuple[int, ...]


ParsedPiece = PlainText | NamedPlace | NamedCodes | Call
Read = Callable[["regex.Match[str]", Coordinates], Sequence[ParsedPiece]]


@dataclass(frozen=True, slots=True)
class Form:
    """One thing that is not plain words."""

    pattern: "regex.Pattern[str]"
    read: Read
    limit: int = MAX_TAG  # characters that it may take

    def match(self, held: str) -> "regex.Match[str] | None":
        """The form at the second character held, the first is what stands before it.

        A `partial` match may still come to fit; None never does.
        """
        match = self.pattern.match(held, 1, 1 + self.limit, partial=True)
        return None if match and match.partial and len(held) > self.limit else match


def _form(pattern: str, read: Read, limit: int = MAX_TAG) -> Form:
    return Form(regex.compile(pattern, regex.DOTALL), read, limit)


def _search(match: "regex.Match[str]", _: Coordinates) -> Sequence[ParsedPiece]:
    try:
        call = read_payload(match["payload"].replace(PICTURE, IMAGE))
    except GrammarError:
        return ()  # an empty or mixed payload asks for nothing
    return (call,) if call.kind != "text" or neutralise(call.payload) else ()


def after_search(text: str, call: Call) -> int:
    """Where a search for a call ends in what was written; its length where there is none."""
    for match in _SEARCHES.finditer(text):
        if call in _search(match, THOUSANDTHS):
            return int(match.end())
    return len(text)


def _nothing(match: "regex.Match[str]", _: Coordinates) -> Sequence[ParsedPiece]:
    return ()


def _name_only(match: "regex.Match[str]", _: Coordinates) -> Sequence[ParsedPiece]:
    return (PlainText(match["name"]),)


def _numbers(text: str) -> list[float]:
    return [float(number) for number in regex.findall(NUMBER, text)]


def _named(name: str, places: Sequence[Sequence[float]], on: Coordinates) -> list[ParsedPiece]:
    """A name with its first place; more places of the same thing follow without words."""
    name = name.strip().strip("*`")
    good = [on.thousandths(place) for place in places if len(place) in (2, 4)]
    if not good:
        return [PlainText(name)] if name else []
    return [NamedPlace(name, good[0]), *(NamedPlace("", place) for place in good[1:])]


def _ours(match: "regex.Match[str]", on: Coordinates) -> Sequence[ParsedPiece]:
    return _named(match["name"], [_numbers(match["numbers"])], on)


def _boxes(match: "regex.Match[str]", _: Coordinates) -> Sequence[ParsedPiece]:
    """InternVL's and Qwen2-VL's boxes, always in thousandths."""
    numbers = _numbers(match["numbers"])
    return _named(match["name"] or "", _by(4, numbers), THOUSANDTHS)


def _deepseek(match: "regex.Match[str]", _: Coordinates) -> Sequence[ParsedPiece]:
    try:
        boxes, _ids, _names = written.from_deepseek_vl_2(match.group(), SQUARE)
    except ValueError:
        boxes = ()
    return _named(match["name"], boxes, THOUSANDTHS)


def _paligemma(match: "regex.Match[str]", _: Coordinates) -> Sequence[ParsedPiece]:
    boxes, _ids, _names = written.from_paligemma(f"{match['numbers']} x", SQUARE)
    return _named(match["name"], boxes, THOUSANDTHS)


def _samtok(match: "regex.Match[str]", _: Coordinates) -> Sequence[ParsedPiece]:
    return (NamedCodes((match["name"] or "").strip(), mask_codes.read(match["numbers"])),)


def _florence(match: "regex.Match[str]", _: Coordinates) -> Sequence[ParsedPiece]:
    return _named("", [_numbers(match.group())], THOUSANDTHS)


def _kosmos(match: "regex.Match[str]", _: Coordinates) -> Sequence[ParsedPiece]:
    indices = [int(number) for number in _numbers(match["numbers"])]
    corners = (patch_index_to_coordinate(*pair, PATCHES) for pair in _by(2, indices))
    return _named(match["name"] or "", list(corners), Coordinates(1, 1))


def _molmo(match: "regex.Match[str]", _: Coordinates) -> Sequence[ParsedPiece]:
    told, name = match["told"], match["name"] or ""
    if coords := regex.search(r'coords="([^"]*)"', told):
        # The picture's number, then a number, x and y of each point.
        points = [triple[1:] for triple in _by(3, _numbers(coords[1])[1:])]
        return _named(name, points, THOUSANDTHS)
    pairs = _by(2, [float(value) for _, value in regex.findall(rf'([xy])\d*="({NUMBER})"', told)])
    return _named(name, pairs, Coordinates(100, 100))


def _json(match: "regex.Match[str]", on: Coordinates) -> Sequence[ParsedPiece]:
    """A list of things as Qwen and Gemini write it: the names, with commas between."""
    found = _json_places(match.group(), on)
    pieces: list[ParsedPiece] = []
    for number, (name, place) in enumerate(found):
        if number and name:
            pieces.append(PlainText(", "))
        pieces.append(NamedPlace(name, place))
    value = _loaded(match.group())
    said = match.group() if value is None else ", ".join(_words(value))
    return pieces or [PlainText(said)]


def _json_places(text: str, on: Coordinates) -> list[tuple[str, tuple[float, ...]]]:
    listed = f"[{text}]" if text.startswith("{") else text
    try:
        boxes, _ids, names = written.from_qwen_2_5_vl(listed, _whole(on), SQUARE)
        if not len(boxes):
            boxes, _ids, names = written.from_google_gemini_2_0(listed, SQUARE)
        if len(boxes):
            rows = ([float(value) for value in box] for box in boxes)
            return [
                (str(name), THOUSANDTHS.thousandths(row))
                for name, row in zip(names, rows, strict=True)
            ]
    except (ValueError, TypeError, IndexError, KeyError):
        pass  # of another shape than supervision knows
    return _entries(_loaded(listed), on)


def _whole(on: Coordinates) -> tuple[int, int]:
    """What supervision divides by: at least a pixel."""
    return max(1, round(on.width)), max(1, round(on.height))


def _entries(value: Any, on: Coordinates) -> list[tuple[str, tuple[float, ...]]]:
    """Points, and boxes without a label, which supervision leaves out."""
    found: list[tuple[str, tuple[float, ...]]] = []
    for one in value if isinstance(value, list) else ():
        if not isinstance(one, dict):
            continue
        name = str(one.get("label") or one.get("name") or "")
        for key, numbers in one.items():
            place = _place(key, numbers, on)
            if place:
                found.append((name, place))
                break
    return found


def _place(key: str, numbers: Any, on: Coordinates) -> tuple[float, ...]:
    ways = {
        "bbox_2d": Coordinates(on.width, on.height),
        "point_2d": Coordinates(on.width, on.height),
        "box_2d": Coordinates(y_first=True),
        "point": on,
        "bbox": on,
        "box": on,
    }
    good = (
        key in ways
        and isinstance(numbers, list)
        and len(numbers) in (2, 4)
        and all(isinstance(number, int | float) for number in numbers)
    )
    return ways[key].thousandths(numbers) if good else ()


def _loaded(text: str) -> Any:
    """JSON, or what Python would write; None for neither."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


def _words(value: Any) -> list[str]:
    """The texts in a JSON value that names no place: what of it can be said."""
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for one in inner for text in _words(one)]


def _by(count: int, numbers: Sequence[Any]) -> list[Sequence[Any]]:
    return [numbers[n : n + count] for n in range(0, len(numbers) - count + 1, count)]


_NAME = rf"(?P<name>[^\[\]\n]{{1,{MAX_NAME}}})"
_INNER = rf"(?P<name>[^<>]{{1,{MAX_NAME}}})"
_LIST = r"(?P<numbers>[\[\](),.\d\s-]{1,200})"
_TAGS = (
    r"ref|box|quad|poly|p|phrase|object|grounding|delimiter_of_multi_objects/|points?|tracks?"
    r"|think|s|eos|bos|pad|end_of_turn|start_of_turn"
)
# A mask whose end is missing ends before the next thing that is none of its codes.
_MASK = (
    rf"<\|mt_start\|>(?P<numbers>(?:<\|mt_\d{{4}}\|>){{1,{mask_codes.MOST}}})"
    r"(?:<\|mt_end\|>|(?=[^<]|<[^|]|<\|[^m]|<\|m[^t]|<\|mt[^_]|<\|mt_s))"
)
OPENERS = regex.compile(rf"[<\[{{(*`]|(?<=[\n{EDGE}])[ \t#>+\-•]")  # where a form may begin
_SEARCHES = regex.compile(rf"{SEARCH}(?P<payload>.*?){END_SEARCH}", regex.DOTALL)
FORMS = (
    Form(_SEARCHES, _search),
    _form(rf"<ref>{_INNER}</ref>\s*<box>{_LIST}</box>", _boxes),
    _form(
        rf"<\|object_ref_start\|>{_INNER}<\|object_ref_end\|><\|box_start\|>{_LIST}<\|box_end\|>",
        _boxes,
    ),
    _form(rf"<\|object_ref_start\|>{_INNER}<\|object_ref_end\|>\s*{_MASK}", _samtok),
    _form(rf"{_MASK}(?P<name>){{0}}", _samtok),
    _form(rf"<box>{_LIST}</box>(?P<name>){{0}}", _boxes),
    _form(rf"<\|ref\|>{_INNER}<\|/ref\|>\s*<\|det\|>{_LIST}<\|/det\|>", _deepseek),
    _form(
        r"(?P<numbers>(?:<loc\d{4}>){4})(?:<seg\d{3}>){0,16}[ \t]*"
        rf"(?P<name>[^<>;,.!?\n{EDGE}]{{0,{MAX_NAME}}}[^<>;,.!?\s{EDGE}])"
        rf"(?=[ \t]*[<;,.!?\n{EDGE}])",
        _paligemma,
    ),
    _form(r"(?:<loc_\d{1,3}>){4}", _florence),
    _form(
        rf"<phrase>{_INNER}</phrase>\s*<object>"
        r"(?P<numbers>(?:<[a-z_]+\d{4}>|</delimiter_of_multi_objects/>)+)</object>",
        _kosmos,
    ),
    _form(rf"<(?P<tag>points?)\s(?P<told>[^<>]{{1,300}})>{_INNER}</(?P=tag)>", _molmo),
    _form(r"<points?\s(?P<told>[^<>]{1,300})/>(?P<name>){0}", _molmo),
    _form(rf"</?(?:{_TAGS})(?:\s[^<>]{{0,300}})?>", _nothing),
    _form(r"<\|[^<>|\s]{1,40}\|>|<(?:loc_?|patch_index_|seg)\d{1,4}>", _nothing),
    _form(
        r"(?=\[\s*\{|\{\s*[\"'])"
        r"(?P<v>\{(?:\"(?:[^\"\\]|\\.)*+\"|[^{}\[\]\"]|(?&v))*+\}"
        r"|\[(?:\"(?:[^\"\\]|\\.)*+\"|[^{}\[\]\"]|(?&v))*+\])",
        _json,
        MAX_JSON,
    ),
    _form(r"\[SEG\]", _nothing),
    _form(rf"\[{_NAME}\]\(\s*\[?(?P<numbers>{NUMBER}(?:\s*,\s*{NUMBER}){{1,3}})\s*\]?\)", _ours),
    _form(rf"\[{_NAME}\]\([^()\n]{{0,200}}\)", _name_only),
    _form(rf"\[{_NAME}\](?=[^(])", _name_only),
    _form(
        r"(?P<numbers>\(\d{1,4},\s?\d{1,4}\),\s?\(\d{1,4},\s?\d{1,4}\))(?P<name>){0}",
        _boxes,
    ),
    # Markdown: fences with their language, code, headings and bullets at the start of a line, bold.
    _form(r"`{3,}[a-zA-Z]*[ \t]*(?=[\n\[{])", _nothing),
    _form(r"`", _nothing),
    _form(rf"(?<=[\n{EDGE}])[ \t]*(?:[-+*•>]|#{{1,6}})[ \t]+(?=[^ \t])", _nothing),
    _form(r"\*\*+(?=[^*\d])|(?<=\D)\*\*+(?=[^*])", _nothing),
    _form(rf"(?<=[^\s\d*{EDGE}])\*(?=[^*])|\*(?=[^\W\d])", _nothing),
)
