"""Written words in a frame, through RapidOCR (PP-OCR models carried by its wheel)."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from stream.frame import Image
from stream.geometry import Box

MAX_SIDE = 960  # pixels of the longer side that is read
MAX_GROWN = 2.0  # times that a small picture is enlarged
MIN_SIDE = 32  # a smaller picture holds no words
MIN_BOX = 0.3  # probability of a box of words: the engine's own 0.5 loses lines of a plain page
MIN_SCORE = 0.6
SWITCHES = {"use_cuda": "CUDAExecutionProvider", "use_coreml": "CoreMLExecutionProvider"}
MAX_ASPECT = 2  # a longer picture is padded: the engine enlarges the shorter side to 736 pixels


@dataclass(frozen=True, slots=True)
class TextLine:
    """One line of written words."""

    text: str
    box: Box
    score: float  # 0..1


class TextReader(Protocol):
    """Reads the written words of a picture."""

    def read(self, image: Image) -> tuple[TextLine, ...]:
        """Lines from top to bottom."""


class RapidTextReader:
    """RapidOCR on ONNX Runtime; its models load on first use. Any thread may use it."""

    def __init__(self, providers: Sequence[str] = ("CPUExecutionProvider",)) -> None:
        """`providers` are ONNX Runtime's, in the order that is tried."""
        self._providers = providers
        self._reading = threading.Lock()  # the engine keeps settings of a call in itself

    @cached_property
    def _engine(self) -> Any:
        import rapidocr

        # Named, so that a model the wheel lacks is an error and not a download.
        models = Path(rapidocr.__file__).parent / "models"
        paths = {
            f"{part}.model_path": str(next(models.glob(f"*_{part.lower()}_*.onnx")))
            for part in ("Det", "Cls", "Rec")
        }
        engine = {
            f"EngineConfig.onnxruntime.{switch}": provider in self._providers
            for switch, provider in SWITCHES.items()
        }
        return rapidocr.RapidOCR(params={"Global.log_level": "error", **engine, **paths})

    def read(self, image: Image) -> tuple[TextLine, ...]:
        """[H, W, 3] uint8 RGB -> the lines it is sure of, from top to bottom."""
        if min(image.shape[:2]) < MIN_SIDE:
            return ()
        scale = min(MAX_GROWN, MAX_SIDE / max(image.shape[:2]))
        how = cv2.INTER_AREA if scale <= 1 else cv2.INTER_CUBIC
        small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=how)
        rows, cols = small.shape[:2]
        below, right = max(0, cols // MAX_ASPECT - rows), max(0, rows // MAX_ASPECT - cols)
        small = cv2.copyMakeBorder(small, 0, below, 0, right, cv2.BORDER_REPLICATE)
        with self._reading:
            found = self._engine(np.ascontiguousarray(small[..., ::-1]), box_thresh=MIN_BOX)
        if getattr(found, "txts", None) is None:  # boxes at most, and none of them read
            return ()
        lines = [
            TextLine(str(text), _box(corners, scale, image.shape), float(score))
            for corners, text, score in zip(found.boxes, found.txts, found.scores, strict=True)
            if float(score) >= MIN_SCORE and str(text).strip()
        ]
        return tuple(sorted(lines, key=lambda line: (line.box[1], line.box[0])))


def _box(corners: Any, scale: float, shape: tuple[int, ...]) -> Box:
    points = np.asarray(corners, np.float64) / scale
    (x0, y0), (x1, y1) = points.min(axis=0), points.max(axis=0)
    left, top = max(0, int(x0)), max(0, int(y0))
    return (
        left,
        top,
        min(shape[1], max(left + 1, round(x1))),
        min(shape[0], max(top + 1, round(y1))),
    )
