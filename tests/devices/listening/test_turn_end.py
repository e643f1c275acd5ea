"""Whether a turn is over, by the voice: its features, its weight beside the words, its place."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.audio.pcm import HEARING_HZ, Sound
from devices.audio.resample import Resampler
from devices.listening.endpointing import EndpointConfig, Hint
from devices.listening.listener import ListenConfig, SpeechListener
from devices.listening.speech_events import FinalTranscript, ListenEvent, SpeechEnded
from devices.listening.turn_end import SECONDS, SmartTurn, weigh
from devices.speaking.speaker import HibariSpeaker
from foveal.assets.registry import asset_path
from foveal.setup.hearing import TURNS, TURNS_FILE
from stream.clock import NS_PER_MS, NS_PER_S, VirtualClock
from stream.errors import AssetError, DeviceError
from tests.devices.listening.test_listener import BLOCK, RATE, loud, quiet
from tests.doubles.devices import LevelDetector, ScriptedTranscriber, ScriptedTurns


@pytest.fixture(scope="module")
def smart_turn() -> SmartTurn:
    try:
        return SmartTurn(asset_path(TURNS, TURNS_FILE))
    except AssetError as error:
        pytest.skip(str(error))


@pytest.mark.assets
@pytest.mark.parametrize("seconds", [0.5, 8.0, 11.0])
def test_features_are_whispers_of_even_sound(smart_turn: SmartTurn, seconds: float) -> None:
    """As transformers' extractor makes them, which upstream trained and runs with."""
    transformers = pytest.importorskip("transformers")
    rng = np.random.default_rng(0)
    sound = (0.1 * rng.standard_normal(round(seconds * HEARING_HZ)) + 0.01).astype(np.float32)
    last = sound[-SECONDS * HEARING_HZ :]
    padded = np.pad(last, (SECONDS * HEARING_HZ - len(last), 0))
    theirs = transformers.WhisperFeatureExtractor(chunk_length=SECONDS)(
        padded, sampling_rate=HEARING_HZ, do_normalize=True, return_tensors="np"
    )["input_features"][0]
    ours = smart_turn.features(sound)
    assert ours.shape == theirs.shape == (80, 100 * SECONDS)
    assert np.abs(ours - theirs).max() < 2e-3  # theirs through torch, in single precision
    assert np.abs(ours - theirs).mean() < 1e-5


@pytest.mark.assets
def test_a_whole_question_is_over_and_half_a_sentence_is_not(smart_turn: SmartTurn) -> None:
    whole = smart_turn.chance(said("What is the capital of France?", 1.0))
    half = smart_turn.chance(said("I would like to know whether the", 0.5))
    assert half < 0.3 and whole > 0.7


def said(text: str, share: float) -> Sound:
    """The first part of a sentence in a neural voice, and a fifth of a second of silence."""
    speaker = HibariSpeaker()
    pcm = np.concatenate(list(speaker.synthesize(text)))
    voice = Resampler(speaker.sample_rate).feed((pcm / 32768).astype(np.float32), last=True)
    audible = np.flatnonzero(np.abs(voice) > 0.02 * np.abs(voice).max())
    voice = voice[audible[0] : audible[-1]]
    return np.concatenate([voice[: round(share * len(voice))], quiet(0.2)])


@pytest.mark.assets
@pytest.mark.parametrize("sound", [np.zeros((2, 9), np.float32), np.zeros(9, np.int16)])
def test_other_sound_is_refused(smart_turn: SmartTurn, sound: Any) -> None:
    with pytest.raises(DeviceError, match="float32"):
        smart_turn.features(sound)


def test_a_missing_network_says_so(tmp_path: Any) -> None:
    pytest.importorskip("faster_whisper")
    with pytest.raises(AssetError, match="smart-turn"):
        SmartTurn(tmp_path / "none.onnx")


