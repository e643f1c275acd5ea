"""The whole pipeline on a 720p clip at 10 fps: frames per second, memory, each stage's share.

    python -m benchmarks.replay [--json] [--quick] [--video CLIP] [--minutes 30] [--loop-only]
    python -m benchmarks.replay --memory [--json] [--quick] [--video CLIP]

Three masklets live from the first keyframe on, and a question comes every 15 s of stream time.
`foveal` does everything that `foveal replay` does; the other rows leave out the annotated video,
the speech, or both. `fps` counts all of it, answers included; `frame_fps` leaves the answers out;
`cpu_ms_per_frame` is processor time, which other programs disturb less than they do `fps`.
`foveal-loop` plays the clip over and over for so many minutes of stream time: its
`growth_bytes_per_frame` is the Theil-Sen slope of the resident set less mapped files after the
warm-up (the first fifth). Every row runs in a process of its own; `peak_rss_mb` is the largest
resident set seen after a frame, mapped files included. Unless a clip is given, `foveal.demo.clip`
renders one. `--memory` plays the clip with a memory and without one in turn, in the order A B B A,
so that a machine that gets slower slows both; `fps_ratio` is that of their medians.
"""

import argparse
import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt
import psutil

from benchmarks.report import emit
from devices.speaking.speaker import open_speaker
from foveal.config.schema import Config, MemorySettings, SessionConfig, placed
from foveal.demo.clip import DemoOptions, render_demo
from foveal.jobs.clip_memory import ClipMemory
from foveal.output.recorder import Recorder
from foveal.session.pipeline import Session
from foveal.session.stages import SessionSink
from foveal.setup.assistant import open_models
from foveal.setup.footprint import bound_arenas
from foveal.setup.stages import load_stages
from foveal.setup.threads import share_cores
from stream.clock import NS_PER_MS, NS_PER_S, Clock, VirtualClock, seconds_to_ns
from stream.events import Answer, AnswerEvent, Question, Region
from stream.frame import Frame, Keyframe
from stream.sources.open import open_source
from stream.sources.playback import PlaybackOptions, Player
from stream.sources.reader import Reader
from stream.timing.trace import StageSummary, Tracer

GOAL_FPS = 10.0
GOAL_GROWTH = 6.0  # bytes per frame: 216 kB an hour at 10 fps
GOAL_MEMORY = 0.97  # of the frames per second without
MEMORY_ROUNDS = 3  # of A B B A
GOAL_MINUTES = 30.0  # of the loop, below which growth is mostly warm-up and judged by nobody
TRACKS = 3
STREAM_S, QUICK_STREAM_S = 60.0, 8.0
FIRST_QUESTION_S, EVERY_S = 4.0, 15.0
SAMPLE_EVERY = 10  # frames
WARM_UP = 0.2  # of the run
QUESTIONS = (
    "What is this?",
    "What is coffee made from?",
    "What do you see?",
    "Is there a tripod here?",
    "Who is this man?",
    "What does this animal eat?",
)
ANSWERING = ("scene", "answer", "speech", "report")  # stages that a question sets off
CLIP = DemoOptions(seconds=16.0, width=1280, height=720, fps=10)
MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Job:
    """One row: what is played, and what is written of it."""

    name: str
    clip: Path
    stream_s: float
    video: bool
    speech: bool
    memory: bool = False  # what is seen is remembered


