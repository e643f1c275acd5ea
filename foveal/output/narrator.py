"""Answers aloud: sentences are spoken while an answer streams, the whole is kept as a WAV file."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from devices.speaking.speaker import Pcm, Speaker, write_wav
from devices.speaking.streaming import StreamingVoice
from stream.errors import DeviceError


class Narrator:
    """Speaks one answer after the other. Errors are the voice's own: third-party code."""

    def __init__(self, speaker: Speaker) -> None:
        self._speaker = speaker
        self._voice: StreamingVoice | None = None  # of the answer that is being made

    def begin(self) -> None:
        """An answer begins."""
        self._voice = StreamingVoice(self._speaker)

    def give_up(self) -> None:
        """The voice failed: this answer is spoken no further as it streams."""
        self._voice = None

    def say(self, words: str) -> float:
        """Speak what these words finish; seconds of sound made, 0 while a sentence is open."""
        if self._voice is None:
            return 0.0
        return sum(len(chunk) for chunk in self._voice.feed(words)) / self._speaker.sample_rate

    def write(self, text: str, path: Path) -> int:
        """Keep what was spoken of an answer, or speak all of it now; its length in ns.

        Raises DeviceError when there is nothing that can be said.
        """
        path.parent.mkdir(exist_ok=True)
        chunks = _some(self._audio(text), self._speaker.name)
        return write_wav(path, chunks, self._speaker.sample_rate)

    def _audio(self, text: str) -> Iterator[Pcm]:
        voice, self._voice = self._voice, None
        spoken = voice.finish() if voice is not None else []
        return iter(spoken) if spoken else self._speaker.synthesize(text)


def _some(chunks: Iterator[Pcm], name: str) -> Iterator[Pcm]:
    """The same chunks; raises DeviceError at once when there are none."""
    first = next(chunks, None)
    if first is None:
        raise DeviceError(f"expected speech from {name}; the answer has nothing it can say")
    return chain((first,), chunks)
