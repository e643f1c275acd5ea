"""What `foveal track` leaves behind, written frame by frame: a run cut short keeps its frames."""

import json
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from foveal.output.annotate import draw
from foveal.output.annotated_video import AnnotatedVideo
from foveal.output.lines import LineFile
from foveal.output.results_folder import claim
from perception.masks.prompts import forms_of
from stream.events import Region
from stream.frame import Frame
from stream.writing import Writer, writing

HEIGHTS = (360, 720)  # least and most rows of the video
RESULTS = ("regions.jsonl", "annotated.mp4", "summary.json")


class TrackWriter(Writer):
    """regions.jsonl, annotated.mp4 and, at the end, summary.json in one folder.

    An earlier run's results are removed. Raises OutputError when the folder cannot be written, or
    when the clip is among what would be written.
    """

    def __init__(self, out: Path, clip: Path, first: Frame, video: bool) -> None:
        self._out = out
        self._video: AnnotatedVideo | None = None
        with ExitStack() as opened:
            claim(out, clip, RESULTS)
            self._lines = opened.enter_context(LineFile(out / "regions.jsonl"))
            if video:
                height, width = draw(first, (), heights=HEIGHTS).shape[:2]
                self._video = AnnotatedVideo(out / "annotated.mp4", (width, height))
                opened.enter_context(self._video)
            self._files = opened.pop_all()

    def write(self, frame: Frame, regions: tuple[Region, ...]) -> None:
        """Add one frame."""
        named = [region_json(one) for one in regions]
        self._lines.write({"pts_ns": frame.pts_ns, "regions": named})
        if self._video is not None:
            numbered = tuple(replace(one, name=str(one.track_id)) for one in regions)
            self._video.write(draw(frame, numbered, heights=HEIGHTS), frame.pts_ns)

    def finish(self, summary: dict[str, Any]) -> None:
        """Write the summary."""
        path = self._out / "summary.json"
        with writing(path):
            path.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")

    def close(self) -> None:
        """End the files."""
        self._files.close()


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