def main() -> None:
    """Run every row in a fresh process and print them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="the last line is JSON in any case")
    parser.add_argument("--quick", action="store_true", help="8 s rows and a loop of half a minute")
    parser.add_argument("--video", "--data", type=Path, metavar="CLIP", help="play this instead")
    parser.add_argument("--minutes", type=float, help="of the loop (30; 0 leaves it out)")
    parser.add_argument("--loop-only", action="store_true", help="only the loop")
    parser.add_argument("--memory", action="store_true", help="only with a memory beside without")
    args = parser.parse_args()
    minutes = args.minutes if args.minutes is not None else 0.5 if args.quick else GOAL_MINUTES
    with TemporaryDirectory(prefix="foveal-") as folder:
        clip = args.video or render_demo(Path(folder) / "demo.mp4", CLIP).clip
        seconds = QUICK_STREAM_S if args.quick else STREAM_S
        full = Job("foveal", clip, seconds, video=True, speech=True)
        silent = replace(full, name="foveal-no-video-no-speech", video=False, speech=False)
        if args.memory:
            emit("replay", *_memory_rows(silent, 1 if args.quick else MEMORY_ROUNDS))
            return
        jobs = [full, silent]
        if not args.quick:
            jobs.insert(1, replace(full, name="foveal-no-video", video=False))
            jobs.insert(2, replace(full, name="foveal-no-speech", speech=False))
        if args.loop_only:
            jobs = []
        if minutes > 0:
            jobs.append(replace(full, name="foveal-loop", stream_s=60 * minutes))
        results = {job.name: _in_process(job) for job in jobs}
    emit("replay", results, *judge(results, minutes))


def _memory_rows(
    silent: Job, rounds: int
) -> tuple[dict[str, dict[str, float]], dict[str, str], bool | None]:
    """Rows with and without a memory in turn, and the ratio of their medians."""
    order = [(False, True) if number % 2 == 0 else (True, False) for number in range(2 * rounds)]
    results: dict[str, dict[str, float]] = {}
    for number, pair in enumerate(order, 1):
        for memory in pair:
            name = f"foveal-{'memory' if memory else 'no-memory'}-{number}"
            results[name] = _in_process(replace(silent, name=name, memory=memory))
    fps = {
        kind: [row["fps"] for name, row in results.items() if name.startswith(f"foveal-{kind}-")]
        for kind in ("memory", "no-memory")
    }
    ratio = float(np.median(fps["memory"]) / np.median(fps["no-memory"]))
    results["memory beside without"] = {"fps_ratio": ratio}
    return results, {"fps_ratio": f">= {GOAL_MEMORY} (memory beside without)"}, ratio >= GOAL_MEMORY


def _in_process(job: Job) -> dict[str, float]:
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as pool:
        row = pool.submit(play, job).result()
    print(f"{job.name}: {row['fps']:.2f} fps, load {psutil.getloadavg()[0]:.1f}", flush=True)
    return row


def judge(
    results: dict[str, dict[str, float]], minutes: float
) -> tuple[dict[str, str], bool | None]:
    """The goals of the rows that ran, and whether all are met; None where one was not measured."""
    goal: dict[str, str] = {}
    met: bool | None = True
    if "foveal-loop" in results:
        goal["growth_bytes_per_frame"] = f"<= {GOAL_GROWTH:.0f} (foveal-loop)"
        met = results["foveal-loop"]["growth_bytes_per_frame"] <= GOAL_GROWTH
        if minutes < GOAL_MINUTES:
            goal["growth_bytes_per_frame"] += f": not measured, needs {GOAL_MINUTES:.0f} minutes"
            met = None
    if "foveal" in results:
        goal["fps"] = f">= {GOAL_FPS:.0f} (foveal)"
        met = met if results["foveal"]["fps"] >= GOAL_FPS else False
    return goal, met


def play(job: Job) -> dict[str, float]:
    """One row; runs in a process of its own."""
    bound_arenas()  # both as `foveal.jobs.replay.replay` does
    share_cores()
    with TemporaryDirectory(prefix="foveal-") as out:
        return asyncio.run(_play(job, Path(out)))


async def _play(job: Job, out: Path) -> dict[str, float]:
    # Every thing seeds a masklet, so that three live from the first keyframe on.
    config = Config(session=SessionConfig(max_tracks=TRACKS, min_seed_score=0.0))
    clock = VirtualClock()
    with Tracer(out / "trace.json") as tracer:
        recording = open_source(job.clip, clock)
        frames = round(job.stream_s * float(recording.info().rate or 10))
        source = FirstFrames(recording.reader, frames, clock, tracer)
        speaker = open_speaker("hibari" if job.speech else "none")
        file = out / "day.memory" if job.memory else None
        models = open_models(placed(config))
        memory = ClipMemory.open(MemorySettings(file), job.clip, models)
        stages = load_stages(config, models, memory.asked)(tracer)
        with (
            memory,
            Recorder(out, speaker, timed=False, video=job.video, tracer=tracer) as recorder,
        ):
            watch = Watch(recorder, frames)
            session = Session(stages, memory.before(watch), config.session)
            began, worked = time.perf_counter_ns(), time.process_time_ns()
            state = await session.run(source, questions(job.stream_s))
            took_s = (time.perf_counter_ns() - began) / NS_PER_S
            cpu_ms = (time.process_time_ns() - worked) / NS_PER_MS
            recorder.finish({})
        stages_took = tracer.summary()
    _print_stages(job.name, stages_took)
    row = _rates(state.frames, state.answered, took_s, stages_took)
    return row | watch.figures() | {"cpu_ms_per_frame": cpu_ms / state.frames}


def questions(stream_s: float) -> list[Question]:
    """One every 15 s of stream time, in turn."""
    times = np.arange(FIRST_QUESTION_S, stream_s, EVERY_S)
    return [
        Question(QUESTIONS[number % len(QUESTIONS)], seconds_to_ns(float(at)))
        for number, at in enumerate(times)
    ]


class FirstFrames:
    """A FrameSource of so many frames of a recording played over and over; decoding is traced."""

    def __init__(self, reader: Reader, count: int, clock: Clock, tracer: Tracer) -> None:
        self._reader, self._count, self._tracer = reader, count, tracer
        self._player = Player(self._read, clock, PlaybackOptions(rate=0, loop=True))

    async def frames(self) -> AsyncIterator[Frame]:
        done = 0
        async for frame in self._player.frames():
            yield frame
            done += 1
            if done == self._count:
                return

    def _read(self, start_ns: int) -> Iterator[Frame]:
        frames = self._reader.read(start_ns)
        while True:
            with self._tracer.span("decode"):
                frame = next(frames, None)
            if frame is None:
                return
            yield frame


class Watch:
    """A SessionSink in front of another: counts masklets and samples memory."""

    def __init__(self, sink: SessionSink, frames: int) -> None:
        self._sink = sink
        self._process = psutil.Process()
        self._frames = self._tracks = self._shown = 0
        # Filled beforehand, so that sampling takes no new memory.
        self._own = np.full(frames // SAMPLE_EVERY + 1, -1, np.int64)
        self._peak = 0

    def frame(self, frame: Frame, regions: tuple[Region, ...], keyframe: Keyframe | None) -> None:
        self._sink.frame(frame, regions, keyframe)
        if self._frames % SAMPLE_EVERY == 0 and self._frames // SAMPLE_EVERY < len(self._own):
            memory = self._process.memory_info()
            self._peak = max(self._peak, memory.rss)
            # Mapped files come and go as the system pleases.
            self._own[self._frames // SAMPLE_EVERY] = memory.rss - memory.shared
        self._frames += 1
        self._tracks += len(regions)
        self._shown += sum(region.box is not None for region in regions)

    def event(self, event: AnswerEvent) -> None:
        self._sink.event(event)

    def answer(self, answer: Answer, frame: Frame, regions: tuple[Region, ...]) -> None:
        self._sink.answer(answer, frame, regions)

    def figures(self) -> dict[str, float]:
        """Masklets alive and in view per frame, and memory."""
        own = self._own[self._own >= 0]
        count = max(1, self._frames)
        return {
            "tracks": self._tracks / count,
            "in_view": self._shown / count,
            "peak_rss_mb": self._peak / MB,
            "growth_bytes_per_frame": growth(own) / SAMPLE_EVERY,
        }


def growth(samples: npt.NDArray[np.int64]) -> float:
    """Theil-Sen slope per sample, after the warm-up: the median of the slopes of all pairs."""
    kept = samples[round(WARM_UP * len(samples)) :].astype(np.float64)
    first, second = np.triu_indices(len(kept), 1)
    if not len(first):
        return 0.0
    return float(np.median((kept[second] - kept[first]) / (second - first)))


def _rates(
    frames: int, answers: int, took_s: float, stages: dict[str, StageSummary]
) -> dict[str, float]:
    answering = sum(stages[name].self_ns for name in ANSWERING if name in stages) / NS_PER_S
    row = {
        "frames": float(frames),
        "answers": float(answers),
        "fps": frames / took_s,
        "frame_fps": frames / max(1e-9, took_s - answering),
    }
    return row | {f"share_{name}": stage.share for name, stage in stages.items()}


def _print_stages(name: str, stages: dict[str, StageSummary]) -> None:
    for stage, took in stages.items():
        print(
            f"{name:26} {stage:9} {took.count:6} x  p50 {took.p50_ns / 1e6:8.2f} ms  "
            f"p95 {took.p95_ns / 1e6:8.2f} ms  {100 * took.share:5.1f} %"
        )


if __name__ == "__main__":
    main()
