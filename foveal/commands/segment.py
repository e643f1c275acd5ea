"""`foveal segment`: the mask of one thing in a picture, from a point, a box or a phrase."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from perception.scene.reader import GroundedRegion
    from stream.frame import Image
    from stream.geometry import Box, Point

HELP = "the mask of a thing from a point, a box or a phrase"
EPILOG = """examples:
  foveal segment kitchen.jpg --phrase "cup" --out cup.png
  foveal segment kitchen.jpg --phrase "red kettle" --segmenter sam3:facebook/sam3
  foveal segment kitchen.jpg --point 320,240
  foveal segment kitchen.jpg --box 120,80,300,260 --json

The mask is written as a black and white PNG of the picture's size, with a picture of it beside.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Of the sub-command."""
    parser.add_argument("picture", type=Path)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--point", metavar="X,Y")
    what.add_argument("--box", metavar="X0,Y0,X1,Y1", help="pixels, x1 and y1 exclusive")
    what.add_argument("--phrase", metavar="WORDS")
    parser.add_argument(
        "--segmenter", default="embedded", metavar="NAME", help="of phrases: embedded, or sam3:ID"
    )
    parser.add_argument("--out", type=Path, help="mask PNG (default: PICTURE.mask.png)")
    parser.add_argument("--json", action="store_true", help="print one JSON object with the RLE")


def run(args: argparse.Namespace) -> int:
    """0 when a mask was found and written."""
    from foveal.jobs.pixels import parse_box, parse_point
    from foveal.setup.threads import share_cores
    from stream.geometry import clip_box
    from stream.writing import keep_apart

    out = args.out or args.picture.with_suffix(".mask.png")
    beside = out.with_name(f"{out.stem}.shown.jpg")
    keep_apart((out, beside), [args.picture])
    image = _read(args.picture)  # before the models are loaded, which takes a while
    point = None if args.point is None else parse_point(args.point)
    box = None if args.box is None else clip_box(parse_box(args.box), *image.shape[:2])

    share_cores()

    from dataclasses import replace

    import cv2

    from foveal.output.annotate import draw
    from reasoning.generation.conversation import as_region
    from stream.errors import OutputError
    from stream.frame import Frame

    region = _ground(args, image, point, box)
    named = replace(as_region(region, 0), name=args.phrase or region.names[0].label)
    shown = draw(Frame(0, 0, image, args.picture.name), (named,))
    for path, picture in ((out, region.mask * 255), (beside, shown[..., ::-1])):
        try:
            written = cv2.imwrite(str(path), picture.astype("uint8"))
        except cv2.error as error:
            raise OutputError(f"expected a picture file name, got {path}: {error}") from error
        if not written:
            raise OutputError(f"expected a folder that can be written at {path.parent}")
    _print(region, out, args.json)
    return 0


def _read(path: Path) -> "Image":
    import cv2
    import numpy as np

    from stream.errors import SourceError

    if not path.is_file():
        raise SourceError(f"expected a picture at {path}; nothing is there")
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise SourceError(f"expected a picture at {path}, found none that can be read")
    return np.ascontiguousarray(image[..., ::-1])


def _ground(
    args: argparse.Namespace, image: "Image", point: "Point | None", box: "Box | None"
) -> "GroundedRegion":
    from dataclasses import replace

    from foveal.config.models import PhraseSettings
    from foveal.setup.assistant import load_scene_reader
    from foveal.setup.cutters import load_cutter
    from foveal.setup.phrases import open_phrase_segmenter
    from perception.device import resolve_device
    from stream.frame import Frame
    from stream.geometry import mask_box

    device = resolve_device()
    segmenter = open_phrase_segmenter(PhraseSettings(args.segmenter))
    reader = load_scene_reader(device)
    reader.segment_by(segmenter)
    view = reader.read(Frame(0, 0, image, args.picture.name))
    if args.phrase is not None:
        found = reader.find(view, args.phrase)
        if segmenter is not None:  # its masks need no sharpening
            return found
        mask = load_cutter(device).sharpen(image, found.mask)
        return replace(found, mask=mask, box=mask_box(mask) or found.box)
    if point is not None:
        return reader.point_at(view, point, None)
    assert box is not None  # argparse wants one of the three
    return reader.point_at(view, None, box)


def _print(region: "GroundedRegion", out: Path, as_json: bool) -> None:
    from stream.geometry import encode_mask

    names = {name.label: round(name.probability, 3) for name in region.names}
    if as_json:
        mask = encode_mask(region.mask).as_json()
        print(json.dumps({"file": str(out), "box": region.box, "names": names, "mask": mask}))
        return
    listed = ", ".join(f"{label} {probability}" for label, probability in names.items())
    print(f"{out}: box {region.box}, {int(region.mask.sum())} pixels; may be {listed}")
