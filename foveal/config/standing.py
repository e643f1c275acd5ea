"""Settings of standing questions."""

import re
from dataclasses import dataclass
from typing import Annotated

from pydantic import BeforeValidator

from foveal.config.reading import FilePath
from stream.bounds import Share, within

_HOURS = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)\s*-\s*([01]?\d|2[0-3]):([0-5]\d)")


def _hours(value: object) -> object:
    if value and not (isinstance(value, str) and _HOURS.fullmatch(value.strip())):
        raise ValueError(f"expected hours such as 22:00-07:00, or nothing, got {value!r}")
    return value or ""


@dataclass(frozen=True, slots=True)
class StandingSettings:
    """What a session watches for when nobody asks."""

    max_watches: Annotated[int, within(0, 64)] = 16  # of one wearer; 0: none are taken
    # Seconds of the stream from one look to the next where no keyframe comes meanwhile.
    look_every_s: Annotated[float, within(0.1, 60)] = 2.0
    sure: Share = 0.6  # probability of a look that speaks for a thing; two of three are needed
    # Local time in which nothing is spoken: alerts are sent all the same. Empty: none.
    quiet: Annotated[str, BeforeValidator(_hours)] = ""
    alerts_per_minute: Annotated[int, within(1, 600)] = 6  # that are spoken
    # Where they are kept beyond a restart of the server; null: standing.json beside its tokens.
    path: FilePath | None = None

    def is_quiet(self, minute: int) -> bool:
        """Whether a minute of the day, 0..1439, lies in the quiet hours; they may span midnight."""
        found = _HOURS.fullmatch(self.quiet.strip())
        if found is None:
            return False
        start, end = (60 * int(found[n]) + int(found[n + 1]) for n in (1, 3))
        return start <= minute < end if start <= end else minute >= start or minute < end
