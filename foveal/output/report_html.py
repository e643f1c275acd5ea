"""The report's parts as HTML: pure functions from nouns to text. Everything written is escaped."""

import html
import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

from foveal.output.annotate import PALETTE, colour, name
from stream.clock import NS_PER_MS, NS_PER_S
from stream.events import Answer, Evidence, SearchRecord, Span
from stream.timing.trace import StageSummary

MAX_EVIDENCE_CHARS = 600
RARE = ("asked_after_the_end",)  # told when it happened
COUNTS = ("refused", "dropped", "faults")  # keys of the summary that hold cause -> count
_TOKENS = re.compile(
    r"(</?search>|</?information>|</?region>|</?image>|<img>|</?p>|\[SEG\]|<\|[^<>|]{1,40}\|>)"
)
_UNITS = {"_s": " s", "_ms": " ms", "_mb": " MB", "_fps": " fps", "_px": " px"}


def text(value: object) -> str:
    """Escaped text; control characters and lone surrogates are left out."""
    kept = (char for char in str(value) if char in "\n\t" or unicodedata.category(char) != "Cc")
    return html.escape("".join(kept).encode("utf-8", "replace").decode("utf-8"), quote=True)


def moment(time_ns: int) -> str:
    """A stream time as m:ss.s."""
    tenths = round(time_ns * 10 / NS_PER_S)
    return f"{tenths // 600}:{tenths // 10 % 60:02d}.{tenths % 10}"


def tone(rgb: tuple[int, int, int]) -> str:
    """A style attribute that sets an element's own colour."""
    return f'style="--tone:#{rgb[0]:02x}{rgb[1]:02x}{rgb[2]:02x}"'


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


def evidence(searches: Iterable[SearchRecord]) -> str:
    """Every search with what it found."""
    parts = []
    for search in searches:
        found = "".join(map(_entry, search.evidence)) or '<li class="soft">nothing found</li>'
        parts.append(
            f'<p><span class="kind">{text(search.kind)} search</span> '
            f'<span class="query" dir="auto">{text(search.query)}</span></p>'
            f'<ol class="evidence">{found}</ol>'
        )
    return "".join(parts)


def card(number: int, answer: Answer, picture: str, audio: str) -> str:
    """One question: `picture` is a data URI, `audio` an element or nothing."""
    question = answer.question
    searches = evidence(answer.searches)
    return f"""<article class="card" id="q{number}">
<header><span class="number">{number}</span><p dir="auto">{text(question.text)}</p>
<span class="at">{moment(question.asked_ns)}{_pointing(answer)}</span></header>
<div class="sides">
<figure><img src="{picture}" alt="the frame that the answer is about">
<figcaption>{_chips(answer)}</figcaption></figure>
<div><p class="answer" dir="auto">{grounded(answer.text, answer.spans)}</p>{audio}
{_decoded(answer)}{_timings(answer)}</div></div>
{f"<h3>Evidence</h3>{searches}" if searches else ""}
</article>
"""


def _decoded(answer: Answer) -> str:
    """The decoded sequence, where it is more than the answer."""
    if answer.sequence.strip() == answer.text.strip():
        return ""
    written = sequence(answer.sequence)
    return f'<h3>Decoded sequence</h3><pre class="sequence" dir="auto">{written}</pre>'


def facts(summary: Mapping[str, Any]) -> str:
    """The summary's plain values as tiles."""
    tiles = []
    for key, value in summary.items():
        if key in (*COUNTS, "stages", "clip") or value is None or (key in RARE and not value):
            continue
        label, unit = _label(key)
        tiles.append(f"<div><dt>{text(label)}</dt><dd>{text(_value(value))}{unit}</dd></div>")
    return f'<dl class="facts">{"".join(tiles)}</dl>' if tiles else ""


def stages(measured: Mapping[str, Any]) -> str:
    """The stages' latencies as one stacked bar and a table; empty when there are none."""
    rows = {name: _figures(stage) for name, stage in measured.items()}
    if not rows:
        return ""
    tones = {name: tone(PALETTE[index % len(PALETTE)]) for index, name in enumerate(rows)}
    stack = "".join(
        f'<span {tones[name][:-1]};width:{_share(row):.2f}%" title="{text(name)}"></span>'
        for name, row in rows.items()
    )
    heads = "".join(f"<th>{head}</th>" for head in ("spans", "total", "p50", "p95", "max"))
    body = "".join(_stage_row(name, row, tones[name]) for name, row in rows.items())
    return (
        f'<h2>Where the time went</h2><div class="stack">{stack}</div>'
        f'<div class="scroll"><table><thead><tr><th>stage</th><th class="wide">share</th>{heads}'
        f"</tr></thead><tbody>{body}</tbody></table></div>"
    )


