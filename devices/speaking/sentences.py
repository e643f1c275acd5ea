"""Text to speak, cut into sentences as its tokens stream in.

Nothing is lost: the pieces put together are the text. Nothing is waited for longer than needed: a
sentence is out as soon as the space after its end has come, and none is longer than `max_chars`.
"""

import re
import unicodedata

MAX_CHARS = 240  # about 15 s of speech; bounds the state and the wait for audio

_END = re.compile(r"[.!?…]+[\"”’')\]]*\s|[。！？]|\n")
_CLAUSE = re.compile(r"[,;:—–][\"”’')\]]*\s|[、，；]")
_ABBREVIATIONS = frozenset(
    re.findall(
        r"\S+",
        "mr mrs ms dr st sr jr prof gen col capt lt sgt rev gov mt ft no nos vol op c ca cf vs "
        "approx fl lit fig figs pp eq inc ltd co corp sp spp var e.g i.e a.k.a ph.d",
    )
)
_OPENERS = "\"“'‘(["


class SentenceStream:
    """Feed text deltas; get finished sentences. Where the deltas are cut does not matter.

    Holds at most `max_chars` characters between calls.
    """

    def __init__(self, max_chars: int = MAX_CHARS) -> None:
        if max_chars < 1:
            raise ValueError(f"expected max_chars of 1 or more, got {max_chars}")
        self._max_chars = max_chars
        self._pending = ""

    def feed(self, delta: str) -> list[str]:
        """Take the next piece of text; the sentences that it finishes, white space included."""
        text, start, out = self._pending + delta, 0, []
        while (end := _first_end(text, start, self._max_chars)) is not None:
            out.append(text[start:end])
            start = end
        self._pending = text[start:]
        return out

    def flush(self) -> list[str]:
        """The text has ended: what is left, and a fresh start."""
        rest, self._pending = self._pending, ""
        return [rest] if rest else []


def split_sentences(text: str, max_chars: int = MAX_CHARS) -> list[str]:
    """All sentences of a finished text; put together they are the text."""
    stream = SentenceStream(max_chars)
    return stream.feed(text) + stream.flush()


def speakable(text: str) -> str:
    """One line without control characters; empty when there is no letter or digit to say."""
    text = unicodedata.normalize("NFC", text)
    text = "".join(" " if unicodedata.category(char)[0] in "CZ" else char for char in text)
    text = " ".join(text.split())
    return text if any(char.isalnum() for char in text) else ""


def _first_end(text: str, start: int, max_chars: int) -> int | None:
    """Where the sentence at `start` ends, or None while that cannot be known yet."""
    limit = start + max_chars
    for match in _END.finditer(text, start, limit):
        if not _is_abbreviation(text, start, match):
            return match.end()
    if len(text) < limit:
        return None
    clauses = [match.end() for match in _CLAUSE.finditer(text, start, limit)]
    if clauses:
        return clauses[-1]
    space = text.rfind(" ", start, limit)
    return space + 1 if space >= start else limit


def _is_abbreviation(text: str, start: int, match: re.Match[str]) -> bool:
    """True for a single full stop after a title, an initial or a known short form."""
    if text[match.start()] != "." or match.group().endswith("\n"):
        return False
    before = max(text.rfind(space, start, match.start()) for space in " \n\t") + 1
    word = text[max(before, start) : match.start()].lstrip(_OPENERS)
    initial = len(word) == 1 and word.isupper() and word != "I"
    return initial or word.lower() in _ABBREVIATIONS
