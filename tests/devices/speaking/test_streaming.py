"""Speech while the answer streams."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from devices.speaking.streaming import StreamingVoice
from tests.doubles.devices import ToneSpeaker


def test_first_sentence_is_audible_before_the_answer_ends() -> None:
    voice = StreamingVoice(ToneSpeaker())
    assert voice.feed("This is a cup.") == []
    first = voice.feed(" It may")
    assert sum(len(chunk) for chunk in first) > 0
    assert sum(len(c) for c in voice.finish()) > sum(len(c) for c in first)
    assert voice.finish() == []


@given(st.lists(st.text(max_size=12), max_size=12))
def test_streamed_audio_is_the_same_however_the_words_are_cut(deltas: list[str]) -> None:
    cut, whole = StreamingVoice(ToneSpeaker()), StreamingVoice(ToneSpeaker())
    for delta in deltas:
        cut.feed(delta)
    whole.feed("".join(deltas))
    silence = np.zeros(0, np.int16)
    left = np.concatenate([silence, *cut.finish()])
    right = np.concatenate([silence, *whole.finish()])
    assert np.array_equal(left, right)
