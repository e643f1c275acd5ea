"""From the end of a spoken question to the first sound of the answer, everything on this machine.

    python -m benchmarks.voice_turn [--json] [--quick] [--only METHOD] [--data FOLDER] [--show]

Synthesised voices (Hibari at two speeds, espeak-ng) ask about a photograph that was read before;
their sound comes in real time, in blocks of 20 ms at 48 kHz, as a microphone's would. It passes
voice detection, end-of-utterance detection, whisper, the real assistant, Hibari and the outgoing
track, whose blocks are taken as aiortc's sender takes them. Counted from the last audible sample of
the question:

    first_audio    the first audible block that goes out: the answer, or the lead-in "Let me see."
    first_answer   the first audible block of the answer itself
    endpoint, transcription, words, synthesis, playout: its parts, p50, in ms

`wer` is the word error rate of the transcripts. `fixed-500` waits half a second after every
utterance and transcribes then, the usual design; `no-drafts` only transcribes later. In `barge_in`
a question interrupts a long answer: `detect` from its first audible sample to the decision,
`heard_after` what still goes out after that; a cough must lose nothing. With --data the WAV files
of a folder are asked, their transcripts in NAME.txt beside them.

`webrtc-0`, `-1` and `-5` bring the microphone over a real WebRTC connection that loses so many
packets in a hundred, `stock-...` the same with aiortc's own audio buffer:

    packets_lost_%, sound_lost_%, concealed_%    of 40 s of the questions' sound, without the rest
    delay_p50_ms, _p95_ms, _end_ms               of it, microphone to listener; of its last second
"""

import argparse
import asyncio
import dataclasses
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

import numpy as np
import skimage.data

from benchmarks.report import emit
from benchmarks.voice_chain import Chain, Interruption, Turn, interrupt, take_turn
from benchmarks.voice_path import PathConfig, SoundPath, carry
from benchmarks.voice_questions import Spoken, cough, from_folder, synthesise
from benchmarks.word_errors import word_errors
from devices.listening.endpointing import EndpointConfig
from devices.listening.listener import ListenConfig
from devices.speaking.speaker import HibariSpeaker
from devices.webrtc.tracks import RATE_HZ
from foveal.live.speech.voice import LEAD_IN
from foveal.setup.assistant import Models, build_assistant, load_models
from foveal.setup.hearing import load_hearing
from perception.scene.reader import SceneView
from stream.clock import NS_PER_MS
from stream.frame import Frame

GOAL_MS = 800.0
BARGE_MS = 40.0
QUICK = 8
PARTS = ("endpoint", "transcription", "words", "synthesis", "playout")
HALF_S = 512 * NS_PER_MS
OVER_NETWORK = 12  # questions
CARRIED_S = 40  # of their sound, over and over, with nothing else to do
ADDED_MS, LOST_PERCENT = 40.0, 1.2  # at most, at 1 % loss


def main() -> None:
    """Ask, interrupt, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="the last line is JSON in any case")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} questions, one method")
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="WAV files to ask instead")
    parser.add_argument("--only", action="append", metavar="METHOD", help="repeatable")
    parser.add_argument("--show", action="store_true", help="print every turn")
    args = parser.parse_args()
    spoken = synthesise() if args.data is None else from_folder(args.data)
    wanted = args.only or (("foveal",) if args.quick else methods())
    chosen = {name: how for name, how in methods().items() if name in wanted}
    if args.quick:
        spoken = spoken[:QUICK]
    models = load_models()
    rows = asyncio.run(_run(models, read_view(models), spoken, chosen, args.show))
    goal = {
        "first_audio_p95_ms": f"<= {GOAL_MS:.0f}",
        "heard_after_max_ms": f"<= {BARGE_MS:.0f}",
        "lost_ms": "0",
        "webrtc-1 sound_lost_%": f"<= {LOST_PERCENT}",
        "webrtc-1 delay_p95_ms": f"<= {ADDED_MS:.0f} more than webrtc-0",
    }
    emit("voice_turn", rows, goal, goals_met(rows), note="ms from the last audible sample")


def goals_met(rows: Mapping[str, Mapping[str, float]]) -> bool | None:
    """False where a goal was missed, None where one was not measured."""
    barge, ours = rows["barge_in"], rows.get("foveal")
    whole, lossy = rows.get("webrtc-0"), rows.get("webrtc-1")
    met = barge["heard_after_max_ms"] <= BARGE_MS and barge["lost_ms"] == 0
    if ours is not None:
        met &= ours["first_audio_p95_ms"] <= GOAL_MS
    if lossy is not None:
        met &= lossy["sound_lost_%"] <= LOST_PERCENT
    if lossy is not None and whole is not None:
        met &= lossy["delay_p95_ms"] - whole["delay_p95_ms"] <= ADDED_MS
    return False if not met else None if None in (ours, whole, lossy) else True


@dataclasses.dataclass(frozen=True)
class Method:
    """A way to take turns, and the microphone's way to us."""

    listen: ListenConfig = dataclasses.field(default_factory=ListenConfig)
    path: PathConfig | None = None


