"""The replay job: compose the stages, run the session, tell what came of it."""

import argparse
import asyncio
import dataclasses
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from devices.speaking.speaker import open_speaker
from foveal.config.load import load_config, with_indexes, with_memory
from foveal.config.schema import Config, RecordingSettings, SpeechSettings, placed
from foveal.jobs.clip_memory import ClipMemory
from foveal.jobs.replay_summary import Summary
from foveal.output.answer_records import parse_ask, read_questions
from foveal.output.blur import FaceBlur
from foveal.output.recorder import RESULTS, Recorder
from foveal.output.results_folder import check_folder, claim, default_folder
from foveal.session.pipeline import Session
from foveal.session.state import SessionState
from foveal.setup.assistant import open_models
from foveal.setup.faces import blur_maker
from foveal.setup.footprint import bound_arenas, peak_memory_mb
from foveal.setup.hearing import load_hearing, spoken_questions, tell_sound
from foveal.setup.processors import device_of, whisper_device
from foveal.setup.stages import load_stages
from foveal.setup.standing import open_standing
from foveal.setup.threads import share_cores
from stream.clock import NS_PER_S, Clock, MonotonicClock, VirtualClock, seconds_to_ns
from stream.errors import ConfigError, SourceError
from stream.events import Question
from stream.frame import Frame
from stream.outgoing import heard_by
from stream.sources.open import ReaderName, Recording, folder_rate, open_source
from stream.sources.playback import PlaybackOptions
from stream.sources.reader import Reader, SourceInfo
from stream.timing.trace import Tracer
from stream.writing import keep_apart

TRACE = "trace.json"
MAX_S = 1_000_000  # eleven days: longer than any recording
OnFrame = Callable[[int, int | None], None]  # frames done, frames in all when known


@dataclass(frozen=True, slots=True)
class ReplayRequest:
    """What `foveal replay` was asked to do."""

    clip: Path
    out: Path
    questions: tuple[Question, ...]
    playback: PlaybackOptions
    config: Config = field(default_factory=Config)
    reader: ReaderName = "pyav"
    folder_fps: Fraction = Fraction(10)
    video: bool = True
    scores: bool = False  # ids and scores in the video

    @classmethod
    def from_args(cls, args: argparse.Namespace) -> "ReplayRequest":
        """Build from the command line; raises ConfigError naming the bad value."""
        clip = Path(args.clip)
        out = args.out or default_folder(clip)
        keep_apart([out / name for name in RESULTS], [args.ask_file or clip])
        if args.remember is not None:
            keep_apart([args.remember], [clip])
        questions = [parse_ask(text) for text in args.ask]
        if args.ask_file is not None:
            questions += read_questions(args.ask_file)
        playback = PlaybackOptions(
            rate=args.rate,
            start_offset_ns=_to_ns("--start-offset", args.start_offset),
            duration_ns=None if args.duration is None else _to_ns("--duration", args.duration),
            loop=args.loop,
            start_paused=args.start_paused,
        )
        config = _config(args)
        if args.ask_audio:
            ears = whisper_device(device_of(config))
            hearing = load_hearing(device=ears, model=config.hearing.model)
            asked = spoken_questions(clip, hearing, args.wake, args.sound_track)
            heard = [question for question in asked if _played(question, playback)]
            tell_sound(clip, args.sound_track, len(heard))
            questions += heard
        return cls(
            clip=clip,
            out=out,
            questions=tuple(questions),
            playback=playback,
            config=config,
            reader=args.reader,
            folder_fps=folder_rate(args.fps),
            video=not args.no_video,
            scores=args.show_scores,
        )


def _blur(config: Config) -> FaceBlur | None:
    return blur_maker(device_of(config))() if config.recording.blur_faces else None


def _to_ns(name: str, seconds: float) -> int:
    if not 0 <= seconds <= MAX_S:  # NaN is in no range
        raise ConfigError(f"expected {name} from 0 to {MAX_S} seconds, got {seconds}")
    return seconds_to_ns(seconds)


def _played(question: Question, playback: PlaybackOptions) -> bool:
    """Whether the part of the recording that is played holds a spoken question."""
    after_ns = question.asked_ns - playback.start_offset_ns
    return after_ns >= 0 and (playback.duration_ns is None or after_ns < playback.duration_ns)


