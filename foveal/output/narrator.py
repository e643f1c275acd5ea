"""Answers aloud: sentences are spoken while an answer streams, the whole is kept as a WAV file."""

from pathlib import Path

from devices.audio.wav import write_wav
from devices.speaking.speaker import Speaker
from devices.speaking.streaming import StreamingVoice
from stream.clock import NS_PER_S
from stream.errors import DeviceError

Sentence = tuple[str, int]  # words, and how long they take to say in ns


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

    def write(self, text: str, path: Path) -> tuple[int, list[Sentence]]:
        """Keep what was spoken of an answer, or speak all of it now.

        Returns its length in ns, and its sentences. Raises DeviceError when there is nothing that
        can be said.
        """
        path.parent.mkdir(exist_ok=True)
        voice, self._voice = self._voice, None
        chunks = voice.finish() if voice is not None else []
        if voice is None or not chunks:
            voice = StreamingVoice(self._speaker)
            voice.feed(text)
            chunks = voice.finish()
        if not chunks:
            name = self._speaker.name
            raise DeviceError(f"expected speech from {name}; the answer has nothing it can say")
        rate = self._speaker.sample_rate
        spoken = [(words, count * NS_PER_S // rate) for words, count in voice.sentences]
        return write_wav(path, chunks, rate), spoken
