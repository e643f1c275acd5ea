"""A microphone is let go, stalls, leaves, and is one of two: nobody's voice stays held."""

import asyncio
from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest
from aiortc.rtcrtpreceiver import RemoteStreamTrack

from devices.audio.pcm import Pcm
from devices.listening.echo import EchoConfig
from devices.webrtc.tracks import FRAME_SAMPLES, RATE_HZ
from foveal.live.protocol.client import TalkMessage
from foveal.live.speech import microphone as module
from foveal.live.speech.hearing import LiveHearingConfig, listener_maker
from foveal.live.speech.microphone import TAIL_NS, Microphone
from foveal.setup.hearing import Hearing
from stream.clock import NS_PER_MS, NS_PER_S, MonotonicClock
from tests.doubles.devices import LevelDetector, ScriptedTranscriber
from tests.foveal.live.speech.test_hearing import Wearer, until

PRESS = TalkMessage(v=1, on=True)
LET_GO = TalkMessage(v=1, on=False)
OPEN = TalkMessage(v=1, on=True, open_mic=True)
CLOSED = TalkMessage(v=1, on=False, open_mic=True)


def loud(seconds: float) -> Pcm:
    sound: Pcm = (16_000 * np.sin(np.arange(round(RATE_HZ * seconds)) * 0.1)).astype(np.int16)
    return sound


def quiet(seconds: float) -> Pcm:
    return np.zeros(round(RATE_HZ * seconds), np.int16)


class Mouth:
    """A wearer's track, as aiortc gives it, and the microphone that reads it."""

    def __init__(self, wearer: Wearer, open_mic: bool = False, listener: Any = None) -> None:
        self.track: Any = RemoteStreamTrack("audio")
        listener = listener or wearer.listener
        self.microphone = Microphone(self.track, listener, MonotonicClock(), open_mic)
        self.running = asyncio.create_task(self.microphone.run())
        self._at = 0

    async def say(self, *parts: Pcm) -> None:
        """Sound that comes at once, with the times that it was spoken at."""
        sound = np.concatenate(parts)
        for at in range(0, len(sound), FRAME_SAMPLES):
            block = sound[None, at : at + FRAME_SAMPLES]
            frame = av.AudioFrame.from_ndarray(block, "s16", "mono")
            frame.sample_rate, frame.time_base = RATE_HZ, Fraction(1, RATE_HZ)
            frame.pts, self._at = self._at, self._at + block.shape[1]
            self.track._queue.put_nowait(frame)
        await until(self.track._queue.empty)
        await asyncio.sleep(0.05)

    async def leave(self) -> None:
        """The connection ends."""
        self.track._queue.put_nowait(None)
        await self.running


def states(wearer: Wearer) -> list[bool]:
    return [data["on"] for kind, data in wearer.told if kind == "hearing"]


async def test_what_is_said_while_letting_go_is_heard() -> None:
    wearer = Wearer()
    mouth = Mouth(wearer)
    mouth.microphone.talk(PRESS)
    await mouth.say(loud(0.5))
    mouth.microphone.talk(LET_GO)
    await mouth.say(loud(0.24))
    assert states(wearer) == [True]  # it is not over
    await mouth.say(loud(0.5))
    await until(lambda: bool(wearer.questions))
    assert states(wearer) == [True, False]
    assert wearer.questions == ["what is this?"]  # a word in a quarter second: the tail made three
    await mouth.say(loud(1), quiet(1))
    assert len(wearer.questions) == 1
    await mouth.leave()


async def test_pressed_again_within_the_tail_is_another_question() -> None:
    wearer = Wearer()
    mouth = Mouth(wearer)
    for _ in range(2):
        mouth.microphone.talk(PRESS)
        await mouth.say(loud(0.8))
        mouth.microphone.talk(LET_GO)
    await mouth.say(quiet(0.4))
    await until(lambda: len(wearer.questions) == 2)
    assert states(wearer) == [True, False, True, False]
    await mouth.leave()


async def test_the_tail_ends_though_the_sound_has_stopped() -> None:
    wearer = Wearer()
    mouth = Mouth(wearer)
    mouth.microphone.talk(PRESS)
    await mouth.say(loud(0.8))
    mouth.microphone.talk(LET_GO)
    await until(lambda: bool(wearer.questions))
    await mouth.leave()
    assert 250 * NS_PER_MS <= TAIL_NS <= 300 * NS_PER_MS


async def test_a_microphone_that_leaves_in_mid_speech_gives_the_voice_back() -> None:
    wearer = Wearer()
    wearer.track.say(np.full(10 * RATE_HZ, 999, np.int16), RATE_HZ)
    mouth = Mouth(wearer, open_mic=True)
    await mouth.say(loud(0.2))
    assert not np.any((await wearer.track.recv()).to_ndarray())  # held
    await mouth.leave()
    assert np.any((await wearer.track.recv()).to_ndarray())
    assert states(wearer) == [True, False]
    assert wearer.told[-1] == ("transcript", {"text": "", "final": True})


@pytest.mark.parametrize("how", ["stall", "closed"])
async def test_a_microphone_that_falls_silent_in_mid_speech_holds_nothing(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its track stays, and says nothing: a phone in the background; or the wearer closes it."""
    monkeypatch.setattr(module, "STALL_NS", NS_PER_S // 5 if how == "stall" else 100 * NS_PER_S)
    wearer = Wearer()
    wearer.track.say(np.full(10 * RATE_HZ, 999, np.int16), RATE_HZ)
    mouth = Mouth(wearer)
    mouth.microphone.talk(OPEN)
    await mouth.say(loud(0.11))  # not yet a word
    if how == "closed":
        mouth.microphone.talk(CLOSED)
    await until(lambda: states(wearer) == [True, False])
    await until(lambda: not wearer.track._held)
    if how == "stall":
        await mouth.say(loud(0.8), quiet(1))  # it is back
        await until(lambda: wearer.questions == ["what is this?"])
    await mouth.leave()


async def test_push_to_talk_that_is_still_pressed_goes_on_after_a_stall(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "STALL_NS", NS_PER_S // 5)
    wearer = Wearer()
    mouth = Mouth(wearer)
    mouth.microphone.talk(PRESS)
    await mouth.say(loud(0.8))
    await until(lambda: states(wearer) == [True, False])
    await mouth.say(quiet(0.6))
    assert states(wearer) == [True, False, True]  # held open, though nothing is said
    mouth.microphone.talk(LET_GO)
    await mouth.say(quiet(0.6))
    assert states(wearer) == [True, False, True, False]
    await mouth.leave()


async def test_two_microphones_do_not_blind_each_others_echo_guard() -> None:
    """Both hear our voice; both know it, before and after one of them has gone."""
    config = LiveHearingConfig(echo=EchoConfig("compare"))
    wearer = Wearer(config=config)
    hearing = Hearing(LevelDetector(), ScriptedTranscriber(("what", "is", "this?")))
    second = listener_maker(hearing, config)(wearer, MonotonicClock())
    rng = np.random.default_rng(0)
    wearer.track.say((4000 * rng.standard_normal(5 * RATE_HZ)).astype(np.int16), RATE_HZ)

    async def listen(*listeners: Any, start: int, count: int) -> None:
        for number in range(start, start + count):
            block = (await wearer.track.recv()).to_ndarray()[0]
            for one in listeners:
                one.feed(block, number * 20 * NS_PER_MS, RATE_HZ)

    await listen(wearer.listener, second, start=0, count=100)
    assert wearer.told == []
    second.cancel()
    await listen(wearer.listener, start=100, count=100)
    assert wearer.told == []
