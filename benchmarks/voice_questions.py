"""Questions spoken by synthesised voices, for `voice_turn`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from devices.audio.pcm import Pcm
from devices.audio.wav import parse_wav
from devices.speaking.speaker import EspeakSpeaker, HibariSpeaker, Speaker
from devices.webrtc.tracks import RATE_HZ, to_48k
from stream.clock import NS_PER_S
from stream.errors import AssetError, ConfigError

AUDIBLE = 0.02  # of the loudest sample
QUIET_S = 0.4  # before the question

# About what is in view, what it is, and what has to be looked up.
QUESTIONS = (
    "What is this?",
    "What can you see?",
    "Where is the cup?",
    "Is there a spoon on the table?",
    "How many cups are there?",
    "What is the capital of Kenya?",
    "Who wrote Frankenstein?",
    "Where does this come from?",
    "What does the label say?",
    "What is chocolate made from?",
    "Is there a cat in the picture?",
    "Tell me about this drink.",
    "How high is Mount Everest?",
    "What is next to the cup?",
    "How many keys does a piano have?",
    "What is the chemical symbol of gold?",
    "Can you see a knife?",
    "Where is Machu Picchu?",
    "What is the thing on the right?",
    "When did the Berlin Wall go up?",
    "Is it hot?",
    "Read the words on the package.",
    "What is this drink called?",
    "Which country does coffee come from?",
)


@dataclass(frozen=True, slots=True, eq=False)
class Spoken:
    """One question as sound."""

    text: str
    voice: str
    sound: Pcm  # [N] at 48 kHz, quiet before
    start_ns: int  # first audible sample
    end_ns: int  # last audible sample


def synthesise(questions: Sequence[str] = QUESTIONS) -> list[Spoken]:
    """Each question by one of the voices, in turns."""
    voices: dict[str, Speaker] = {
        "hibari": HibariSpeaker(speed=0.95),
        "hibari-fast": HibariSpeaker(speed=1.2),
    }
    try:
        voices["espeak"] = EspeakSpeaker(words_per_minute=150)
    except AssetError as error:
        print(f"without espeak-ng: {error}")
    # Every third question in the harder voice, whatever their number.
    names = list(voices)
    return [
        spoken(text, names[at % len(names)], voices[names[at % len(names)]])
        for at, text in enumerate(questions)
    ]


def spoken(text: str, voice: str, speaker: Speaker) -> Spoken:
    """One question in one voice."""
    return place(text, voice, np.concatenate(list(speaker.synthesize(text))), speaker.sample_rate)


def place(text: str, voice: str, sound: Pcm, rate: int) -> Spoken:
    """Sound with quiet before it, and where it can be heard; quiet after it is cut off."""
    at_48k = to_48k(sound, rate)
    audible = np.flatnonzero(np.abs(at_48k.astype(np.int32)) > AUDIBLE * np.abs(at_48k).max())
    first, last = int(audible[0]), int(audible[-1])
    before = np.zeros(round(QUIET_S * RATE_HZ), np.int16)
    placed = np.concatenate([before, at_48k[: last + 1]])
    start_ns = (len(before) + first) * NS_PER_S // RATE_HZ
    return Spoken(text, voice, placed, start_ns, len(placed) * NS_PER_S // RATE_HZ)


def from_folder(folder: Path) -> list[Spoken]:
    """Every NAME.wav (16-bit mono) with its transcript NAME.txt; raises ConfigError without one."""
    found = []
    for path in sorted(folder.glob("*.wav")):
        sound, rate = parse_wav(path.read_bytes())
        text = path.with_suffix(".txt")
        if not text.is_file():
            raise ConfigError(f"expected the transcript of {path.name} in {text}")
        found.append(place(text.read_text(encoding="utf-8").strip(), "recorded", sound, rate))
    if not found:
        raise ConfigError(f"expected WAV files in {folder}, found none")
    return found


def cough() -> Spoken:
    """A burst of noise of a quarter second: sound without words."""
    rng = np.random.default_rng(0)
    count = RATE_HZ // 4
    burst = rng.standard_normal(count) * np.hanning(count) * 8000
    return place("", "cough", burst.astype(np.int16), RATE_HZ)
