"""Listening: turns, drafts and finals, malformed sound, what cannot be kept up with."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.audio.pcm import Sound
from devices.listening.endpointing import EndpointConfig
from devices.listening.listener import ListenConfig, SpeechListener
from devices.listening.speech_events import (
    DraftTranscript,
    FinalTranscript,
    ListenEvent,
    PartialTranscript,
    Refused,
    SpeechEnded,
    SpeechStarted,
    Woken,
)
from devices.listening.whisper import Transcript
from stream.clock import NS_PER_MS, NS_PER_S, VirtualClock
from stream.errors import ConfigError
from tests.doubles.devices import LevelDetector, ScriptedTranscriber

RATE = 16_000
BLOCK = 320


def loud(seconds: float) -> Sound:
    sound: Sound = 0.5 * np.sin(np.arange(round(RATE * seconds)) * 0.3).astype(np.float32)
    return sound


def quiet(seconds: float) -> Sound:
    return np.zeros(round(RATE * seconds), np.float32)


class Room:
    """A listener with what it told."""

    def __init__(self, transcriber: Any = None, **config: Any) -> None:
        self.events: list[ListenEvent] = []
        self.transcriber = transcriber or ScriptedTranscriber()
        self.listener = SpeechListener(
            LevelDetector(),
            self.transcriber,
            self.events.append,
            VirtualClock(),
            config=ListenConfig(**config),
        )
        self.now_ns = 0

    async def play(self, *parts: Sound, wait: bool = True) -> None:
        sound = np.concatenate(parts)
        for at in range(0, len(sound), BLOCK):
            block = sound[at : at + BLOCK]
            self.listener.feed(block, self.now_ns, RATE)
            self.now_ns += len(block) * NS_PER_S // RATE
            if wait:
                await self.listener.drain()

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


async def test_a_question_is_heard_before_its_end_is_certain() -> None:
    room = Room()
    await room.play(quiet(0.5), loud(1.5), quiet(1.5))
    assert [type(event) for event in room.events] == [
        *(
            SpeechStarted,
            PartialTranscript,
            PartialTranscript,
            DraftTranscript,
            SpeechEnded,
            FinalTranscript,
        )
    ]
    (started,), (draft,), (final,) = (
        room.of(SpeechStarted),
        room.of(DraftTranscript),
        room.of(FinalTranscript),
    )
    assert abs(started.at_ns - 500 * NS_PER_MS) <= 32 * NS_PER_MS
    assert final.text == draft.text == "what is this on the table?"
    assert final.drafted
    assert abs(final.ended_ns - 2000 * NS_PER_MS) <= 32 * NS_PER_MS
    assert final.timings_ns["endpoint"] == 256 * NS_PER_MS  # it looks finished
    assert final.decided_ns - final.ended_ns == final.timings_ns["endpoint"]


async def test_an_open_phrase_is_waited_for() -> None:
    room = Room()
    await room.play(loud(0.5), quiet(0.8), loud(1.0), quiet(1.0))  # "what is … this on the table?"
    (final,) = room.of(FinalTranscript)
    assert final.text == "what is this on the table?"
    assert [draft.text for draft in room.of(DraftTranscript)] == [final.text]


async def test_partials_never_take_back_what_is_stable() -> None:
    room = Room(partial_every_ns=200 * NS_PER_MS)
    await room.play(loud(1.5), quiet(1.0))
    stable = [partial.stable for partial in room.of(PartialTranscript)]
    assert len(stable) >= 4
    for before, after in pairwise(stable):
        assert after.startswith(before)


async def test_without_drafts_and_partials_there_is_one_transcription() -> None:
    room = Room(drafts=False, partial_every_ns=None)
    await room.play(loud(1.5), quiet(1.0))
    assert len(room.transcriber.heard) == 1
    (final,) = room.of(FinalTranscript)
    assert not final.drafted
    assert final.timings_ns["endpoint"] == 512 * NS_PER_MS  # its words were not known


async def test_push_to_talk_hears_nothing_else() -> None:
    room = Room(push_to_talk=True)
    await room.play(loud(1.0), quiet(1.0))
    assert room.events == []
    room.listener.press()
    await room.play(loud(0.5), quiet(1.5), loud(1.0), quiet(0.2))
    room.listener.release()
    await room.listener.drain()
    (ended,) = room.of(SpeechEnded)
    (final,) = room.of(FinalTranscript)
    assert (ended.reason, final.text) == ("released", "what is this on the table?")


async def test_press_and_release_without_a_word() -> None:
    room = Room(push_to_talk=True)
    room.listener.press()
    room.listener.release()
    await room.play(loud(0.5))
    assert room.events == []
    room.listener.press()
    room.now_ns += 3600 * NS_PER_S  # the microphone was closed for an hour
    await room.play(quiet(0.5))
    room.listener.release()
    await room.listener.drain()
    assert [type(event) for event in room.events] == [SpeechStarted, SpeechEnded, Refused]
    assert room.events[0].at_ns >= 3600 * NS_PER_S  # type: ignore[union-attr]


async def test_wake_phrase() -> None:
    script = ("Hey", "Foveal,", "what", "is", "this?")
    room = Room(ScriptedTranscriber(script), wake_phrase="hey foveal")
    await room.play(loud(1.25), quiet(1.5))
    assert [final.text for final in room.of(FinalTranscript)] == ["what is this?"]
    await room.play(loud(0.5), quiet(1.5))
    assert len(room.of(Woken)) == 1
    room.transcriber.script = ("who", "makes", "it?")
    await room.play(loud(0.75), quiet(1.5))  # awake
    await room.play(loud(0.75), quiet(1.5))  # asleep again
    assert [final.text for final in room.of(FinalTranscript)] == ["what is this?", "who makes it?"]
    assert [refused.cause for refused in room.of(Refused)] == ["wake"]


@pytest.mark.parametrize(
    ("transcriber", "cause"),
    [
        (ScriptedTranscriber(no_speech=0.9, log_probability=-1.2), "no speech"),
        (ScriptedTranscriber(log_probability=-2.0), "not understood"),
        (ScriptedTranscriber(("",)), "no words"),
        (ScriptedTranscriber(failures=9), "failed"),
    ],
)
async def test_what_gives_no_words_is_refused(transcriber: Any, cause: str) -> None:
    room = Room(transcriber)
    await room.play(loud(1.0), quiet(2.0))
    assert [refused.cause for refused in room.of(Refused)] == [cause]
    assert not room.of(FinalTranscript)


async def test_a_draft_that_fails_is_tried_again() -> None:
    room = Room(ScriptedTranscriber(failures=1), partial_every_ns=None)
    await room.play(loud(1.5), quiet(2.0))
    assert [final.text for final in room.of(FinalTranscript)] == ["what is this on the table?"]
    assert room.listener.stats().dropped == {"failed": 1}


class SlowTranscriber:
    """Waits until it may go on."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.runs = 0

    def transcribe(self, sound: Sound) -> Transcript:
        assert self.go.wait(10)
        self.runs += 1
        return Transcript("What is this?")