def methods() -> dict[str, Method]:
    """All that are measured."""
    half = EndpointConfig(finished_ns=HALF_S, unknown_ns=HALF_S, unfinished_ns=HALF_S)
    usual = ListenConfig(half, partial_every_ns=None, drafts=False)
    network = {
        f"{name}-{percent}": Method(path=PathConfig(percent / 100, name == "stock"))
        for percent in (0, 1, 5)
        for name in ("webrtc", "stock")
    }
    return {
        "foveal": Method(),
        "no-drafts": Method(dataclasses.replace(ListenConfig(), drafts=False)),
        "fixed-500": Method(usual),
        **network,
    }


def read_view(models: Models) -> SceneView:
    """The photograph that is asked about, read once."""
    image = np.ascontiguousarray(skimage.data.coffee(), dtype=np.uint8)
    return models.reader.read(Frame(0, 0, image, "coffee"))


async def _run(
    models: Models,
    view: SceneView,
    spoken: Sequence[Spoken],
    chosen: Mapping[str, Method],
    show: bool,
) -> dict[str, dict[str, float]]:
    rows: dict[str, dict[str, float]] = {}
    with ExitStack() as pools:
        ears, brain, lips = (pools.enter_context(ThreadPoolExecutor(1)) for _ in range(3))
        hearing = load_hearing(ears)
        speaker = HibariSpeaker()
        for name, how in chosen.items():
            path = None if how.path is None else SoundPath(how.path)
            asked = spoken if path is None else spoken[:OVER_NETWORK]
            chain = Chain(hearing, build_assistant(models), view, speaker, brain, lips, path)
            async with AsyncExitStack() as stack:
                if path is not None:
                    await stack.enter_async_context(path.open())
                await stack.enter_async_context(chain.running(how.listen, LEAD_IN))
                await take_turn(chain, spoken[0])  # warm
                turns = [await take_turn(chain, one) for one in asked]
            rows[name] = summary(turns)
            if how.path is not None:
                sound = np.concatenate([one.sound for one in spoken])
                rows[name] |= await carry(how.path, np.resize(sound, CARRIED_S * RATE_HZ))
            if name == "foveal":
                rows |= {f"{name}-{v}": summary(of) for v, of in _by_voice(turns).items()}
            for turn in turns if show else ():
                print(name, turn.line())
        chain = Chain(hearing, build_assistant(models), view, speaker, brain, lips)
        async with chain.running(ListenConfig(), None):
            cuts = [await interrupt(chain, one) for one in spoken[: 2 * QUICK]]
            false = await interrupt(chain, cough())
    rows["barge_in"] = barge_summary(cuts, false)
    return rows


def _by_voice(turns: Sequence[Turn]) -> dict[str, list[Turn]]:
    voices = dict.fromkeys(turn.spoken.voice for turn in turns)
    return {voice: [turn for turn in turns if turn.spoken.voice == voice] for voice in voices}


def summary(turns: Sequence[Turn]) -> dict[str, float]:
    """Times in ms and error rates of some turns."""
    answered = [turn for turn in turns if turn.first_audio_ns is not None]
    row: dict[str, float] = {"turns": len(turns), "answered": len(answered)}
    for key in ("first_audio", "first_answer"):
        times = np.array([getattr(turn, f"{key}_ns") for turn in answered]) / NS_PER_MS
        for share in (50, 95):
            row[f"{key}_p{share}_ms"] = float(np.percentile(times, share)) if len(times) else 0.0
    for part in PARTS:
        times = np.array([turn.parts_ns[part] for turn in answered]) / NS_PER_MS
        row[f"{part}_ms"] = float(np.median(times)) if len(times) else 0.0
    errors = [word_errors(turn.spoken.text, turn.heard) for turn in turns]
    row["wer"] = sum(wrong for wrong, _ in errors) / max(1, sum(said for _, said in errors))
    row["lead_ins"] = sum(turn.led_in for turn in answered) / max(1, len(answered))
    row["drafted"] = sum(turn.drafted for turn in answered) / max(1, len(answered))
    return row


def barge_summary(cuts: Sequence[Interruption], false: Interruption) -> dict[str, float]:
    """How fast a voice stops, and what a cough costs."""
    detect = np.array([cut.detect_ns for cut in cuts if cut.stopped]) / NS_PER_MS
    after = np.array([cut.heard_after_ns for cut in cuts if cut.stopped]) / NS_PER_MS
    return {
        "turns": len(cuts),
        "stopped": sum(cut.stopped for cut in cuts),
        "detect_p50_ms": float(np.percentile(detect, 50)),
        "detect_p95_ms": float(np.percentile(detect, 95)),
        "heard_after_max_ms": float(after.max()),
        "lost_ms": false.lost_ns / NS_PER_MS,
    }


if __name__ == "__main__":
    main()
