"""When is a turn over: the words, the voice (smart-turn), both, and a fixed silence, side by side.

    python -m benchmarks.turn_end [--json] [--quick] [--recording FILE]

Sentences that the weights were not set by, in three synthesised voices, whole and with a pause: the
longest silence within it (at a comma) is stretched to 0.4 and 0.8 s. Real voice detection,
whisper and smart-turn on the virtual clock: each word and judgement is waited for.

    false_cuts_%   turns that were taken to be over in their pause
    wait_p50_ms, wait_p95_ms, wait_mean_ms   silence until the true end was certain

With --recording (a film, sound file or Aria recording) a row `recorded-METHOD` counts its
utterances and their waits; what is a false cut there only a listener can tell.
"""

import argparse
import asyncio
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.report import emit
from devices.audio.pcm import HEARING_HZ, Sound
from devices.audio.resample import Resampler
from devices.listening.endpointing import EndpointConfig
from devices.listening.listener import ListenConfig
from devices.listening.speech_events import ListenEvent, SpeechEnded
from devices.speaking.speaker import EspeakSpeaker, HibariSpeaker, Speaker
from foveal.setup.hearing import Hearing, hear_file, load_hearing
from stream.clock import NS_PER_MS, NS_PER_S, VirtualClock
from stream.errors import AssetError

BLOCK = 320
PAUSES_S = (0.4, 0.8)
AUDIBLE = 0.02  # of the loudest sample
QUICK = 4
FIXED_NS = 512 * NS_PER_MS

SENTENCES = (
    "Behind the red chair, is that a suitcase?",
    "If the soup is too salty, what can I do about it?",
    "From this window, how far is the harbour?",
    "My sister sent me a postcard, read it to me.",
    "While the paint dries, tell me about the painter.",
    "Above the sink, which of the bottles is soap?",
    "Once the light is green, warn me about bicycles.",
    "In this photograph, who is standing near the door?",
)


@dataclass(frozen=True, slots=True, eq=False)
class Said:
    """One turn: sound [N] at 16 kHz with a second of silence before it and two after."""

    sound: Sound
    pause_ns: tuple[int, int] | None  # within it
    end_ns: int  # last audible sample


def main() -> None:
    """Hear all of them in every way."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="the last line is JSON in any case")
    parser.add_argument("--recording", type=Path, metavar="FILE")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} sentences")
    args = parser.parse_args()
    said = SENTENCES[:QUICK] if args.quick else SENTENCES
    turns = [one for voice in voices() for text in said for one in spoken(voice, text)]
    hearing = load_hearing()
    rows: dict[str, dict[str, float]] = {}
    for name, (config, judged) in methods().items():
        if judged and hearing.turns is None:
            raise AssetError("expected smart-turn; run `foveal models pull smart-turn`")
        ear = hearing if judged else dataclasses.replace(hearing, turns=None)
        rows[name] = summary(turns, [asyncio.run(hear(ear, config, one)) for one in turns])
        if args.recording is not None:
            times = _waits(hear_file(args.recording, ear, config))
            rows[f"recorded-{name}"] = {"turns": len(times), **waits(times)}
    both, words = rows["both"], rows["words"]
    met = both["false_cuts_%"] <= words["false_cuts_%"]
    emit("turn_end", rows, {"false_cuts_%": "both <= words"}, met, note="ms of silence")


def methods() -> dict[str, tuple[ListenConfig, bool]]:
    """Settings, and whether the voice is asked."""
    fixed = EndpointConfig(finished_ns=FIXED_NS, unknown_ns=FIXED_NS, unfinished_ns=FIXED_NS)
    return {
        "fixed-512": (ListenConfig(fixed), False),
        "words": (ListenConfig(), False),
        "voice": (ListenConfig(drafts=False), True),  # without drafts no words are known
        "both": (ListenConfig(), True),
    }


def voices() -> list[Speaker]:
    """Those that are on this machine."""
    found: list[Speaker] = [HibariSpeaker(speed=0.95), HibariSpeaker(speed=1.2)]
    try:
        found.append(EspeakSpeaker(words_per_minute=150))
    except AssetError as error:
        print(f"without espeak-ng: {error}")
    return found


def spoken(speaker: Speaker, text: str) -> list[Said]:
    """A sentence whole, and with each of the pauses."""
    pcm = np.concatenate(list(speaker.synthesize(text)))
    voice = Resampler(speaker.sample_rate).feed((pcm / 32768).astype(np.float32), last=True)
    audible = np.flatnonzero(np.abs(voice) > AUDIBLE * np.abs(voice).max())
    voice = voice[audible[0] : audible[-1] + 1]
    return [_placed(voice, None), *(_placed(voice, seconds) for seconds in PAUSES_S)]


def _placed(voice: Sound, pause_s: float | None) -> Said:
    before, after = np.zeros(HEARING_HZ, np.float32), np.zeros(2 * HEARING_HZ, np.float32)
    span = None
    if pause_s is not None:
        audible = np.flatnonzero(np.abs(voice) > AUDIBLE * np.abs(voice).max())
        at = int(np.argmax(np.diff(audible)))
        begin, end = int(audible[at]) + 1, int(audible[at + 1])
        pause = np.zeros(max(end - begin, round(pause_s * HEARING_HZ)), np.float32)
        voice = np.concatenate([voice[:begin], pause, voice[end:]])
        span = _ns(HEARING_HZ + begin), _ns(HEARING_HZ + begin + len(pause))
    return Said(np.concatenate([before, voice, after]), span, _ns(HEARING_HZ + len(voice)))


async def hear(hearing: Hearing, config: ListenConfig, said: Said) -> list[SpeechEnded]:
    """The ends that were decided."""
    ends: list[SpeechEnded] = []

    def take(event: ListenEvent) -> None:
        if isinstance(event, SpeechEnded):
            ends.append(event)

    clock = VirtualClock()
    config = dataclasses.replace(config, partial_every_ns=None)
    listener = hearing.listener(take, clock, config)
    for at in range(0, len(said.sound) - BLOCK, BLOCK):
        clock.advance_to(_ns(at))
        listener.feed(said.sound[at : at + BLOCK], _ns(at), HEARING_HZ)
        await listener.drain()
    await listener.close()
    return ends


def summary(turns: Sequence[Said], heard: Sequence[Sequence[SpeechEnded]]) -> dict[str, float]:
    """False cuts among the turns with a pause, and the waits of all."""
    paused = [(one, ends) for one, ends in zip(turns, heard, strict=True) if one.pause_ns]
    cut = sum(
        any(one.pause_ns is not None and end.decided_ns <= one.pause_ns[1] for end in ends)
        for one, ends in paused
    )
    last = [
        ends[-1].decided_ns - one.end_ns for one, ends in zip(turns, heard, strict=True) if ends
    ]
    row = {"turns": len(turns), "missed": sum(not ends for ends in heard)}
    return {**row, "false_cuts_%": 100 * cut / max(1, len(paused)), **waits(last)}


def waits(times: Sequence[int]) -> dict[str, float]:
    """Of some silences, ns."""
    known = np.array(times or [0]) / NS_PER_MS
    p50, p95 = np.percentile(known, (50, 95))
    return {
        "wait_p50_ms": float(p50),
        "wait_p95_ms": float(p95),
        "wait_mean_ms": float(known.mean()),
    }


def _waits(events: Sequence[ListenEvent]) -> list[int]:
    return [one.decided_ns - one.ended_ns for one in events if isinstance(one, SpeechEnded)]


def _ns(samples: int) -> int:
    return samples * NS_PER_S // HEARING_HZ


if __name__ == "__main__":
    main()