async def test_a_slow_transcriber_drops_drafts_and_then_whole_utterances() -> None:
    slow = SlowTranscriber()
    room = Room(slow)
    for _ in range(8):
        await room.play(loud(1.0), quiet(1.5), wait=False)
        await asyncio.sleep(0)
    slow.go.set()
    await room.listener.drain()
    stats = room.listener.stats()
    assert stats.utterances == len(room.of(SpeechEnded)) == 8
    assert len(room.of(FinalTranscript)) + stats.dropped["busy"] == 8
    assert [refused.cause for refused in room.of(Refused)] == ["busy"] * stats.dropped["busy"]
    assert slow.runs == stats.transcriptions < 16


async def test_the_loop_is_free_while_words_are_found() -> None:
    slow = SlowTranscriber()
    with ThreadPoolExecutor(1) as pool:
        events: list[ListenEvent] = []
        listener = SpeechListener(LevelDetector(), slow, events.append, VirtualClock(), pool)
        listener.feed(np.concatenate([loud(1.0), quiet(1.0)]), 0, RATE)
        await asyncio.sleep(0.01)
        assert [type(event) for event in events] == [SpeechStarted, SpeechEnded]
        slow.go.set()
        await listener.close()
        assert isinstance(events[-1], FinalTranscript)


async def test_closing_ends_the_open_utterance() -> None:
    room = Room()
    await room.play(loud(1.5))
    await room.listener.close()
    assert room.of(SpeechEnded)[0].reason == "closed"
    assert room.of(FinalTranscript)[0].text == "what is this on the table?"


async def test_a_gap_ends_the_utterance() -> None:
    room = Room()
    await room.play(loud(1.0))
    room.now_ns += 3600 * NS_PER_S
    await room.play(loud(1.0), quiet(1.5))
    assert [ended.reason for ended in room.of(SpeechEnded)] == ["gap", "silence"]
    assert len(room.of(FinalTranscript)) == 2
    assert room.of(SpeechStarted)[1].at_ns >= 3600 * NS_PER_S
    assert room.listener.stats().gaps == 1


