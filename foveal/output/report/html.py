"""What page.html.j2 is filled with: nouns as text and HTML. Everything written is escaped."""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from foveal.output.annotate import PALETTE, colour, name
from stream.clock import NS_PER_S
from stream.events import Span
from stream.timing.trace import StageSummary

MAX_EVIDENCE_CHARS = 600
RARE = ("asked_after_the_end",)  # told when it happened
COUNTS = ("refused", "dropped", "faults")  # keys of the summary that hold cause -> count
_TOKENS = re.compile(
    r"(</?search>|</?information>|</?region>|</?image>|<img>|</?p>|\[SEG\]|<\|[^<>|]{1,40}\|>)"
)
_UNITS = {"_s": " s", "_ms": " ms", "_mb": " MB", "_fps": " fps", "_px": " px"}


def clean(value: object) -> object:
    """Without control characters and lone surrogates, where it is not HTML already."""
    if isinstance(value, Markup):
        return value
    kept = (char for char in str(value) if char in "\n\t" or unicodedata.category(char) != "Cc")
    return "".join(kept).encode("utf-8", "replace").decode("utf-8")


def text(value: object) -> str:
    """Escaped text; control characters and lone surrogates are left out."""
    return str(escape(clean(value)))


def moment(time_ns: int) -> str:
    """A stream time as m:ss.s."""
    tenths = round(time_ns * 10 / NS_PER_S)
    return f"{tenths // 600}:{tenths // 10 % 60:02d}.{tenths % 10}"


def tone(rgb: tuple[int, int, int]) -> str:
    """A style attribute that sets an element's own colour."""
    return f'style="--tone:{_hex(rgb)}"'


def _hex(rgb: tuple[int, int, int]) -> str:
    return f"#{rgb[0]:02x}{rgb[1]:02x}{rgb[2]:02x}"


def grounded(answer: str, spans: Iterable[Span]) -> str:
    """The answer with each grounded span marked in its mask's colour.

    Spans out of the text are clipped, and of overlapping ones the first counts.
    """
    parts, done = [], 0
    for span in sorted(spans, key=lambda span: (span.start, span.end)):
        start, end = max(done, span.start), min(len(answer), span.end)
        if start >= end:
            continue
        marked = f"<mark {tone(colour(span.region.track_id))}>{text(answer[start:end])}</mark>"
        parts += [text(answer[done:start]), marked]
        done = end
    return "".join(parts) + text(answer[done:])


def sequence(decoded: str) -> str:
    """The decoded sequence with its special tokens, searches and evidence set apart."""
    parts, block = [], ""
    for piece in _TOKENS.split(decoded):
        if piece in ("<search>", "<information>") and not block:
            block = piece[1:-1]
            parts.append(f'<span class="{block}"><span class="token">{text(piece)}</span>')
        elif block and piece == f"</{block}>":
            parts.append(f'<span class="token">{text(piece)}</span></span>')
            block = ""
        elif _TOKENS.fullmatch(piece):
            parts.append(f'<span class="token">{text(piece)}</span>')
        else:
            parts.append(text(piece))
    return "".join(parts) + ("</span>" if block else "")


def facts(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The summary's plain values with what they are called."""
    told = []
    for key, value in summary.items():
        if key in (*COUNTS, "stages", "clip") or value is None or (key in RARE and not value):
            continue
        label, unit = _label(key)
        told.append((label, f"{_value(value)}{unit}"))
    return told


def stages(measured: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the table of latencies tells of each stage."""
    rows = []
    for index, (stage, one) in enumerate(measured.items()):
        row = one.as_json() if isinstance(one, StageSummary) else one
        share = 100 * min(1.0, max(0.0, float(row.get("share", 0))))
        keys = ("total_ms", "p50_ms", "p95_ms", "max_ms")
        rows.append(
            {
                "name": stage,
                "tone": _hex(PALETTE[index % len(PALETTE)]),
                "share": f"{share:.2f}",
                "count": f"{int(row.get('count', 0)):,}",
                "times": [f"{row.get(key, 0):,.1f}" for key in keys],
            }
        )
    return rows


def _label(key: str) -> tuple[str, str]:
    for suffix, unit in _UNITS.items():
        if key.endswith(suffix):
            return key.removesuffix(suffix).replace("_", " "), unit
    return key.replace("_", " "), ""


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.2f}" if abs(value) < 100 else f"{value:,.0f}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_value(item)}" for key, item in value.items()) or "-"
    if isinstance(value, list | tuple):
        return ", ".join(map(_value, value)) or "-"
    return str(value)


def _macros() -> Any:
    """The template's macros: `head`, `thumbnail`, `card` and `tail`, each to HTML."""
    folder = FileSystemLoader(Path(__file__).parent)
    environment = Environment(
        loader=folder,
        autoescape=True,
        finalize=clean,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    known = {"moment": moment, "tone": tone, "colour": colour, "name": name}
    written = {"grounded": grounded, "sequence": sequence, "most": MAX_EVIDENCE_CHARS}
    environment.globals.update(known | written)
    return environment.get_template("page.html.j2").module


macros = _macros()