@pytest.mark.parametrize(
    ("words", "asked", "chance", "together"),
    [
        ("finished", False, None, "finished"),
        ("unfinished", False, None, "unfinished"),
        ("finished", False, 0.98, "finished"),
        ("finished", False, 0.5, "unknown"),  # a full stop alone is not believed
        ("finished", False, 0.02, "unfinished"),  # the voice is sure: it goes on
        ("finished", True, 0.5, "finished"),
        ("finished", True, 0.2, "finished"),
        ("finished", True, 0.0, "unknown"),
        ("unknown", False, 1.0, "unknown"),
        ("unknown", False, 0.02, "unfinished"),
        ("unfinished", True, 1.0, "unfinished"),
    ],
)
def test_words_and_voice_are_weighed(
    words: Hint, asked: bool, chance: float | None, together: Hint
) -> None:
    assert weigh(words, chance, asked) == together


@given(st.sampled_from(["finished", "unknown", "unfinished"]), st.floats(0, 1), st.booleans())
def test_the_voice_never_hurries_the_words(words: Hint, chance: float, asked: bool) -> None:
    config = EndpointConfig()
    assert config.silence_ns(weigh(words, chance, asked)) >= config.silence_ns(words)


class Table:
    """A listener whose turns are judged, and what it told."""

    def __init__(self, script: tuple[str, ...], *chances: float) -> None:
        self.events: list[ListenEvent] = []
        self.turns = ScriptedTurns(list(chances))
        self.listener = SpeechListener(
            LevelDetector(),
            ScriptedTranscriber(script),
            self.events.append,
            VirtualClock(),
            config=ListenConfig(),
            turns=self.turns,
        )
        self.now_ns = 0

    async def play(self, *parts: Sound) -> None:
        sound = np.concatenate(parts)
        for at in range(0, len(sound), BLOCK):
            self.listener.feed(sound[at : at + BLOCK], self.now_ns, RATE)
            self.now_ns += BLOCK * NS_PER_S // RATE
            await self.listener.drain()

    def waits_ms(self) -> list[int]:
        ended = [event for event in self.events if isinstance(event, SpeechEnded)]
        return [(one.decided_ns - one.ended_ns) // NS_PER_MS for one in ended]


@pytest.mark.parametrize(
    ("script", "chance", "wait_ms"),
    [
        (("look", "at", "this."), 0.99, EndpointConfig().finished_ns),
        (("look", "at", "this."), 0.5, EndpointConfig().unknown_ns),
        (("look", "at", "this."), 0.01, EndpointConfig().unfinished_ns),
        (("look", "at", "that"), 0.99, EndpointConfig().unfinished_ns),  # the words decide
        (("what", "is", "this?"), 0.3, EndpointConfig().finished_ns),
    ],
)
async def test_the_wait_is_what_voice_and_words_ask_for(
    script: tuple[str, ...], chance: float, wait_ms: int
) -> None:
    table = Table(script, chance)
    await table.play(quiet(0.3), loud(0.75), quiet(1.5))
    assert table.waits_ms() == [wait_ms // NS_PER_MS]
    assert len(table.turns.asked) == 1
    silence = np.flatnonzero(np.abs(table.turns.asked[0]) > 0.02)[-1]
    assert 0.15 < (len(table.turns.asked[0]) - silence) / RATE < 0.25  # asked so long after


async def test_each_pause_is_asked_about_anew() -> None:
    table = Table(("look", "at", "this.", "and", "soon."), 0.01, 0.99)
    await table.play(loud(0.75), quiet(0.5), loud(0.5), quiet(1.5))
    assert table.waits_ms() == [256]  # one utterance: the first pause cut nothing
    assert len(table.turns.asked) == 2
    (final,) = [event for event in table.events if isinstance(event, FinalTranscript)]
    assert final.text == "look at this. and soon."


async def test_a_judge_that_fails_leaves_it_to_the_words() -> None:
    table = Table(("look", "at", "this."))  # nothing to say
    await table.play(loud(0.75), quiet(1.5))
    assert table.waits_ms() == [256]
    assert table.listener.stats().dropped == {"turn not judged": 1}
