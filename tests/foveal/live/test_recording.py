"""Recordings: what is kept, that it replays to the same answers, and that it goes in time."""

import asyncio
import json
import os
from pathlib import Path

import numpy as np
import pytest

from foveal.config.schema import SessionConfig
from foveal.live.protocol.parts import PointedQuestion
from foveal.live.recording import (
    ANSWERS,
    CLIP,
    MESSAGES,
    QUESTIONS,
    SUMMARY,
    VIEW,
    FileRecording,
    Library,
    RecordPolicy,
    make_view,
)
from foveal.output.answer_records import read_answers, read_questions
from foveal.output.recorder import Recorder
from foveal.session.pipeline import Session
from stream.clock import NS_PER_S, VirtualClock
from stream.errors import OutputError
from stream.sources.open import open_source
from stream.sources.playback import PlaybackOptions
from tests.foveal.live.live_rig import LiveRig, QueueSource, frame, make_stages, until


async def record(folder: Path) -> None:
    async with LiveRig() as rig:
        source = QueueSource()
        source.put(0, 100)  # before the recording: not kept
        watching = asyncio.create_task(rig.live.watch(source))
        await until(lambda: len(rig.of("regions")) == 2)
        rig.live.renew(FileRecording(folder, 60.0))
        for time_ms in range(133, 900, 67):
            source.put(time_ms)
        await until(lambda: len(rig.of("regions")) == 14)
        rig.live.ask(PointedQuestion(text="What is this?", point=(0.2, 0.25)))
        source.put(967, 1033)
        await rig.until("end")
        rig.live.ask("And how large?")
        source.put(1100)
        await rig.until("end", 2)
        rig.live.stop_recording("asked for")
        await until(lambda: not rig.of("recording")[-1]["on"])
        source.put(1200)
        source.queue.put_nowait(None)
        await watching


async def test_a_recording_replays_to_the_same_answers(tmp_path: Path) -> None:
    folder = tmp_path / "one"
    await record(folder)
    questions = read_questions(folder / QUESTIONS)
    assert [question.text for question in questions] == ["What is this?", "And how large?"]
    recording = open_source(folder / CLIP, VirtualClock(), PlaybackOptions(rate=0.0))
    with Recorder(tmp_path / "again", None, timed=False, video=False) as recorder:
        session = Session(make_stages(), recorder, SessionConfig())
        state = await session.run(recording, questions)
    assert state.late == 0 and recording.faults == {}
    live, replayed = read_answers(folder / ANSWERS), read_answers(tmp_path / "again/answers.jsonl")
    assert live == replayed
    assert len(live) == 2 and live[0].spans
    summary = json.loads((folder / SUMMARY).read_text())
    assert (summary["frames"], summary["ended"]) == (state.frames, "asked for")
    rows = [json.loads(line) for line in (folder / MESSAGES).read_text().splitlines()]
    assert {"regions", "token", "end", "started"} <= {row["type"] for row in rows}


def test_frames_are_kept_without_loss(tmp_path: Path) -> None:
    recording = FileRecording(tmp_path / "one", 60.0)
    rng = np.random.default_rng(1)
    frames = [frame(40 * n) for n in range(4)]
    for one in frames:
        one.image[:] = rng.integers(0, 256, one.image.shape, np.uint8)
        recording.frame(one)
    recording.close("asked for")
    reader = open_source(tmp_path / "one" / CLIP, VirtualClock()).reader
    for given, kept in zip(frames, reader.read(0), strict=True):
        assert np.array_equal(given.image, kept.image)
        assert given.pts_ns == kept.pts_ns


def test_a_recording_ends_at_its_limits(tmp_path: Path) -> None:
    recording = FileRecording(tmp_path / "one", 1.0)
    recording.frame(frame(0))
    with pytest.raises(OutputError, match="size"):
        recording.frame(frame(100, size=(120, 160)))
    with pytest.raises(OutputError, match="limit"):
        recording.frame(frame(1001))
    recording.close("full")
    with pytest.raises(OutputError, match="expected to write to .*one, got: File exists"):
        FileRecording(tmp_path / "one", 1.0)


async def test_a_recording_that_fails_does_not_end_the_session(tmp_path: Path) -> None:
    async with LiveRig() as rig:
        source = QueueSource()
        rig.live.renew(FileRecording(tmp_path / "one", 0.05))
        source.put(0, 100, 200)
        source.queue.put_nowait(None)
        await rig.live.watch(source)
        stopped = rig.of("recording")[-1]
        assert not stopped["on"] and "limit" in stopped["reason"]
        assert [data["pts_ms"] for data in rig.of("regions")] == [0, 200]


def test_a_view_for_browsers_is_made(tmp_path: Path) -> None:
    recording = FileRecording(tmp_path / "one", 60.0)
    for n in range(5):
        recording.frame(frame(50 * n))
    recording.close("asked for")
    make_view(tmp_path / "one")
    times = [
        one.pts_ns for one in open_source(tmp_path / "one" / VIEW, VirtualClock()).reader.read(0)
    ]
    assert times == [n * 50_000_000 for n in range(5)]
    with pytest.raises(OutputError):
        make_view(tmp_path / "none")


def test_old_and_excess_recordings_go_and_nothing_else(tmp_path: Path) -> None:
    wall = VirtualClock(1_790_000_000 * NS_PER_S)
    policy = RecordPolicy(tmp_path, max_age_s=1000, max_bytes=10_000_000)
    library = Library(policy, wall)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    (tmp_path / "mine" / "events.jsonl").write_text("")  # as of a replay that was written there
    names = []
    for _ in range(3):
        recording = library.start()
        recording.frame(frame(0))
        recording.close("asked for")
        names.append(recording.id)
        wall.advance_to(wall.now_ns() + NS_PER_S)
    for name in names:
        os.utime(tmp_path / name, ns=(wall.now_ns(), wall.now_ns()))
    os.utime(tmp_path / names[0], (1_780_000_000, 1_780_000_000))
    assert [row["id"] for row in library.all()] == names[::-1]
    assert library.prune() == [names[0]]
    assert library.path(names[1], QUESTIONS) == tmp_path / names[1] / QUESTIONS
    assert library.path("..", QUESTIONS) is None
    assert library.path(names[1], "../x") is None
    assert library.path("mine", "notes.txt") is None
    assert not library.remove("mine") and library.remove(names[1])
    full = Library(RecordPolicy(tmp_path, max_age_s=1000, max_bytes=10), wall)
    assert full.prune() == [names[2]]
    assert (tmp_path / "mine" / "notes.txt").read_text() == "keep"
