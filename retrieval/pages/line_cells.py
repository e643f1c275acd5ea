"""Lines of text as cells: those a PDF holds, else those that are read from the page's picture."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from retrieval.encoders.text import TextEncoder, Vectors
from retrieval.pages.cells import CellGrid
from retrieval.sources.pdf import page_lines, page_picture
from retrieval.sources.pictures import load_picture
from stream.errors import SourceError
from stream.frame import Image
from stream.geometry import Box, FloatBox

ReadLines = Callable[[Image], Sequence[tuple[str, Box]]]  # words with their boxes in pixels
MAX_LINES = 1000  # of a page


class LineCells:
    """`CellReader` by a text encoder and a reader of written words."""

    def __init__(self, encoder: TextEncoder, read_lines: ReadLines) -> None:
        self._encoder, self._read_lines = encoder, read_lines
        self.id, self.dim = f"lines-1 {encoder.id}", encoder.dim

    def read(self, path: Path, page: int | None) -> CellGrid:
        """See CellReader."""
        lines = [] if page is None else page_lines(path, page)
        if not lines:
            image = load_picture(str(path)) if page is None else page_picture(path, page)
            lines = self._seen(image)
        lines = lines[:MAX_LINES]
        if not lines:
            raise SourceError("expected a page with words on it, found none")
        texts = [text for text, _ in lines]
        boxes = np.array([box for _, box in lines], np.float32)
        return CellGrid(self._encoder.encode_text(texts), boxes, texts=tuple(texts))

    def query(self, text: str) -> Vectors:
        """See CellReader."""
        return self._encoder.encode_text([text])

    def _seen(self, image: Image) -> list[tuple[str, FloatBox]]:
        height, width = image.shape[:2]
        return [
            (text, (x0 / width, y0 / height, x1 / width, y1 / height))
            for text, (x0, y0, x1, y1) in self._read_lines(image)
        ]
