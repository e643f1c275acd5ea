"""Question files of the benchmarks, and the views that they are asked of.

A file lists questions by kind: `{view, question, accept, point, after}`. A view is a photograph of
scikit-image by its name, a file of the data folder, or a frame of a recording there as
`FILE@SECONDS`: the first frame at or after that time. A point is x and y in pixels, or two shares
of the view's width and height.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import skimage.data
import yaml
from skimage.io import imread

from benchmarks.grading import KINDS, Kind
from foveal.setup.assistant import Models
from perception.scene.reader import SceneView
from reasoning.generation.conversation import Assistant
from stream.clock import NS_PER_S, VirtualClock, seconds_to_ns
from stream.errors import ConfigError
from stream.events import Answer, Question
from stream.frame import Frame
from stream.geometry import Point
from stream.sources.open import open_source

FOLDER = Path(__file__).parent / "data"
DATA = FOLDER / "questions.yaml"
GENERAL = FOLDER / "general.yaml"
EVERYDAY = FOLDER / "everyday.yaml"
EVERYDAY_TUNING = FOLDER / "everyday_tuning.yaml"
FRESH = FOLDER / "fresh.yaml"
NOTES = FOLDER / "notes.yaml"
NOTES_FRESH = FOLDER / "notes_fresh.yaml"
NOTES_TUNING = FOLDER / "notes_tuning.yaml"
SEARCH_POLICY = FOLDER / "search_policy.yaml"
SEARCH_POLICY_TUNING = FOLDER / "search_policy_tuning.yaml"
PICTURES = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
QUICK_STEP = 3  # every third question


@dataclass(frozen=True, slots=True)
class Asked:
    """A question with what is right."""

    kind: Kind
    view: str
    question: str
    accept: tuple[str, ...] = ()
    point: tuple[float, float] | None = None  # pixels, or shares where both are below 1
    after: tuple[str, ...] = ()  # questions asked before in the same conversation


def read_questions(path: Path = DATA) -> list[Asked]:
    """The questions of a YAML file; raises ConfigError where one gives its answer away."""
    table = yaml.safe_load(path.read_text(encoding="utf-8"))
    asked = [
        Asked(
            kind,
            row["view"],
            row["question"],
            tuple(map(str, row.get("accept", ()))),
            (row["point"][0], row["point"][1]) if "point" in row else None,
            tuple(row.get("after", ())),
        )
        for kind in KINDS
        for row in table.get(kind, ())
    ]
    for one in asked:
        if one.kind != "unanswerable" and not one.accept:
            raise ConfigError(f"expected accepted words for {one.question!r} in {path}, got none")
    return asked


def present(asked: Iterable[Asked], pictures: Path) -> list[Asked]:
    """The questions whose picture or recording is there."""
    return [o for o in asked if not _is_file(o.view) or (pictures / _parts(o.view)[0]).is_file()]


def read_views(
    models: Models, asked: Sequence[Asked], pictures: Path | None = None
) -> dict[str, SceneView]:
    """Every view as the language side sees it, read once; files lie in the folder `pictures`."""
    names = sorted({one.view for one in asked})
    return {name: models.reader.read(read_frame(name, pictures)) for name in names}


def read_frame(view: str, pictures: Path | None) -> Frame:
    """The picture of a view; raises ConfigError where a recording is shorter than the time."""
    file, seconds = _parts(view)
    if seconds is not None:
        recording = open_source((pictures or PICTURES) / file, VirtualClock())
        frame = next(recording.reader.read(seconds_to_ns(seconds)), None)
        if frame is None:
            raise ConfigError(f"expected a frame at {seconds} s of {file}; it ends before")
        return Frame(0, 0, frame.image, view)
    if pictures is not None and _is_file(view):
        picture = np.asarray(imread(pictures / file))
    else:
        picture = np.asarray(getattr(skimage.data, view)())
    if picture.ndim == 2:
        picture = np.stack([picture] * 3, axis=-1)
    return Frame(0, 0, np.ascontiguousarray(picture[..., :3], dtype=np.uint8), view)


def ask(assistant: Assistant, asked: Asked, view: SceneView) -> Answer:
    """One answer in a conversation of its own, five seconds after what was asked before."""
    assistant.forget()
    for number, earlier in enumerate(asked.after):
        at = (number - len(asked.after)) * 5 * NS_PER_S
        assistant.ask(Question(earlier, at), view, lambda _: None)
    point = in_pixels(asked.point, view.frame.size)
    return assistant.ask(Question(asked.question, 0, point), view, lambda _: None)


def in_pixels(point: tuple[float, float] | None, size: tuple[int, int]) -> Point | None:
    """A point (x, y) of a view of (height, width)."""
    if point is None:
        return None
    x, y = point
    if max(x, y) < 1:
        x, y = x * size[1], y * size[0]
    return int(x), int(y)


def _is_file(view: str) -> bool:
    return bool(Path(_parts(view)[0]).suffix)


def _parts(view: str) -> tuple[str, float | None]:
    """ "clips/walk.mp4@2.5" -> the file and the seconds; None without a time."""
    file, marked, seconds = view.rpartition("@")
    return (file, float(seconds)) if marked else (view, None)
