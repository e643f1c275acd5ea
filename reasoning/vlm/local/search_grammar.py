"""The search grammar over a model's own words: which token may come next.

Vocabularies of published models have no token for `<search>`, so the grammar looks at the text that
a token would make. Inside a call only `<region>`, `<image>` or words may come, then `</search>`; a
call that would grow too long is closed. Once no search may be made, `<search` is not begun. Nothing
else is constrained.
"""

from collections.abc import Callable

from torch import Tensor

from reasoning.generation.tokens import END_SEARCH, IMAGE, REGION, SEARCH

TRIES = 64  # likeliest tokens that are looked at before a call is closed by force
BEGUN = SEARCH[:-1]
Tags = tuple[str, ...]  # what may stand in a call beside words
TAGS: Tags = (REGION, IMAGE)


def payload(text: str) -> str | None:
    """What stands in a call that is open at the end of a text; None where none is."""
    _, tag, inner = text.partition(SEARCH)
    return inner.lstrip() if tag else None


def allows(text: str, may_search: bool, tags: Tags = TAGS) -> bool:
    """Whether a text may stand as it is, or become one that may."""
    inner = payload(text)
    if inner is None or not may_search:
        return may_search or BEGUN not in text
    for tag in tags:
        behind = inner.removeprefix(tag).lstrip()
        if tag.startswith(inner) or (inner.startswith(tag) and END_SEARCH.startswith(behind)):
            return True
    words, bracket, rest = inner.partition("<")
    return (
        bool(words.strip())
        and ">" not in words
        and END_SEARCH.startswith(f"{bracket}{rest}" or "<")
    )


def closing(text: str, tags: Tags = TAGS) -> str:
    """What closes the call that is open at the end of a text that `allows` allowed."""
    inner = payload(text) or ""
    for tag in tags:
        if tag.startswith(inner):
            return tag[len(inner) :] + END_SEARCH
        if inner.startswith(tag):
            return END_SEARCH[len(inner.removeprefix(tag).lstrip()) :]
    _, bracket, rest = inner.partition("<")
    return END_SEARCH[len(bracket + rest) :]


def likeliest(logits: Tensor, allowed: Callable[[int], bool]) -> int | None:
    """The likeliest token of [V] logits that is allowed; None where none of the first few is."""
    best = int(logits.argmax())
    if allowed(best):
        return best
    for token in logits.topk(min(TRIES, len(logits))).indices.tolist():
        if allowed(token):
            return int(token)
    return None
