"""The demo clip: real photographs seen by a moving head camera, with every mask known.

`render_demo` writes three files side by side: the clip (H.264), `<clip>.truth.json` with the box
and mask of every known thing in every frame, and `<clip>.questions.jsonl` for `foveal replay`.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt

from foveal.demo.camera import SCRIPT_S, HeadCamera, Pose
from foveal.demo.scene import Wall, build_wall
from stream.clock import NS_PER_S, seconds_to_ns
from stream.errors import ConfigError, OutputError
from stream.frame import Image, Mask
from stream.geometry import Rle, decode_mask, encode_mask, inner_point, mask_box

Progress = Callable[[int, int], None]  # frames done, frames in all
Exposure = npt.NDArray[np.float32]

REFERENCE_HEIGHT = 720
SHUTTER_S = 1 / 60
BLUR_STEP_PX = 6.0  # one sub-frame per so many pixels of motion
MAX_SUBFRAMES = 32
NOISE = 2.5  # grey levels, standard deviation
MIN_SIDE, MAX_SIDE = 64, 4096


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What to render; raises ConfigError on values that make no clip."""

    seconds: float = SCRIPT_S  # shorter: the first of them; longer: rests at the end
    width: int = 960
    height: int = 540
    fps: int = 6
    seed: int = 7

    def __post_init__(self) -> None:
        for name, side in (("width", self.width), ("height", self.height)):
            if not MIN_SIDE <= side <= MAX_SIDE or side % 2:
                raise ConfigError(
                    f"expected an even {name} from {MIN_SIDE} to {MAX_SIDE} pixels, got {side}"
                )
        if not 1 <= self.fps <= 120:
            raise ConfigError(f"expected fps from 1 to 120, got {self.fps}")
        if not 1 <= self.seconds <= 3600 or self.seed < 0:
            raise ConfigError(
                f"expected 1 to 3600 seconds and a seed of 0 or more, "
                f"got {self.seconds} and {self.seed}"
            )

    @property
    def frame_count(self) -> int:
        """Frames in the clip."""
        return round(self.seconds * self.fps)


@dataclass(frozen=True, slots=True)
class DemoFiles:
    """Where the three files are."""

    clip: Path
    truth: Path
    questions: Path


@dataclass(frozen=True, slots=True)
class ScriptedQuestion:
    """A question of the demo, asked when the answer before it has been spoken."""

    at_s: float
    text: str
    point_at: str | None = None  # name of the thing that the wearer points at


QUESTIONS: tuple[ScriptedQuestion, ...] = (
    ScriptedQuestion(2.6, "What is in the cup?"),  # sight alone
    ScriptedQuestion(8.4, "Does this page say anything about coins?"),
    ScriptedQuestion(15.8, "And what is that one there?", "cup"),  # pointed at
    ScriptedQuestion(19.6, "How long does this animal usually live?"),  # searched for by its looks
    ScriptedQuestion(25.8, "And how much does it sleep?"),  # goes on about it
    ScriptedQuestion(33.0, "Have I met this man before?"),  # nobody can know
    ScriptedQuestion(37.4, "Where was coffee first grown?"),  # searched for by words
    ScriptedQuestion(41.4, "Where did you last see the cat?"),  # remembered
)


def files_of(clip: Path) -> DemoFiles:
    """The names of the files that belong to a clip."""
    return DemoFiles(clip, clip.with_suffix(".truth.json"), clip.with_suffix(".questions.jsonl"))


def render_demo(clip: Path, options: DemoOptions, progress: Progress | None = None) -> DemoFiles:
    """Render the clip, its truth and its questions; raises OutputError where it cannot write."""
    files = files_of(clip)
    part = clip.with_name(f".{clip.name}.part")
    scale = options.height / REFERENCE_HEIGHT
    wall = build_wall(min(1.0, scale * 1.1))
    camera = HeadCamera(options.seed, scale)
    rows: list[dict[str, Any]] = []
    try:
        clip.parent.mkdir(parents=True, exist_ok=True)
        with _ClipWriter(part, options) as writer:
            for index, (image, row) in enumerate(_frames(wall, camera, options)):
                writer.write(image, index)
                rows.append(row)
                if progress is not None:
                    progress(index + 1, options.frame_count)
            writer.finish()
        files.truth.write_text(json.dumps(_truth(clip, options, rows)), encoding="utf-8")
        files.questions.write_text(_questions(options, rows), encoding="utf-8")
        part.replace(clip)
    except (OSError, av.FFmpegError) as error:
        raise OutputError(
            f"expected to write the demo to {clip}: {error}; choose a folder that may be written"
        ) from error
    finally:
        if part.is_file():
            part.unlink()
    return files


