"""What is on screen of an answer: the sentence that is being spoken, under its question."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from stream.clock import NS_PER_S

BREATH_NS = NS_PER_S  # a sentence stays so long after its speech has ended
MIN_READING_NS, MAX_READING_NS = 4 * NS_PER_S, 9 * NS_PER_S
CHARACTER_NS = 55_000_000  # of reading: about 200 words a minute
MAX_SENTENCES = 64  # that wait for the one on screen


@dataclass(frozen=True, slots=True)
class _Caption:
    text: str
    start_ns: int
    end_ns: int  # of its speech


class Captions:
    """Captions by time in ns, of the stream or of a clock; bounded, whatever its length.

    A question takes the place of the answer before it at once, as the wearer's barge-in cuts its
    speech. Only where time stands still, after the last picture of a stream, does it wait.
    """

    def __init__(self) -> None:
        self._captions: deque[_Caption] = deque(maxlen=MAX_SENTENCES)
        self._question = ""
        self._free_ns = 0  # when the next sentence may begin
        self._shown_ns = -1  # the latest time that was asked for

    def ask(self, question: str, now_ns: int) -> None:
        """The sentences that follow answer this question."""
        self._question = question
        if now_ns > self._shown_ns:
            self.clear()
        elif self._captions:
            self._free_ns = self._captions[-1].end_ns + BREATH_NS

    def say(self, sentence: str, duration_ns: int, now_ns: int) -> None:
        """A sentence is spoken now, or when those before it have been."""
        start_ns = max(now_ns, self._free_ns)
        self._free_ns = start_ns + duration_ns
        if duration_ns > 0 and sentence.strip():
            text = f"Q: {self._question}\nA: {sentence.strip()}"
            self._captions.append(_Caption(text, start_ns, self._free_ns))

    def read(self, text: str, now_ns: int) -> None:
        """An answer that nobody speaks stays as long as it takes to read."""
        shown_ns = len(self._question + text) * CHARACTER_NS
        shown_ns = min(MAX_READING_NS, max(MIN_READING_NS, shown_ns))
        self.say(text, shown_ns - BREATH_NS, now_ns)

    def clear(self) -> None:
        """The speech was cut off."""
        self._captions.clear()
        self._free_ns = 0

    def at(self, now_ns: int) -> str | None:
        """What to show at that time; times do not go back."""
        self._shown_ns = max(self._shown_ns, now_ns)
        waiting = self._captions
        while len(waiting) > 1 and now_ns >= waiting[1].start_ns:
            waiting.popleft()
        if waiting and now_ns >= waiting[0].end_ns + BREATH_NS:
            waiting.popleft()
        return waiting[0].text if waiting and now_ns >= waiting[0].start_ns else None

    def rest(self, now_ns: int) -> Iterator[tuple[str, int]]:
        """What is still to be shown at the end, with durations in ns."""
        while self.at(now_ns) is not None:
            caption, *later = self._captions
            until_ns = later[0].start_ns if later else caption.end_ns + BREATH_NS
            yield caption.text, until_ns - now_ns
            now_ns = until_ns
