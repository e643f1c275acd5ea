"""What `foveal track` leaves behind, written frame by frame: a run cut short keeps its frames."""

import json
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from foveal.output.annotate import draw
from foveal.output.annotated_video import AnnotatedVideo
from perception.masks.region_forms import forms_of
from stream.errors import OutputError
from stream.events import Region
from stream.frame import Frame

MIN_VIDEO_HEIGHT, MAX_VIDEO_HEIGHT = 360, 720


class TrackWriter:
    """regions.jsonl, annotated.mp4 and, at the end, summary.json in one folder.

    Raises OutputError when the folder cannot be written.
    """

    def __init__(self, out: Path, first: Frame, video: bool) -> None:
        self._out = out
        self._heights = (MIN_VIDEO_HEIGHT, MAX_VIDEO_HEIGHT)
        self._video: AnnotatedVideo | None = None
        try:
            out.mkdir(parents=True, exist_ok=True)
            self._lines = (out / "regions.jsonl").open("w", buffering=1)  # each line at once
        except OSError as error:
            raise self._error(error) from error
        if video:
            picture = draw(first, (), None, None, self._heights)
            size = (picture.shape[1], picture.shape[0])
            try:
                self._video = AnnotatedVideo(out / "annotated.mp4", size)
            except OutputError:
                self._lines.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lines.close()
        if self._video is not None:
            self._video.close()

    def write(self, frame: Frame, regions: tuple[Region, ...]) -> None:
        """Add one frame."""
        record = {"pts_ns": frame.pts_ns, "regions": [region_json(one) for one in regions]}
        try:
            self._lines.write(json.dumps(record) + "\n")
        except OSError as error:
            raise self._error(error) from error
        if self._video is not None:
            numbered = tuple(replace(one, name=str(one.track_id)) for one in regions)
            picture = draw(frame, numbered, None, None, self._heights)
            self._video.write(picture, frame.pts_ns)

    def finish(self, summary: dict[str, Any]) -> None:
        """Write the summary."""
        try:
            (self._out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
        except OSError as error:
            raise self._error(error) from error

    def _error(self, error: OSError) -> OutputError:
        return OutputError(f"expected to write into {self._out}: {error}; choose another --out")


def region_json(region: Region) -> dict[str, Any]:
    """Mask, box and point of one region; box and point are null while it is out of view."""
    forms = forms_of(region)
    return {
        "id": region.track_id,
        "score": round(forms.confidence, 4),
        "box": list(forms.box) if forms.box else None,
        "point": list(forms.point) if forms.point else None,
        "mask": region.mask.as_json(),
    }
