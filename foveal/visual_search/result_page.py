"""Results of a search as one page of HTML: thumbnails with what matched drawn in, no scripts."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from foveal.output.report.html import clean
from stream.errors import OutputError
from stream.frame import Image
from stream.writing import writing

JPEG_QUALITY = 82


@dataclass(frozen=True, slots=True)
class Card:
    """One result."""

    name: str
    told: str  # its score, in words
    picture: str  # a data URI; "" where it cannot be read any more
    text: str = ""


def write_page(path: Path, title: str, cards: Sequence[Card]) -> None:
    """Raises OutputError where it cannot be written."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        finalize=clean,
        undefined=StrictUndefined,
    )
    page = environment.get_template("result_page.html.j2").render(title=title, cards=cards)
    with writing(path):
        path.write_text(page, encoding="utf-8")


def data_uri(image: Image) -> str:
    """[H, W, 3] RGB as a JPEG that stands in a page."""
    done, coded = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not done:
        raise OutputError(f"expected a picture that can be coded as JPEG, got {image.shape}")
    return f"data:image/jpeg;base64,{base64.b64encode(coded.tobytes()).decode('ascii')}"
