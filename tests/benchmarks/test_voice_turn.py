"""voice_turn: where speech begins and ends, summaries, and one turn through the chain."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.voice_chain import Chain, Interruption, Turn, interrupt, take_turn
from benchmarks.voice_questions import cough, from_folder, place
from benchmarks.voice_turn import barge_summary, methods, summary
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
    assert not methods()["fixed-500"].drafts


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
