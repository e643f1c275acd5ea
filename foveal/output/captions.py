"""Which answer is on screen: one at a time, each long enough to read."""

from collections import deque
from collections.abc import Iterator

from stream.clock import NS_PER_S

MIN_NS, MAX_NS = 4 * NS_PER_S, 9 * NS_PER_S
READING_NS = 55_000_000  # a character: about 200 words a minute
MAX_WAITING = 16  # subtitles that wait for the one on screen


class Captions:
    """Subtitles by stream time; bounded, whatever the stream's length."""

    def __init__(self) -> None:
        self._waiting: deque[str] = deque(maxlen=MAX_WAITING)
        self._text: str | None = None
        self._until_ns = 0

    def add(self, text: str, now_ns: int) -> None:
        """Show a text now, or after the ones before it."""
        if self.at(now_ns) is None:
            self._show(text, now_ns)
        else:
            self._waiting.append(text)

    def at(self, now_ns: int) -> str | None:
        """What to show at that time."""
        if self._text is not None and now_ns >= self._until_ns:
            self._text = None
            if self._waiting:
                self._show(self._waiting.popleft(), now_ns)
        return self._text

    def rest(self, now_ns: int) -> Iterator[tuple[str, int]]:
        """What is still to be shown at the end, with durations in ns."""
        if self._text is not None and self._until_ns > now_ns:
            yield self._text, self._until_ns - now_ns
        while self._waiting:
            text = self._waiting.popleft()
            yield text, _reading_ns(text)
        self._text = None

    def _show(self, text: str, now_ns: int) -> None:
        self._text, self._until_ns = text, now_ns + _reading_ns(text)


def _reading_ns(text: str) -> int:
    return min(MAX_NS, max(MIN_NS, len(text) * READING_NS))
