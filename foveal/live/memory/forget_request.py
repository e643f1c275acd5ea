""" "Forget the last five minutes": a wish that is obeyed, and no question."""

import re

from retrieval.memory.when import when
from stream.clock import NS_PER_S

DAY_NS = 86_400 * NS_PER_S
_WISH = re.compile(
    r"^\W*(?:(?:please|hey|ok|okay|now|foveal|could you|can you|will you)\W+)*"
    r"(?:forget|delete|erase|wipe)\s+(.+?)\W*$",
    re.IGNORECASE,
)
_ALL = re.compile(
    r"^(?:everything|all(?: of it| of that)?|it all|"
    r"all (?:that )?you(?: have|'ve)? (?:seen|remember(?:ed)?)|"
    r"(?:the|your|my) (?:whole |entire )?memory)(?: please)?$",
    re.IGNORECASE,
)
_LAST = re.compile(
    r"^(?:about |all of |what (?:you saw|happened) in )?(?:the|my)?\s*(?:last|past) (.+?)"
    r"(?: please)?$",
    re.IGNORECASE,
)


def forget_request(text: str, now_ns: int) -> int | None:
    """Since when (Unix ns) is to be forgotten, 0 for everything; None where nothing is asked.

    A span that cannot be read asks for nothing: what it was is asked again.
    """
    wish = _WISH.match(" ".join(text.replace("’", "'").split()))
    if wish is None:
        return None
    if _ALL.match(wish[1]):
        return 0
    span = _LAST.match(wish[1])
    if span is None:
        return None
    since = when(f"in the last {span[1]}", now_ns, "UTC").from_ns
    return since if since is not None and now_ns - since < 366 * DAY_NS else None
