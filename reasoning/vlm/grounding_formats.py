"""A parser that follows what a vision-language model streams: words, named places, searches.

    [the red cup](210,340,480,760)   names a thing: words, and its box (or point)
    <search>words</search>           a search; <region> is the last thing named, <image> the picture

A named thing may come in any form of reasoning/vlm/markup.py. Only what the model itself writes is
parsed. Markdown, reasoning between <think> and </think>, and markup that is not finished when the
stream ends are no words. What fits no form is words, and words lose their angle brackets before
they reach the sequence (reasoning/generation/decoding.py).
"""

from reasoning.vlm.coordinates import THOUSANDTHS, Coordinates
from reasoning.vlm.markup import EDGE, FORMS, OPENERS, ParsedPiece, PlainText

THINK, END_THINK = "<think>", "</think>"


class TagParser:
    """Takes what a model streams, gives pieces as soon as they are certain.

    How the stream is cut changes nothing but where words are broken.
    """

    def __init__(self, coordinates: Coordinates = THOUSANDTHS) -> None:
        """`coordinates`: what the model's numbers mean on its picture (`GroundingFormat.on`)."""
        self._coordinates = coordinates
        self._held = EDGE  # the last character that was taken, then those that were not
        self._thinking = False

    def push(self, text: str) -> list[ParsedPiece]:
        """Pieces that are complete; what may become markup is held back."""
        self._held += text.replace(EDGE, "")
        return self._take(final=False)

    def close(self) -> list[ParsedPiece]:
        """What is left at the end: of unfinished markup, the name that stands in it."""
        self._held += EDGE
        pieces = self._take(final=True)
        self._held, self._thinking = EDGE, False
        return pieces

    def _take(self, final: bool) -> list[ParsedPiece]:
        pieces: list[ParsedPiece] = []
        while len(self._held) > 1:
            if self._thinking:
                if not self._think():
                    break
                continue
            opened = OPENERS.search(self._held, 1)
            start = len(self._held) if opened is None else opened.start()
            self._say(pieces, start)
            if opened is not None and not self._read(pieces, final):
                break
        return pieces

    def _read(self, pieces: list[ParsedPiece], final: bool) -> bool:
        """Take what begins at the first character held; False when more has to come."""
        if self._held.startswith(THINK, 1):
            self._thinking = True
            self._drop(1 + len(THINK))
            return True
        for form in FORMS:
            match = form.match(self._held)
            if match is None or (match.partial and final):
                continue
            if match.partial:
                return False
            pieces += form.read(match, self._coordinates)
            self._drop(match.end())
            return True
        if final and (name := _unfinished(self._held)) is not None:
            pieces += [PlainText(name)] if name else []
            self._drop(len(self._held))
        else:
            self._say(pieces, 2)
        return True

    def _think(self) -> bool:
        """Leave out what is thought; False when the end of it has to come."""
        end = self._held.find(END_THINK)
        if end < 0:
            self._drop(max(1, len(self._held) - len(END_THINK)))
            return False
        self._thinking = False
        self._drop(end + len(END_THINK))
        return True

    def _say(self, pieces: list[ParsedPiece], end: int) -> None:
        text = self._held[1:end].replace(EDGE, "")
        if text:
            pieces.append(PlainText(text))
        self._drop(end)

    def _drop(self, end: int) -> None:
        self._held = self._held[end - 1 :]


def _unfinished(held: str) -> str | None:
    """The name in markup that the stream's end cut off, empty without one; None for words."""
    if not held.strip(f"{EDGE} \t\n"):
        return None
    for form in FORMS:
        for text in (held, held[:-1]):
            match = form.match(text)
            if match is not None and match.partial:
                return str(match.groupdict().get("name") or "")
    return None