@pytest.mark.parametrize("lost", [1, 2, 5], ids=["20 ms", "40 ms", "100 ms"])
async def test_what_is_missing_is_a_gap_in_time_and_ends_nothing(lost: int) -> None:
    """One block in ten never comes, or so many together: times stay right to the end."""
    whole, holed = Room(), Room()
    sound = np.concatenate([quiet(1), loud(3), quiet(1.5)])
    await whole.play(sound)
    for at in range(0, len(sound), BLOCK):
        number = at // BLOCK
        if number % (10 * lost) >= lost:
            holed.listener.feed(sound[at : at + BLOCK], number * BLOCK * NS_PER_S // RATE, RATE)
            await holed.listener.drain()
    (told,), (meant,) = holed.of(SpeechEnded), whole.of(SpeechEnded)
    assert told.reason == meant.reason == "silence"
    assert abs(told.ended_ns - meant.ended_ns) <= lost * 20 * NS_PER_MS + 64 * NS_PER_MS
    assert abs(told.decided_ns - meant.decided_ns) <= 200 * NS_PER_MS
    assert holed.listener.stats().gaps == 0


async def test_time_going_backwards_is_a_gap() -> None:
    room = Room()
    await room.play(quiet(5.0))
    room.now_ns = 0
    await room.play(quiet(0.5), loud(1.0), quiet(1.5))
    assert room.listener.stats().gaps == 1
    assert abs(room.of(FinalTranscript)[0].started_ns - 500 * NS_PER_MS) <= 32 * NS_PER_MS


@pytest.mark.parametrize(
    ("pcm", "rate"),
    [
        (np.zeros(100, np.int32), RATE),
        (np.zeros((10, 2, 2), np.float32), RATE),
        (np.zeros((320, 64), np.int16), RATE),
        (loud(0.02), 7),
        (loud(0.02), -48_000),
        (quiet(61.0), RATE),
    ],
)
async def test_malformed_sound_is_dropped_and_counted(pcm: Any, rate: int) -> None:
    room = Room()
    await room.play(loud(1.0))
    room.listener.feed(pcm, room.now_ns, rate)
    await room.play(loud(0.5), quiet(1.0))
    assert room.listener.stats().dropped == {"malformed": 1}
    assert len(room.of(FinalTranscript)) == 1


@pytest.mark.parametrize(
    "noise",
    [
        np.full(RATE, np.nan, np.float32),
        np.full(RATE, np.inf, np.float32),
        np.zeros(0, np.float32),
        np.zeros((0, 2), np.int16),
    ],
)
async def test_sound_without_sound(noise: Any) -> None:
    room = Room()
    room.listener.feed(noise, 0, RATE)
    room.now_ns = len(noise) * NS_PER_S // RATE
    await room.play(loud(1.5), quiet(1.0))
    assert [final.text for final in room.of(FinalTranscript)] == ["what is this on the table?"]
    assert room.listener.stats().dropped == ({"samples not finite": RATE} if len(noise) else {})


async def test_another_rate_in_mid_stream_goes_on() -> None:
    room = Room()
    await room.play(quiet(1.0))
    sound = np.repeat(np.concatenate([loud(1.5), quiet(1.0)]), 3)  # 48 kHz
    room.listener.feed((sound * 20_000).astype(np.int16), room.now_ns, 48_000)
    await room.listener.drain()
    assert len(room.of(FinalTranscript)) == 1


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(st.booleans(), st.floats(0.02, 1.5), st.sampled_from([0, 0, 0, 100, -400, 5000])),
        max_size=8,
    )
)
def test_every_utterance_ends_and_gives_one_result(
    parts: list[tuple[bool, float, int]],
) -> None:
    async def main() -> None:
        room = Room(wake_phrase=None, endpoint=EndpointConfig(max_utterance_ns=2 * NS_PER_S))
        for speaks, seconds, jump_ms in parts:
            room.now_ns = max(0, room.now_ns + jump_ms * NS_PER_MS)
            await room.play(loud(seconds) if speaks else quiet(seconds))
        await room.listener.close()
        kinds = [
            type(event)
            for event in room.events
            if isinstance(event, SpeechStarted | SpeechEnded | FinalTranscript | Refused)
        ]
        for at in range(0, len(kinds), 3):
            assert kinds[at : at + 2] == [SpeechStarted, SpeechEnded]
            assert kinds[at + 2] in (FinalTranscript, Refused)

    asyncio.run(main())


def test_settings_that_make_no_sense() -> None:
    with pytest.raises(ConfigError, match="wake_phrase"):
        ListenConfig(wake_phrase=" ?")
    with pytest.raises(ConfigError, match="partial_every_ns"):
        replace(ListenConfig(), partial_every_ns=5)
