"""A finished answer of an assistant as the segments of a record."""

from collections.abc import Callable, Iterator, Sequence

from reasoning.data.records import Entity, Information, SearchCall, Segment, Words
from reasoning.generation.grammar import parse, read_payload
from stream.events import Answer, Span
from stream.geometry import Rle

MaskOf = Callable[[Rle], Rle]


def segments_of(answer: Answer, mask_of: MaskOf = lambda mask: mask) -> tuple[Segment, ...]:
    """Words, entities, calls and evidence as they were decoded; raises GrammarError.

    `mask_of` may give a better mask for the one that the assistant made.
    """
    sequence = answer.sequence
    segments: list[Segment] = []
    searches = iter(answer.searches)
    # Spans count in the text that is heard, which begins without the sequence's first space.
    heard = -_lead(sequence)
    for part in parse(sequence):
        text = sequence[part.start : part.end]
        if part.kind == "payload":
            call = read_payload(text)
            segments.append(SearchCall(call.kind, call.payload))
        elif part.kind == "information":
            ids = tuple(one.id for one in next(searches).evidence)
            segments.append(Information(text.strip(), ids))
        else:
            segments += _split(text, heard, answer.spans, mask_of)
            heard += len(text)
    return tuple(segments)


def _lead(sequence: str) -> int:
    first = next((part for part in parse(sequence) if part.kind == "text"), None)
    text = sequence[first.start : first.end] if first else ""
    return len(text) - len(text.lstrip())


def _split(text: str, first: int, spans: Sequence[Span], mask_of: MaskOf) -> Iterator[Segment]:
    """Words and entities of a stretch; the space before an entity belongs to the entity."""
    place = 0
    for span in spans:
        start, end = span.start - first, span.end - first
        if start < place or end > len(text) or end <= start:
            continue
        begin = start - 1 if start > place and text[start - 1] == " " else start
        if begin > place:
            yield Words(text[place:begin])
        yield Entity(text[begin:end], mask_of(span.region.mask))
        place = end
    if text[place:]:
        yield Words(text[place:])