def _frames(
    wall: Wall, camera: HeadCamera, options: DemoOptions
) -> Iterator[tuple[Image, dict[str, Any]]]:
    noise = _Noise(options)
    for index in range(options.frame_count):
        now_s = index / options.fps
        picture = _expose(wall, camera, now_s, options) * camera.gain(now_s)
        image = np.clip(picture + noise.next(), 0, 255).astype(np.uint8)
        things = _things(wall, camera.pose(now_s), options)
        yield image, {"pts_ns": index * NS_PER_S // options.fps, "objects": things}


def _expose(wall: Wall, camera: HeadCamera, now_s: float, options: DemoOptions) -> Exposure:
    """The mean of what the sensor saw while the shutter was open: motion blur."""
    first, last = camera.pose(now_s - SHUTTER_S / 2), camera.pose(now_s + SHUTTER_S / 2)
    moved = float(np.hypot(last.x - first.x, last.y - first.y)) * last.zoom
    count = int(np.clip(moved / BLUR_STEP_PX, 0, MAX_SUBFRAMES - 1)) + 1
    total = np.zeros((options.height, options.width, 3), np.float32)
    for step in range(count):
        offset = ((step + 0.5) / count - 0.5) * SHUTTER_S
        total += _warp(wall.image, wall, camera.pose(now_s + offset), options)
    return total / np.float32(count)


def _warp(
    plane: npt.NDArray[np.uint8], wall: Wall, pose: Pose, options: DemoOptions
) -> npt.NDArray[np.uint8]:
    matrix = pose.matrix(wall.scale, options.width, options.height)
    size = (options.width, options.height)
    warped = cv2.warpAffine(
        plane, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(warped, dtype=np.uint8)


def _things(wall: Wall, pose: Pose, options: DemoOptions) -> list[dict[str, Any]]:
    """Name, box and mask of every thing in view, at the middle of the exposure."""
    found = []
    corners = [(0, 0), (options.width, 0), (0, options.height), (options.width, options.height)]
    back = cv2.invertAffineTransform(pose.matrix(wall.scale, options.width, options.height))
    view = np.array(corners) @ back[:, :2].T + back[:, 2]  # on the wall
    (left, top), (right, bottom) = view.min(axis=0), view.max(axis=0)
    for name, mask in wall.masks.items():
        x0, y0, x1, y1 = wall.boxes[name]
        if x1 < left or x0 > right or y1 < top or y0 > bottom:
            continue
        seen: Mask = _warp(mask.astype(np.uint8) * 255, wall, pose, options) >= 128
        box = mask_box(seen)
        if box is not None:
            found.append({"name": name, "box": list(box), "mask": encode_mask(seen).as_json()})
    return found


class _Noise:
    """Sensor noise: one seeded tile, shifted for every frame."""

    def __init__(self, options: DemoOptions) -> None:
        self._rng = np.random.default_rng(options.seed)
        self._size = (options.height, options.width)
        shape = (options.height + 64, options.width + 64, 3)
        self._tile = self._rng.standard_normal(shape, dtype=np.float32) * np.float32(NOISE)

    def next(self) -> Exposure:
        top, left = self._rng.integers(0, 64, 2)
        return self._tile[top : top + self._size[0], left : left + self._size[1]]


class _ClipWriter:
    """H.264 in MP4 with presentation times of exactly index / fps."""

    def __init__(self, path: Path, options: DemoOptions) -> None:
        self._container = av.open(str(path), "w", format="mp4")
        stream = self._container.add_stream("libx264", rate=options.fps)
        stream.width, stream.height = options.width, options.height
        stream.pix_fmt = "yuv420p"
        self._tick = Fraction(1, options.fps)  # the muxer changes the stream's own time base
        stream.codec_context.time_base = self._tick
        # One thread and no B-frames: the same bytes every time, and the first time is zero.
        stream.options = {"crf": "22", "preset": "veryfast", "bf": "0", "threads": "1"}
        self._stream = stream

    def __enter__(self) -> "_ClipWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    def write(self, image: Image, index: int) -> None:
        frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        frame.pts, frame.time_base = index, self._tick
        self._container.mux(self._stream.encode(frame))

    def finish(self) -> None:
        self._container.mux(self._stream.encode())


def _truth(clip: Path, options: DemoOptions, rows: list[dict[str, Any]]) -> dict[str, Any]:
    names = sorted({thing["name"] for row in rows for thing in row["objects"]})
    return {
        "clip": clip.name,
        "size": [options.height, options.width],
        "fps": options.fps,
        "seed": options.seed,
        "objects": names,
        "frames": rows,
    }


def _questions(options: DemoOptions, rows: list[dict[str, Any]]) -> str:
    """One JSON object a line; a pointed-at thing gives a point well inside its mask.

    A clip that ends earlier has fewer. In one of few frames a thing may not be in view when it is
    asked about: no question then.
    """
    lines = []
    for question in (one for one in QUESTIONS if one.at_s < options.seconds):
        at = question.at_s
        line: dict[str, Any] = {"at": at, "text": question.text}
        if question.point_at is not None:
            frame = min(-(-seconds_to_ns(at) * options.fps // NS_PER_S), len(rows) - 1)
            seen = [thing for thing in rows[frame]["objects"] if thing["name"] == question.point_at]
            if not seen:
                continue
            line["point"] = _inner_point(seen[0]["mask"])
        lines.append(json.dumps(line) + "\n")
    return "".join(lines)


def _inner_point(code: dict[str, list[int]]) -> list[int]:
    """x, y of the pixel that is farthest from the mask's edge."""
    size, counts = code["size"], code["counts"]
    return list(inner_point(decode_mask(Rle((size[0], size[1]), tuple(counts)))))
