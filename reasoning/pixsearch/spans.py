"""B/I/O labels of tokens, and which tokens a loss counts: pure functions.

PixSearch, section 3 and eq. 9; the labels' rules are those of PLUM's code: B opens a span (and
closes an open one), I goes on only where one is open, O closes, the sequence's end closes.
"""

from collections.abc import Sequence
from typing import Final

OUTSIDE: Final = 0
BEGIN: Final = 1
INSIDE: Final = 2
IGNORED: Final = -100  # a token that no loss counts
MAX_SPAN = 12  # tokens: no name is longer, a tagger that never closes is not believed

Chars = tuple[int, int]  # start and end (exclusive) in characters
Tokens = tuple[int, int]  # start and end (exclusive) in tokens


def bio_labels(offsets: Sequence[Chars], entities: Sequence[Chars]) -> list[int]:
    """One label per token; a token belongs to the entity that it overlaps."""
    labels = [OUTSIDE] * len(offsets)
    for start, end in entities:
        first = True
        for place, token in enumerate(offsets):
            if _overlap(token, (start, end)):
                labels[place] = BEGIN if first else INSIDE
                first = False
    return labels


def token_spans(offsets: Sequence[Chars], entities: Sequence[Chars]) -> list[Tokens | None]:
    """The tokens of each entity, or None for one that no token overlaps."""
    found: list[Tokens | None] = []
    for entity in entities:
        inside = [place for place, token in enumerate(offsets) if _overlap(token, entity)]
        found.append((inside[0], inside[-1] + 1) if inside else None)
    return found


def counted(offsets: Sequence[Chars], masked: Sequence[Chars]) -> list[bool]:
    """Eq. 9: False for every token that overlaps a masked stretch (injected evidence)."""
    return [not any(_overlap(token, stretch) for stretch in masked) for token in offsets]


def _overlap(token: Chars, stretch: Chars) -> bool:
    return token[0] < stretch[1] and token[1] > stretch[0]