def refusals(summary: Mapping[str, Any]) -> str:
    """What was dropped, refused or repaired, by cause."""
    known = {key: summary[key] for key in COUNTS if isinstance(summary.get(key), Mapping)}
    rows = "".join(
        f"<tr><td>{text(key)}: {text(cause)}</td><td>{text(count)}</td></tr>"
        for key, causes in known.items()
        for cause, count in causes.items()
    )
    if not known:
        return ""
    table = f'<div class="scroll refused"><table><tbody>{rows}</tbody></table></div>'
    quiet = '<p class="soft">Nothing was dropped, refused or repaired.</p>'
    return f"<h2>Dropped, refused, repaired</h2>{table if rows else quiet}"


def keyframe(uri: str, pts_ns: int, reason: str, novelty: float) -> str:
    """One thumbnail of the strip."""
    return (
        f'<figure class="tone-{text(reason)}"><img src="{uri}" alt="keyframe" loading="lazy">'
        f'<figcaption><span class="dot"></span>{moment(pts_ns)} {text(reason)} '
        f"{novelty:.2f}</figcaption></figure>"
    )


def page(title: str, css: str) -> tuple[str, str]:
    """What comes before and after the report's body."""
    head = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; media-src data: 'self'; style-src 'unsafe-inline'">
<title>{text(title)} - Foveal</title>
<style>
{css}</style></head><body><main>
"""
    return head, "</main></body></html>\n"


def _entry(found: Evidence) -> str:
    body = found.text
    if len(body) > MAX_EVIDENCE_CHARS:
        body = body[:MAX_EVIDENCE_CHARS].rstrip() + "…"
    title, source = text(found.title), f"{text(found.source)} · {text(found.id)}"
    if found.source.startswith("https://"):
        title, source = f'<a href="{text(found.source)}">{title}</a>', text(found.id)
    return (
        f'<li><div class="title"><b dir="auto">{title}</b>'
        f'<span class="score">{found.score:.3f}</span></div>'
        f'<p class="soft">{source}</p><p class="passage" dir="auto">{text(body)}</p></li>'
    )


def _chips(answer: Answer) -> str:
    seen: dict[int, Span] = {}
    for span in answer.spans:
        seen.setdefault(span.region.track_id, span)
    chips = "".join(
        f'<li><span class="swatch" {tone(colour(track_id))}></span>{name(track_id)} '
        f"{text(answer.text[span.start : span.end])} {span.region.score:.2f}</li>"
        for track_id, span in seen.items()
    )
    return f'<ul class="chips">{chips}</ul>' if chips else ""


def _pointing(answer: Answer) -> str:
    question = answer.question
    if question.point is not None:
        return f" · pointing at {question.point[0]}, {question.point[1]}"
    if question.box is not None:
        return " · box " + ", ".join(map(str, question.box))
    return ""


def _timings(answer: Answer) -> str:
    chips = "".join(
        f"<li>{text(stage.replace('_', ' '))} {taken / NS_PER_MS:,.1f} ms</li>"
        for stage, taken in answer.timings_ns.items()
    )
    model = f"<li>{text(answer.model)}</li>" if answer.model else ""
    return f'<h3>Timings</h3><ul class="chips">{chips}{model}</ul>' if chips or model else ""


def _figures(stage: Any) -> dict[str, float]:
    return dict(stage.as_json() if isinstance(stage, StageSummary) else stage)


def _share(row: Mapping[str, float]) -> float:
    return 100 * min(1.0, max(0.0, float(row.get("share", 0))))


def _stage_row(name: str, row: Mapping[str, float], style: str) -> str:
    share = _share(row)
    cells = "".join(
        f"<td>{row.get(key, 0):,.1f} ms</td>" for key in ("total_ms", "p50_ms", "p95_ms", "max_ms")
    )
    return (
        f'<tr><td><span class="swatch" {style}></span>{text(name)}</td>'
        f'<td class="bar"><span {style[:-1]};width:{share:.2f}%" title="{share:.1f} %"></span></td>'
        f"<td>{int(row.get('count', 0)):,}</td>{cells}</tr>"
    )


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
