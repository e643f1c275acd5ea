"""turn_end: pauses where they are meant to be, false cuts and waits."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from benchmarks.turn_end import PAUSES_S, hear, methods, spoken, summary
from devices.audio.pcm import HEARING_HZ, Pcm
from devices.listening.listener import ListenConfig
from devices.listening.speech_events import SpeechEnded
from foveal.setup.hearing import Hearing
from stream.clock import NS_PER_MS, NS_PER_S
from tests.doubles.devices import LevelDetector, ScriptedTranscriber, ScriptedTurns, ToneSpeaker


class TwoClauses(ToneSpeaker):
    """A tone, a comma's silence of a quarter second, a tone."""

    def synthesize(self, text: str) -> Iterator[Pcm]:
        """One after the other."""
        tone = next(iter(super().synthesize(text)))
        yield from (tone, np.zeros(self.sample_rate // 4, np.int16), tone)


async def test_a_pause_that_cuts_is_counted_and_one_that_does_not_is_not() -> None:
    turns = spoken(TwoClauses(), "Above, below?")
    assert [one.pause_ns is None for one in turns] == [True, False, False]
    for one, seconds in zip(turns[1:], PAUSES_S, strict=True):
        assert one.pause_ns is not None
        assert abs(one.pause_ns[1] - one.pause_ns[0] - seconds * NS_PER_S) < 5 * NS_PER_MS
        begin, end = (at * HEARING_HZ // NS_PER_S for at in one.pause_ns)
        assert np.abs(one.sound[begin:end]).max() < 0.02
    hearing = Hearing(LevelDetector(), ScriptedTranscriber(("look",)))
    row = summary(turns, [await hear(hearing, ListenConfig(), one) for one in turns])
    assert row["false_cuts_%"] == 50  # 0.8 s of silence ends "look", 0.4 do not
    assert 480 < row["wait_p50_ms"] < 600
    whole = ScriptedTranscriber(("look", "here."))
    patient = replace(hearing, transcriber=whole, turns=ScriptedTurns([0.01, 0.99] * 4))
    heard = [await hear(patient, ListenConfig(), one) for one in turns[1:]]
    row = summary(turns[1:], heard)
    assert row["false_cuts_%"] == 0 and row["wait_p95_ms"] < 350


def test_what_was_not_heard_is_told() -> None:
    (turn, *_) = spoken(TwoClauses(), "Above, below?")
    assert summary([turn], [[]])["missed"] == 1
    ended = SpeechEnded(0, turn.end_ns, turn.end_ns + 256 * NS_PER_MS, "silence")
    assert summary([turn], [[ended]])["wait_p50_ms"] == 256
    assert list(methods()) == ["fixed-512", "words", "voice", "both"]
