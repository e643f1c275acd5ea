"""The annotated video, drawn and encoded in a thread of its own while the session goes on."""

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from foveal.output.annotate import draw
from foveal.output.annotated_video import AnnotatedVideo
from foveal.output.hidden_faces import OverlayFrame
from stream.timing.trace import Tracer
from stream.writing import Writer

MAX_WAITING = 4  # frames that wait to be drawn; then the session waits, for none is left out


class VideoThread(Writer):
    """Draws frames of a session into a video, in order.

    What goes wrong with one frame is raised by a later call. One caller at a time.
    """

    def __init__(
        self, path: Path, heights: tuple[int, int], tracer: Tracer, scores: bool = False
    ) -> None:
        """`heights` (least, most) bound the pictures' height; both and `scores` as for `draw`."""
        self._path, self._tracer = path, tracer
        self._heights, self._scores = heights, scores
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="foveal-video")
        self._jobs: deque[Future[None]] = deque()
        self._video: AnnotatedVideo | None = None  # belongs to the thread until it has ended

    def show(self, shot: OverlayFrame, pts_ns: int) -> None:
        """Add one picture; raises what an earlier one met."""
        while self._jobs and (self._jobs[0].done() or len(self._jobs) >= MAX_WAITING):
            self._jobs.popleft().result()
        self._jobs.append(self._thread.submit(self._add, shot, pts_ns))

    def close(self) -> None:
        """Finish all pictures and the file; raises what one of them met. Twice is fine."""
        self._thread.shutdown(wait=True)
        jobs, self._jobs = self._jobs, deque()
        video, self._video = self._video, None
        try:
            for job in jobs:
                job.result()
        finally:
            if video is not None:
                video.close()

    def _add(self, shot: OverlayFrame, pts_ns: int) -> None:
        with self._tracer.span("draw", pts_ns):
            picture = draw(
                shot.frame,
                shot.regions,
                shot.keyframe,
                shot.subtitle,
                self._heights,
                scores=self._scores,
            )
        with self._tracer.span("encode", pts_ns):
            if self._video is None:
                height, width = picture.shape[:2]
                self._video = AnnotatedVideo(self._path, (width, height), self._heights[1])
            self._video.write(picture, pts_ns)
