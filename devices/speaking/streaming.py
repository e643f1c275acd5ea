"""Speech while the answer is still being made: sentences are spoken as they are finished."""

from devices.audio.pcm import Pcm
from devices.speaking.sentences import SentenceStream
from devices.speaking.speaker import Speaker


class StreamingVoice:
    """Takes an answer's words as they stream; makes audio a sentence at a time."""

    def __init__(self, speaker: Speaker) -> None:
        self._speaker = speaker
        self._sentences = SentenceStream()
        self._chunks: list[Pcm] = []  # of one answer, which the token limit bounds
        self._said: list[tuple[str, int]] = []  # its sentences, and their samples
        self.sentences: list[tuple[str, int]] = []  # of the answer that has ended last

    def feed(self, words: str) -> list[Pcm]:
        """The audio of the sentences that these words finish, [samples] int16 each."""
        return self._speak(self._sentences.feed(words))

    def finish(self) -> list[Pcm]:
        """The answer has ended: all of its audio, and a fresh start."""
        self._speak(self._sentences.flush())
        chunks, self._chunks = self._chunks, []
        self.sentences, self._said = self._said, []
        return chunks

    def _speak(self, sentences: list[str]) -> list[Pcm]:
        before = len(self._chunks)
        for words in sentences:
            chunks = list(self._speaker.synthesize(words))
            self._chunks += chunks
            self._said.append((words, sum(map(len, chunks))))
        return self._chunks[before:]