def _config(args: argparse.Namespace) -> Config:
    """The profile or file, with what the command line says on top."""
    config = with_memory(with_indexes(load_config(args.config), args.index), args.remember)
    if args.tracker is not None:
        masklets = dataclasses.replace(config.masklets, tracker=args.tracker)
        config = dataclasses.replace(config, masklets=masklets)
    if args.tracks is not None:
        if args.tracks < 0:
            raise ConfigError(f"expected --tracks of 0 or more, got {args.tracks}")
        session = dataclasses.replace(config.session, max_tracks=args.tracks)
        config = dataclasses.replace(config, session=session)
    if args.blur_faces:
        config = dataclasses.replace(config, recording=RecordingSettings(blur_faces=True))
    if args.no_speech:
        config = dataclasses.replace(config, speech=SpeechSettings("none"))
    return config


async def replay(request: ReplayRequest, on_frame: OnFrame | None = None) -> Summary:
    """Play a recording through a session and write its results.

    Raises SourceError when nothing can be read of it; what was read before a break is kept.
    """
    bound_arenas()
    share_cores()
    clock: Clock = VirtualClock() if request.playback.rate == 0 else MonotonicClock()
    recording = open_source(
        request.clip, clock, request.playback, request.reader, request.folder_fps
    )
    virtual = request.playback.rate == 0
    wall = MonotonicClock()
    results = (*RESULTS, TRACE)
    check_folder(request.out, request.clip, results)
    # First: a model that does not open leaves no folder, and an earlier run's results as they are.
    models = open_models(placed(request.config))
    memory = ClipMemory.open(request.config.memory, request.clip, models)
    make_stages, blur = load_stages(request.config, models, memory.asked), _blur(request.config)
    claim(request.out, request.clip, results)
    with memory, Tracer(request.out / TRACE) as tracer:
        timed = _TimedReader(recording.reader, tracer)
        recording = Recording(timed, clock, request.playback)
        speaker = open_speaker(request.config.speech.backend)
        stages = make_stages(tracer)
        with Recorder(
            request.out,
            speaker,
            timed=not virtual,
            video=request.video,
            scores=request.scores,
            tracer=tracer,
            blur=blur,
            views=memory.views,
        ) as recorder:
            standing = open_standing(request.config.standing, stages)
            sink = memory.before(recorder)
            session = Session(stages, sink, request.config.session, standing=standing)
            began = wall.now_ns()
            source = _Counted(recording, on_frame)
            if request.playback.start_paused:
                asyncio.get_running_loop().run_in_executor(None, _wait_for_enter, recording)
            with heard_by(recorder.outgoing.add):
                state = await session.run(source, request.questions)
            figures = _figures(request, recording, recorder, state, wall.now_ns() - began)
            figures |= memory.figures()
            summary = tracer.summary()
            recorder.finish({"clip": str(request.clip), **figures, "stages": summary})
    if state.frames == 0:
        raise SourceError(f"expected frames in {request.clip}, found none that can be decoded")
    return Summary(request.out, figures, {name: one.as_json() for name, one in summary.items()})


class _Counted:
    """A FrameSource that reports progress."""

    def __init__(self, recording: Recording, on_frame: OnFrame | None) -> None:
        self._recording, self._on_frame = recording, on_frame

    async def frames(self) -> AsyncIterator[Frame]:
        total = self._recording.info().frame_count
        done = 0
        async for frame in self._recording.frames():
            yield frame
            done += 1
            if self._on_frame is not None:
                self._on_frame(done, total)


class _TimedReader:
    """A reader whose decoding shows in the trace; pacing and waiting do not."""

    def __init__(self, reader: Reader, tracer: Tracer) -> None:
        self._reader, self._tracer = reader, tracer
        self.faults = reader.faults

    def info(self) -> SourceInfo:
        return self._reader.info()

    def read(self, start_ns: int) -> Iterator[Frame]:
        frames = self._reader.read(start_ns)
        while True:
            with self._tracer.span("decode"):
                frame = next(frames, None)
            if frame is None:
                return
            yield frame


def _figures(
    request: ReplayRequest,
    recording: Recording,
    recorder: Recorder,
    state: SessionState,
    took_ns: int,
) -> dict[str, Any]:
    stream_ns = state.last.pts_ns if state.last is not None else 0
    return {
        "frames": state.frames,
        "keyframes": state.keyframe_count,
        "answers": state.answered,
        "questions": len(request.questions),
        "asked_after_the_end": state.late,
        "stream_s": round(stream_ns / NS_PER_S, 3),
        "took_s": round(took_ns / NS_PER_S, 3),
        "speed_fps": round(state.frames * NS_PER_S / max(1, took_ns), 2),
        "peak_rss_mb": peak_memory_mb(),
        "refused": dict(state.refused),
        "reasons": recorder.reasons,
        "faults": recording.faults,
    }


def _wait_for_enter(recording: Recording) -> None:
    print("paused; press Enter to play", file=sys.stderr)
    sys.stdin.readline()
    recording.player.resume()
