"""Recordings as speech: reading sound, the listen command, times."""

import json
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from devices.audio.pcm import Pcm
from devices.audio.recorded import read_sound
from devices.audio.wav import write_wav
from devices.listening.speech_events import FinalTranscript, SpeechStarted
from devices.speaking.speaker import HibariSpeaker
from foveal.cli import main
from foveal.setup.hearing import Hearing, hear_file, spoken_questions
from stream.clock import NS_PER_MS, NS_PER_S
from stream.errors import SourceError
from tests.doubles.devices import LevelDetector, ScriptedTranscriber

RATE = 24_000


def tone(seconds: float) -> Pcm:
    wave: Pcm = (9000 * np.sin(np.arange(round(RATE * seconds)) * 0.2)).astype(np.int16)
    return wave


def quiet(seconds: float) -> Pcm:
    return np.zeros(round(RATE * seconds), np.int16)


def test_blocks_follow_each_other(tmp_path: Path) -> None:
    path = tmp_path / "tone.wav"
    write_wav(path, [tone(1.01)], RATE)
    blocks = list(read_sound(path))
    assert {rate for _, _, rate in blocks} == {RATE}
    assert sum(len(pcm) for pcm, _, _ in blocks) == round(1.01 * RATE)
    at = 0
    for pcm, pts_ns, _ in blocks:
        assert abs(pts_ns - at * NS_PER_S // RATE) <= 1000
        at += len(pcm)


def test_two_runs_hear_the_same(tmp_path: Path) -> None:
    path = tmp_path / "talk.wav"
    write_wav(path, [quiet(1), tone(1.5), quiet(2), tone(1.5), quiet(0.1)], RATE)
    runs = [hear_file(path, Hearing(LevelDetector(), ScriptedTranscriber())) for _ in range(2)]
    assert runs[0] == runs[1]
    finals = [event for event in runs[0] if isinstance(event, FinalTranscript)]
    assert [final.text for final in finals] == ["what is this on the table?"] * 2
    starts = [event.at_ns for event in runs[0] if isinstance(event, SpeechStarted)]
    assert np.allclose(starts, [NS_PER_S, 4.5 * NS_PER_S], atol=40 * NS_PER_MS)


def test_no_sound(tmp_path: Path) -> None:
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF1234WAVE")
    for path in (broken, tmp_path / "absent.wav"):
        with pytest.raises(SourceError, match="expected"):
            list(read_sound(path))


@pytest.mark.assets
def test_listen_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    speaker = HibariSpeaker()
    path, asks = tmp_path / "question.wav", tmp_path / "asks.jsonl"
    chunks = [quiet(1), *speaker.synthesize("Where does coffee come from?"), quiet(1)]
    write_wav(path, chunks, speaker.sample_rate)
    code = main(["listen", str(path), "--json", "--ask-file", str(asks)])
    out = capsys.readouterr()
    if code and "models pull" in out.err:
        pytest.skip(out.err)
    assert code == 0
    (line,) = map(json.loads, out.out.splitlines())
    assert line["text"].lower().startswith("where does coffee come from")
    assert 0.9 < line["start"] < 1.6 < line["end"] < 3.5
    assert json.loads(asks.read_text()) == {"at": line["end"], "text": line["text"]}
    assert main(["listen", str(path), "--silence", "99"]) != 0


def film(path: Path, sound: Pcm, late_s: float = 0.0) -> None:
    """A film of grey pictures whose first comes `late_s` after the sound begins."""
    with av.open(str(path), "w") as out:
        video, audio = out.add_stream("mpeg4", 10), out.add_stream("aac", RATE)
        video.width, video.height, audio.layout = 64, 48, "mono"
        for number in range(20):
            picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 99, np.uint8), "rgb24")
            picture.pts, picture.time_base = number + round(10 * late_s), Fraction(1, 10)
            out.mux(video.encode(picture))
        block = av.AudioFrame.from_ndarray(sound[None], "s16", "mono")
        block.sample_rate, block.pts, block.time_base = RATE, 0, Fraction(1, RATE)
        out.mux(audio.encode(block))
        out.mux(video.encode())
        out.mux(audio.encode())


@pytest.mark.parametrize("late_s", [0.0, 0.4])
def test_spoken_questions_count_from_the_first_picture(tmp_path: Path, late_s: float) -> None:
    path = tmp_path / "film.mp4"
    film(path, np.concatenate([quiet(0.5), tone(1.5), quiet(1)]), late_s)
    hearing = Hearing(LevelDetector(), ScriptedTranscriber())
    (question,) = spoken_questions(path, hearing)
    assert question.text == "what is this on the table?"
    assert abs(question.asked_ns - (2.0 - late_s) * NS_PER_S) < 60 * NS_PER_MS
    assert spoken_questions(path, hearing, "hey foveal") == []


def test_the_microphone_of_glasses(shared_data: Path) -> None:
    blocks = list(read_sound(shared_data / "aria" / "aria_aea" / "recording.vrs"))
    assert {rate for _, _, rate in blocks} == {48_000}
    assert all(pcm.ndim == 1 and np.abs(pcm).max() <= 1 for pcm, _, _ in blocks)
    for (one, at_ns, rate), (_, next_ns, _) in pairwise(blocks):
        assert abs(at_ns + len(one) * NS_PER_S // rate - next_ns) < 2000
