"""Spans of a whole label sequence, to hold what is found while decoding against."""

from collections.abc import Sequence

from reasoning.pixsearch.spans import BEGIN, INSIDE, MAX_SPAN, OUTSIDE, Tokens


def extract_spans(labels: Sequence[int], longest: int = MAX_SPAN) -> list[Tokens]:
    """Spans of a label sequence, in order.

    An I without an open span is no span. A span of more than `longest` tokens is dropped whole: cut
    short it would name something else.
    """
    found: list[Tokens] = []
    opened: int | None = None
    for place, label in enumerate([*labels, OUTSIDE]):
        if opened is not None and label != INSIDE:
            if place - opened <= longest:
                found.append((opened, place))
            opened = None
        if label == BEGIN:
            opened = place
    return found
