"""The wearer is heard in a live session: messages, questions, interruptions, the lead-in."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from devices.audio.pcm import Sound
from devices.listening.echo import EchoConfig, EchoMode
from devices.webrtc.tracks import RATE_HZ, SpeechTrack
from foveal.live.protocol.server import HearingMessage, TranscriptMessage
from foveal.live.speech.hearing import LiveHearingConfig, listener_maker
from foveal.live.speech.voice import LEAD_IN_NS, PATIENCE_NS, LiveVoice
from foveal.setup.hearing import Hearing
from stream.clock import NS_PER_MS, NS_PER_S, VirtualClock
from tests.doubles.devices import LevelDetector, ScriptedTranscriber, ToneSpeaker

RATE = 16_000
BLOCK = 320


def loud(seconds: float) -> Sound:
    sound: Sound = 0.5 * np.sin(np.arange(round(RATE * seconds)) * 0.3).astype(np.float32)
    return sound


def quiet(seconds: float) -> Sound:
    return np.zeros(round(RATE * seconds), np.float32)


class Wearer:
    """An Ear with a voice that speaks to it."""

    def __init__(
        self,
        script: tuple[str, ...] = ("what", "is", "this?"),
        config: LiveHearingConfig | None = None,
    ) -> None:
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.questions: list[str] = []
        self.cuts = 0
        clock = VirtualClock()
        self.track = SpeechTrack(clock)
        self.voice = LiveVoice(
            ToneSpeaker(), ThreadPoolExecutor(1), clock, lambda *_: None, lambda *_: None
        )
        self.voice.attach(self.track)
        hearing = Hearing(LevelDetector(), ScriptedTranscriber(script))
        self.listener: Any = listener_maker(hearing, config)(self, clock)
        self.samples = 0

    def interrupted(self) -> None:
        self.cuts += 1

    def heard(self, message: HearingMessage | TranscriptMessage) -> None:
        self.told.append((message.type, message.data()))

    def asked(self, text: str) -> None:
        self.questions.append(text)

    async def speak(self, *parts: Sound) -> None:
        sound = np.concatenate(parts)
        for at in range(0, len(sound), BLOCK):
            self.listener.feed(sound[at : at + BLOCK], self.samples * NS_PER_S // RATE, RATE)
            self.samples += BLOCK
            await self.listener._listener.drain()


async def test_a_spoken_question_is_told_and_asked() -> None:
    wearer = Wearer()
    await wearer.speak(loud(0.75), quiet(1.5))
    assert wearer.questions == ["what is this?"]
    assert wearer.told[0] == ("hearing", {"on": True})
    assert ("hearing", {"on": False}) in wearer.told
    assert wearer.told[-1] == ("transcript", {"text": "what is this?", "final": True})


async def test_a_question_interrupts_and_a_cough_does_not() -> None:
    wearer = Wearer()
    wearer.track.say(np.full(10 * RATE_HZ, 999, np.int16), RATE_HZ)
    await wearer.speak(loud(0.1), quiet(2.5))  # no word
    assert wearer.track.queued == 10 * RATE_HZ
    assert np.any((await wearer.track.recv()).to_ndarray())  # it goes on
    await wearer.speak(loud(0.2))
    assert not np.any((await wearer.track.recv()).to_ndarray())  # held
    await wearer.speak(loud(0.6), quiet(1.0))
    assert wearer.track.queued == 0
    assert wearer.questions == ["what is this?"]


async def test_uh_huh_is_no_question_while_we_speak() -> None:
    wearer = Wearer(("uh-huh.",))
    wearer.track.say(np.full(10 * RATE_HZ, 999, np.int16), RATE_HZ)
    await wearer.speak(loud(0.3), quiet(2.0))
    assert wearer.questions == []
    assert wearer.track.queued == 10 * RATE_HZ


@pytest.mark.parametrize("mode", ["off", "compare", "half-duplex"])
async def test_our_own_voice_in_the_microphone_interrupts_nobody(mode: EchoMode) -> None:
    wearer = Wearer(config=LiveHearingConfig(echo=EchoConfig(mode)))
    rng = np.random.default_rng(0)
    ours = (4000 * rng.standard_normal(3 * RATE_HZ)).astype(np.int16)
    said = wearer.track.say(ours, RATE_HZ)
    for _ in range(120):
        block = (await wearer.track.recv()).to_ndarray()[0]
        wearer.listener.feed(block, wearer.samples * NS_PER_S // RATE_HZ, RATE_HZ)
        wearer.samples += len(block)
    assert (said.sent < 30_000) == (mode == "off")  # held, because it heard itself
    assert bool(wearer.told) == (mode == "off")


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not done():
            await asyncio.sleep(0.001)


async def test_a_lead_in_only_when_the_answer_takes_a_while() -> None:
    clock, speaker = VirtualClock(), ToneSpeaker()
    with ThreadPoolExecutor(1) as pool:
        voice = LiveVoice(speaker, pool, clock, lambda *_: None, lambda *_: None, "Let me see.")
        track = SpeechTrack(clock)
        voice.attach(track)
        running = asyncio.create_task(voice.run())
        await until(lambda: bool(voice._lead_chunks))
        voice.begin()
        voice.feed(1, "It is a cup. ")  # a sentence comes at once
        await until(lambda: track.queued > 0)
        assert speaker.spoken == ["Let me see.", "It is a cup."]
        assert track.queued == 12 * 2400  # it alone
        voice.cut_off()
        before_ns = clock.now_ns()
        voice.begin()
        await until(lambda: track.queued > 0)
        assert clock.now_ns() - before_ns == PATIENCE_NS
        voice.cut_off()
        before_ns = clock.now_ns()
        voice.waited(450 * NS_PER_MS)  # since the last word of the question
        voice.begin()
        await until(lambda: track.queued > 0)
        assert clock.now_ns() - before_ns == LEAD_IN_NS - 450 * NS_PER_MS
        assert track.queued > 0
        voice.cut_off()
        assert track.queued == 0
        running.cancel()


async def test_all_that_listen_hear_and_the_wearers_newest_track_leads() -> None:
    clock, spoken = VirtualClock(), list[int]()
    with ThreadPoolExecutor(1) as pool:
        voice = LiveVoice(ToneSpeaker(), pool, clock, lambda *_: None, lambda *_: None)
        voice.on_spoken = spoken.append
        old, new, screen = SpeechTrack(clock), SpeechTrack(clock, 0.3), SpeechTrack(clock, 0.1)
        running = asyncio.create_task(voice.run())
        voice.attach(screen, leads=False)
        voice.attach(old)
        voice.feed(1, "A cup. ")
        await until(lambda: old.queued > 0)
        assert screen.queued == 0  # 0.1 s is too little for it: left out there alone
        voice.attach(new)  # the wearer is back: from here on
        assert old.queued == 0
        voice.detach(screen)
        screen = SpeechTrack(clock)
        voice.attach(screen, leads=False)
        voice.feed(2, "A mug. ")
        voice.finish(2)
        await until(lambda: min(one.queued for one in (old, new, screen)) > 0)
        voice.hold()
        assert not np.any((await screen.recv()).to_ndarray())
        voice.resume()
        assert np.any((await screen.recv()).to_ndarray())
        voice.detach(new)  # a second screen's, or a dead one's, leads then
        old.cut_off()
        voice.detach(old)
        while screen.queued:
            await screen.recv()
        await until(lambda: spoken == [2])
        voice.feed(3, "A pot. ")
        await until(lambda: screen.queued > 0)
        voice.detach(screen)
        assert not voice.queued
        running.cancel()
