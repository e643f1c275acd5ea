"""Pictures of the moments that answers recall: what was seen then, with its mask."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2

from foveal.output.annotate import draw
from foveal.output.report.builder import picture_uri
from foveal.session.memory.kept_views import KeptView, KeptViews, recalled
from stream.clock import NS_PER_S
from stream.events import Answer
from stream.frame import Frame, Image
from stream.writing import writing

MOMENTS = "moments"  # folder of the pictures
HEIGHTS = (360, 720)  # least and most rows
QUALITY = 90  # of JPEG, 0..100


@dataclass(frozen=True, slots=True, eq=False)
class ShownMoment:
    """What an answer recalls."""

    event: str  # Event.id
    told: str  # with its time
    file: str | None = None  # picture, in the folder of the results; None: none is kept
    stream_ns: int | None = None  # of the picture
    uri: str | None = None  # the picture for a page

    def as_json(self) -> dict[str, Any]:
        """For answers.jsonl."""
        at_s = None if self.stream_ns is None else self.stream_ns / NS_PER_S
        return {"event": self.event, "text": self.told, "picture": self.file, "at_s": at_s}


class MomentPictures:
    """Draws and writes them."""

    def __init__(self, folder: Path, views: KeptViews | None) -> None:
        self._folder, self._views = folder, views

    def keep(self, answer: Answer, number: int) -> ShownMoment | None:
        """The moment of an answer, if it recalls one; raises OutputError for a full disk."""
        evidence = recalled(answer)
        if evidence is None:
            return None
        view = None if self._views is None else self._views.of(evidence)
        if view is None:
            return ShownMoment(evidence.id, evidence.text)
        picture = drawn(view)
        file = f"{MOMENTS}/{number:02d}.jpg"
        path = self._folder / file
        bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
        with writing(path):
            path.parent.mkdir(exist_ok=True)
            data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1]
            path.write_bytes(data.tobytes())
        uri, at_ns = picture_uri(picture, 80), view.region.pts_ns
        return ShownMoment(evidence.id, evidence.text, file, at_ns, uri)


def drawn(view: KeptView, heights: tuple[int, int] = HEIGHTS) -> Image:
    """The picture [H, W, 3] with the thing's mask and name."""
    frame = Frame(view.region.pts_ns, view.region.pts_ns, view.image, "memory")
    return draw(frame, (view.region,), heights=heights)
