"""voice_turn: where speech begins and ends, summaries, and one turn through the chain."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.voice_chain import Chain, Interruption, Turn, interrupt, take_turn
from benchmarks.voice_path import PathConfig, carry
from benchmarks.voice_questions import cough, from_folder, place
from benchmarks.voice_turn import barge_summary, goals_met, methods, summary
from devices.audio.pcm import Pcm
from devices.audio.wav import write_wav
from devices.listening.listener import ListenConfig
from foveal.setup.hearing import Hearing
from stream.clock import NS_PER_MS
from stream.errors import ConfigError
from stream.events import Answer, AnswerEvent, Question
from tests.doubles.devices import LevelDetector, ScriptedTranscriber, ToneSpeaker

RATE = 48_000


def tone(seconds: float) -> Pcm:
    sound: Pcm = (9000 * np.sin(np.arange(round(RATE * seconds)) * 0.1)).astype(np.int16)
    return sound


def test_the_end_of_a_question_is_its_last_audible_sample() -> None:
    sound = np.concatenate([np.zeros(4800, np.int16), tone(0.5), np.full(9600, 3, np.int16)])
    spoken = place("What?", "tone", sound, RATE)
    assert abs(spoken.start_ns - 500 * NS_PER_MS) < NS_PER_MS
    assert abs(spoken.end_ns - 1000 * NS_PER_MS) < NS_PER_MS
    assert len(spoken.sound) == spoken.end_ns * RATE // 10**9


def test_recorded_questions_need_a_transcript(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="WAV files"):
        from_folder(tmp_path)
    write_wav(tmp_path / "a.wav", [tone(0.5)], RATE)
    with pytest.raises(ConfigError, match="transcript"):
        from_folder(tmp_path)
    (tmp_path / "a.txt").write_text("What is this?\n")
    assert [one.text for one in from_folder(tmp_path)] == ["What is this?"]


def test_a_summary_counts_what_was_not_understood() -> None:
    spoken = place("What is this?", "tone", tone(0.5), RATE)
    parts = dict.fromkeys(("endpoint", "transcription", "words", "synthesis", "playout"), 100)
    heard = Turn(spoken, "what is it", first_audio_ns=500 * NS_PER_MS, parts_ns=parts)
    heard.first_answer_ns = 700 * NS_PER_MS
    row = summary([heard, Turn(spoken)])
    assert (row["turns"], row["answered"], row["wer"]) == (2, 1, 4 / 6)
    assert (row["first_audio_p95_ms"], row["first_answer_p50_ms"]) == (500, 700)
    barge = barge_summary(
        [Interruption(True, 90 * NS_PER_MS, 20 * NS_PER_MS), Interruption(False)],
        Interruption(False, lost_ns=5 * NS_PER_MS),
    )
    assert (barge["stopped"], barge["heard_after_max_ms"], barge["lost_ms"]) == (1, 20, 5)
    assert not methods()["fixed-500"].listen.drafts


class Parrot:
    """An assistant that repeats the question."""

    def forget(self) -> None:
        pass

    def ask(self, question: Question, view: object, on_event: Any) -> Answer:
        text = f"You asked {question.text}"
        on_event(AnswerEvent("token", 0, {"text": text, "spoken": True}))
        return Answer(question, text, text, (), ())


async def test_a_turn_and_an_interruption() -> None:
    spoken = place("What is this?", "tone", tone(0.8), RATE)
    transcriber = ScriptedTranscriber(("What", "is", "this?"))
    hearing = Hearing(LevelDetector(), transcriber)
    with ThreadPoolExecutor(1) as brain, ThreadPoolExecutor(1) as lips:
        assistant: Any = Parrot()
        view: Any = None
        chain = Chain(hearing, assistant, view, ToneSpeaker(), brain, lips)
        async with chain.running(ListenConfig(), None):
            turn = await take_turn(chain, spoken)
            assert (turn.heard, turn.said) == ("What is this?", "You asked What is this?")
            assert turn.first_audio_ns is not None
            assert turn.first_audio_ns == turn.first_answer_ns == sum(turn.parts_ns.values())
            assert turn.parts_ns["endpoint"] >= 250 * NS_PER_MS - 32 * NS_PER_MS
            cut = await interrupt(chain, spoken)
            assert cut.stopped
            transcriber.script = ("",)
            assert await interrupt(chain, cough()) == Interruption(stopped=False)


@pytest.mark.parametrize("stock", [False, True])
async def test_a_microphone_over_a_network_that_loses(stock: bool) -> None:
    """What was lost and how late the rest is, by the connection's own packets."""
    figures = await carry(PathConfig(0.05, stock), tone(3))
    assert 2 < figures["packets_lost_%"] <= 5
    assert figures["delay_p95_ms"] >= figures["delay_p50_ms"] > 0
    if not stock:
        assert abs(figures["sound_lost_%"] - figures["packets_lost_%"]) < 1.5
        assert figures["concealed_%"] == pytest.approx(figures["sound_lost_%"], abs=0.7)


def test_goals_are_open_until_all_of_them_were_measured() -> None:
    barge = {"heard_after_max_ms": 20.0, "lost_ms": 0.0}
    ours = {"first_audio_p95_ms": 700.0}
    whole = {"sound_lost_%": 0.0, "delay_p95_ms": 3.0}
    lossy = {"sound_lost_%": 1.0, "delay_p95_ms": 30.0}
    all_of_them = {"barge_in": barge, "foveal": ours, "webrtc-0": whole, "webrtc-1": lossy}
    assert goals_met(all_of_them) is True
    assert goals_met({"barge_in": barge, "foveal": ours, "webrtc-1": lossy}) is None
    assert goals_met(all_of_them | {"webrtc-1": lossy | {"sound_lost_%": 5.6}}) is False
    assert goals_met(all_of_them | {"webrtc-1": lossy | {"delay_p95_ms": 280.0}}) is False
