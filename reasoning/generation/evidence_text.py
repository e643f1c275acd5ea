"""Evidence as words for a model: as the embedded one was trained to read it, and quoted.

Nothing an entry holds can pass for more than its own words: no angle brackets, so no special
token; no bar, so no entry beside it; no number in square brackets, so no head of another's quote.
"""

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from reasoning.generation.tokens import SEPARATOR, neutralise
from stream.events import Evidence

SEEN = "memory"  # the source of what the wearer has seen (retrieval/memory/showing.py)
MAX_PLACE = 80  # characters of where a quote is from
_NUMBERED = re.compile(r"[\[［【〔](\s*\d+\s*)[\]］】〕]")


def format_evidence(evidence: Sequence[Evidence]) -> str:
    """ "title: text | title: text", harmless whatever the entries hold.

    The embedded model was trained on this form, byte for byte. An entry's passages come nearest
    first where that is known: a model that reads only the beginning reads what is most likely to
    tell. A bar inside an entry becomes a broken bar, so that no text can pass for an entry of its
    own.
    """
    return SEPARATOR.join(_barless(neutralise(f"{one.title}: {_told(one)}")) for one in evidence)


def cite_evidence(evidence: Sequence[Evidence], first: int = 1) -> str:
    """ "[1] notes:kettle.md (your notes): Kettle: text | [2] …", harmless like `format_evidence`.

    For models that were not trained on the other form: each entry bears a number, from `first` on,
    where it is from and whose word it is.
    """
    return SEPARATOR.join(_cited(one, number) for number, one in enumerate(evidence, first))


def whose(evidence: Evidence) -> str:
    """Whose word it is, as a model is told."""
    match evidence.tier:
        case "own":
            return "your memory" if evidence.source == SEEN else "your notes"
        case "vetted":
            return "vetted"
        case _ if evidence.alone:
            return "unvetted, one page's word"
        case _:
            return f"unvetted, also in {', '.join(evidence.agreed)}"


def _cited(one: Evidence, number: int) -> str:
    said = _NUMBERED.sub(r"(\1)", neutralise(f"{one.title}: {_told(one)}"))
    head = _NUMBERED.sub(r"(\1)", neutralise(f"{_place(one)} ({whose(one)})"))
    return _barless(f"[{number}] {head}: {said}")


def _place(one: Evidence) -> str:
    """Where it is from: an address without scheme and query, else its id."""
    if one.tier == "own" and one.source == SEEN:
        return SEEN  # its events are named by random digits
    url = urlsplit(one.source)
    return (f"{url.hostname}{url.path}" if url.hostname else one.id)[:MAX_PLACE]


def _told(one: Evidence) -> str:
    return " ".join(one.nearest) or one.text


def _barless(text: str) -> str:
    return text.replace("|", "¦")
