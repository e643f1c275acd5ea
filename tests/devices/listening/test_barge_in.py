"""Barge-in: silence at once, words cut, nothing and "yeah" go on; and how fast."""

import numpy as np
import pytest

from devices.audio.pcm import Sound
from devices.listening.barge_in import BargeConfig, BargeIn, is_request
from devices.listening.echo import EchoConfig, EchoGuard, likeness
from devices.listening.speech_events import (
    FinalTranscript,
    ListenEvent,
    PartialTranscript,
    Refused,
    SpeechEnded,
    SpeechStarted,
    Woken,
)
from devices.listening.vad import WINDOW
from devices.webrtc.tracks import FRAME_SAMPLES, RATE_HZ, SpeechTrack
from stream.clock import NS_PER_MS, NS_PER_S, VirtualClock
from stream.errors import ConfigError

STARTED = SpeechStarted(0, 100 * NS_PER_MS)
ENDED = SpeechEnded(0, 400 * NS_PER_MS, 900 * NS_PER_MS, "silence")
QUESTION = FinalTranscript("What is this?", 0, 400, 900)


def speaking() -> tuple[BargeIn, SpeechTrack]:
    track = SpeechTrack(VirtualClock())
    track.say(np.full(2 * RATE_HZ, 1000, np.int16), RATE_HZ)
    return BargeIn(track), track


async def heard_after(track: SpeechTrack, blocks: int = 10) -> int:
    """Samples of speech in the next blocks of 20 ms."""
    sound = [(await track.recv()).to_ndarray() for _ in range(blocks)]
    return int(np.count_nonzero(np.concatenate(sound, axis=1)))


async def test_our_voice_stops_at_once() -> None:
    barge, track = speaking()
    assert await heard_after(track, 5) == 5 * FRAME_SAMPLES
    assert barge.handle(STARTED) == "hold"
    assert await heard_after(track) <= 40 * RATE_HZ // 1000
    assert track.queued


@pytest.mark.parametrize("words", [PartialTranscript("what", "", 1), QUESTION, Woken(1)])
async def test_words_end_it_for_good(words: ListenEvent) -> None:
    barge, track = speaking()
    barge.handle(STARTED)
    assert barge.handle(words) == "cut"
    assert not track.queued
    assert barge.tick(10 * NS_PER_S) == "none"


@pytest.mark.parametrize(
    "nothing",
    [
        Refused("no words", "", 0, 1),
        FinalTranscript("Yeah.", 0, 1, 2),
        FinalTranscript("Uh-huh, okay.", 0, 1, 2),
    ],
)
async def test_a_false_interruption_loses_nothing(nothing: ListenEvent) -> None:
    barge, track = speaking()
    before = await heard_after(track, 5)
    barge.handle(STARTED)
    held = await heard_after(track, 20)
    barge.handle(ENDED)
    assert barge.handle(nothing) == "resume"
    after = await heard_after(track, 100)
    assert before + held + after == 2 * RATE_HZ


async def test_no_words_for_a_second() -> None:
    barge, track = speaking()
    barge.handle(STARTED)
    assert barge.tick(30 * NS_PER_S) == "none"  # the wearer still speaks
    barge.handle(ENDED)
    assert barge.tick(ENDED.decided_ns + NS_PER_S - 1) == "none"
    assert barge.tick(ENDED.decided_ns + NS_PER_S) == "resume"
    assert await heard_after(track, 5) == 5 * FRAME_SAMPLES


def test_nothing_is_held_while_we_are_silent_or_when_it_is_off() -> None:
    silent = BargeIn(SpeechTrack(VirtualClock()))
    assert silent.handle(STARTED) == "none"
    assert silent.handle(QUESTION) == "none"
    _, track = speaking()
    assert BargeIn(track, BargeConfig(enabled=False)).handle(STARTED) == "none"


def test_speech_that_goes_on_keeps_it_held() -> None:
    barge, _ = speaking()
    barge.handle(STARTED)
    barge.handle(ENDED)
    assert barge.handle(STARTED) == "none"
    assert barge.tick(30 * NS_PER_S) == "none"


@pytest.mark.parametrize(
    ("text", "asks"),
    [("Yeah.", False), ("uh-huh", False), ("", False), ("No.", True), ("stop", True)],
)
def test_requests(text: str, asks: bool) -> None:
    assert is_request(text) == asks


def voice(seed: int, seconds: float) -> Sound:
    """Noise with the spectrum and the syllables of a voice."""
    rng = np.random.default_rng(seed)
    count = round(16_000 * seconds)
    noise = np.convolve(rng.standard_normal(count), np.hanning(12), "same")
    syllables = np.clip(np.sin(np.arange(count) / 16_000 * 25 + seed), 0.1, 1)
    sound: Sound = (0.1 * noise * syllables).astype(np.float32)
    return sound


def gates(mic: Sound, out: Sound, config: EchoConfig) -> list[bool]:
    """What the guard says of each window while `out` is played."""
    guard, found = EchoGuard(config, 16_000), []
    for at in range(0, len(mic) - WINDOW + 1, WINDOW):
        guard.played((out[at : at + WINDOW] * 32767).astype(np.int16))
        found.append(guard(mic[at : at + WINDOW]))
    return found[8:]  # after the buffers have filled


@pytest.mark.parametrize("delay", [0, 700, 5000])
@pytest.mark.parametrize("loudness", [1.0, 0.05])
def test_our_own_voice_is_an_echo(delay: int, loudness: float) -> None:
    out = voice(1, 2.0)
    room = np.convolve(np.concatenate([np.zeros(delay, np.float32), out]), [1, 0, 0.3, -0.2])
    mic = (loudness * room[: len(out)]).astype(np.float32)
    found = gates(mic, out, EchoConfig("compare"))
    assert np.mean(found[delay // WINDOW :]) > 0.95


def test_the_wearer_is_none() -> None:
    out, wearer = voice(1, 2.0), voice(2, 2.0)
    config = EchoConfig("compare")
    assert not any(gates(wearer, out, config))
    assert np.mean(gates(wearer + 0.3 * out, out, config)) < 0.4  # both at once
    assert not any(gates(out, out, EchoConfig("off")))
    assert not any(gates(wearer, np.zeros_like(out), config))


def test_half_duplex_is_deaf_while_we_speak() -> None:
    out = np.concatenate([voice(1, 1.0), np.zeros(16_000, np.float32)])
    found = gates(voice(2, 2.0), out, EchoConfig("half-duplex"))
    assert all(found[:20])
    assert not any(found[-8:])


def test_likeness_is_a_share() -> None:
    sound = voice(3, 0.5)
    assert likeness(sound[1000:3000], sound) == pytest.approx(1.0, abs=1e-3)
    assert likeness(0 * sound[:2000], sound) == 0.0
    with pytest.raises(ConfigError, match="likeness"):
        EchoConfig(likeness=1.5)
