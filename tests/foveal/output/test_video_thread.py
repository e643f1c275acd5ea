"""Drawing beside the session: in order, bounded, and errors come back."""

import threading
from pathlib import Path

import av
import pytest

from foveal.output.annotated_video import AnnotatedVideo
from foveal.output.hidden_faces import OverlayFrame
from foveal.output.video_thread import MAX_WAITING, VideoThread
from stream.errors import OutputError
from stream.timing.trace import Tracer
from tests.foveal.media import frame, region


def test_every_frame_is_drawn_in_order(tmp_path: Path) -> None:
    tracer = Tracer()
    video = VideoThread(tmp_path / "a.mp4", (0, 720), tracer)
    for index in range(12):
        picture = frame(index)
        video.show(OverlayFrame(picture, (region(1, index),), None, "words"), picture.pts_ns)
    video.close()
    video.close()
    with av.open(str(tmp_path / "a.mp4")) as container:
        times = [float(one.pts * one.time_base) for one in container.decode(video=0)]
    assert times == pytest.approx([index / 10 for index in range(12)])
    assert tracer.summary()["draw"].count == 12


def test_few_frames_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, written = threading.Event(), []

    def write(video: AnnotatedVideo, image: object, pts_ns: int) -> None:
        gate.wait(10)
        written.append(pts_ns)

    monkeypatch.setattr(AnnotatedVideo, "write", write)
    video = VideoThread(tmp_path / "a.mp4", (0, 720), Tracer())

    def show_all() -> None:
        for index in range(3 * MAX_WAITING):
            video.show(OverlayFrame(frame(index)), index)
            shown.append(index)

    shown: list[int] = []
    caller = threading.Thread(target=show_all)
    caller.start()
    while len(shown) < MAX_WAITING:
        caller.join(0.01)
    caller.join(0.05)
    assert len(shown) == MAX_WAITING  # the next one waits for room
    gate.set()
    caller.join()
    video.close()
    assert written == list(range(3 * MAX_WAITING))


def test_what_goes_wrong_is_raised_later(tmp_path: Path) -> None:
    video = VideoThread(tmp_path / "missing" / "a.mp4", (0, 720), Tracer())
    video.show(OverlayFrame(frame(0)), 0)
    with pytest.raises(OutputError, match=r"a\.mp4"):
        video.close()
