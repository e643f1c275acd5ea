"""The wall of the demo clip: real photographs with outlines of what they show.

The photographs come with scikit-image: coffee (Rachel Michetti, CC0), chelsea (Stefan van der Walt,
CC0), camera (Lav Varshney, CC0), page (scikit-image's own documentation, printed), and the wall's
brick (CC0Textures). The outlines were drawn by hand on the photographs for this project.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt

from stream.errors import AssetError
from stream.frame import Image, Mask
from stream.geometry import Box, mask_box

Outline = tuple[tuple[int, int], ...]  # x, y in photograph pixels
Matrix = npt.NDArray[np.float64]  # [2, 3] affine map of points x, y

WALL_SIZE = (4800, 1000)  # width, height in wall pixels
MAT = 14  # white border of a photograph, wall pixels


@dataclass(frozen=True, slots=True)
class Thing:
    """One thing in a photograph whose pixels are known."""

    name: str
    outlines: tuple[Outline, ...]  # the mask is their union


@dataclass(frozen=True, slots=True)
class Photo:
    """A photograph on the wall."""

    file: str  # in skimage/data
    centre: tuple[int, int]  # wall pixels
    scale: float  # wall pixels per photograph pixel
    things: tuple[Thing, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Wall:
    """The wall at one resolution, and each thing's mask on it."""

    image: Image  # [H, W, 3]
    masks: dict[str, Mask]  # name -> [H, W]
    boxes: dict[str, Box]  # of the masks
    scale: float  # of these pixels to wall pixels


CUP: Outline = (
    (174, 95), (184, 68), (206, 43), (238, 25), (280, 18), (322, 21), (357, 34), (386, 58),
    (404, 88), (409, 116), (404, 148), (395, 178), (385, 205), (374, 222), (362, 233),
    (345, 239), (328, 242), (317, 250), (320, 259), (330, 262), (318, 276), (300, 284),
    (280, 285), (258, 281), (262, 262), (247, 280), (236, 295), (222, 306), (206, 303),
    (197, 291), (196, 276), (206, 253), (220, 236), (203, 223), (187, 198), (177, 167),
    (173, 130),
)  # fmt: skip
CAT: Outline = (
    (44, 0), (36, 24), (32, 60), (28, 95), (30, 116), (14, 128), (0, 140), (0, 300), (272, 300),
    (290, 284), (302, 272), (312, 256), (312, 236), (322, 214), (346, 186), (356, 156),
    (362, 126), (358, 100), (354, 76), (372, 56), (378, 30), (398, 0),
)  # fmt: skip
MAN: Outline = (
    (0, 512), (0, 250), (22, 230), (45, 190), (66, 152), (88, 136), (125, 124), (148, 107),
    (162, 105), (168, 88), (184, 73), (204, 64), (228, 67), (250, 80), (265, 100), (271, 118),
    (270, 130), (256, 138), (252, 150), (254, 166), (246, 178), (243, 190), (228, 198),
    (240, 220), (248, 246), (262, 232), (278, 240), (296, 250), (306, 272), (294, 288),
    (262, 308), (246, 313), (206, 296), (184, 328), (142, 382), (150, 425), (151, 512),
    (140, 512), (100, 448), (92, 512),
)  # fmt: skip
TRIPOD: tuple[Outline, ...] = (
    ((289, 215), (297, 215), (297, 483), (288, 483)),
    ((278, 312), (312, 312), (314, 332), (304, 344), (290, 345), (278, 330)),
    ((282, 330), (291, 330), (252, 478), (244, 512), (232, 512), (230, 490), (240, 480)),
    ((307, 330), (314, 327), (396, 478), (406, 512), (398, 512), (380, 482)),
    ((308, 314), (325, 302), (337, 302), (337, 307), (326, 308), (310, 319)),
)
PAGE: Outline = ((0, 0), (384, 0), (384, 191), (0, 191))

PHOTOS: dict[str, Photo] = {
    "coffee": Photo("coffee.png", (560, 500), 1.62, (Thing("cup", (CUP,)),)),
    "chelsea": Photo("chelsea.png", (1690, 500), 2.1, (Thing("cat", (CAT,)),)),
    "page": Photo("page.png", (2900, 500), 2.6, (Thing("page", (PAGE,)),)),
    "camera": Photo(
        "camera.png", (4150, 500), 1.32, (Thing("man", (MAN,)), Thing("tripod", TRIPOD))
    ),
}


def build_wall(scale: float) -> Wall:
    """Hang the photographs on a wall drawn at `scale`; raises AssetError without scikit-image."""
    width, height = (round(side * scale) for side in WALL_SIZE)
    image = _plaster(width, height, scale)
    masks: dict[str, Mask] = {}
    for photo in PHOTOS.values():
        picture = read_photo(photo.file)
        place = _placement(photo, picture.shape[1], picture.shape[0], scale)
        _hang(image, picture, place, scale)
        for thing in photo.things:
            masks[thing.name] = _draw(thing, place, (height, width))
    boxes = {name: box for name, mask in masks.items() if (box := mask_box(mask)) is not None}
    return Wall(image, masks, boxes, scale)


@lru_cache(maxsize=8)
def read_photo(file: str) -> Image:
    """[H, W, 3] RGB photograph out of the scikit-image wheel."""
    path = _photo_folder() / file
    try:
        with av.open(str(path)) as container:
            picture = next(container.decode(video=0))
    except (OSError, av.FFmpegError, StopIteration) as error:
        raise AssetError(
            f"expected a photograph in {path}: {error}; reinstall scikit-image"
        ) from error
    return np.asarray(picture.to_ndarray(format="rgb24"), dtype=np.uint8)


def _photo_folder() -> Path:
    try:
        import skimage.data
    except ImportError as error:
        raise AssetError(
            "expected the package scikit-image; run `pip install scikit-image`"
        ) from error
    return Path(str(skimage.data.__file__)).parent


def _placement(photo: Photo, width: int, height: int, scale: float) -> Matrix:
    """Photograph pixels -> wall image pixels."""
    zoom = photo.scale * scale
    x = photo.centre[0] * scale - width * zoom / 2
    y = photo.centre[1] * scale - height * zoom / 2
    return np.array([[zoom, 0, x], [0, zoom, y]], dtype=np.float64)


def _plaster(width: int, height: int, scale: float) -> Image:
    """A light wall with the grain of scikit-image's brick texture."""
    brick = read_photo("brick.png").swapaxes(0, 1)
    side = max(2, round(brick.shape[0] * scale))
    brick = cv2.resize(brick, (side, side), interpolation=cv2.INTER_AREA)
    tiled = np.pad(
        brick, ((0, max(0, height - side)), (0, max(0, width - side)), (0, 0)), "reflect"
    )
    grain = tiled[:height, :width].astype(np.float32)
    tone = np.array([196.0, 190.0, 178.0], dtype=np.float32)
    shade = 0.9 + 0.1 * grain / grain.mean()
    return np.asarray((tone * shade).clip(0, 255), dtype=np.uint8)


def _hang(image: Image, picture: Image, place: Matrix, scale: float) -> None:
    """Paint one photograph with its white mat onto the wall, in place."""
    zoom, x, y = place[0, 0], round(place[0, 2]), round(place[1, 2])
    size = (round(picture.shape[1] * zoom), round(picture.shape[0] * zoom))
    method = cv2.INTER_AREA if zoom < 1 else cv2.INTER_CUBIC
    mat = round(MAT * scale)
    image[y - mat : y + size[1] + mat, x - mat : x + size[0] + mat] = (240, 238, 232)
    image[y : y + size[1], x : x + size[0]] = cv2.resize(picture, size, interpolation=method)


def _draw(thing: Thing, place: Matrix, size: tuple[int, int]) -> Mask:
    canvas = np.zeros(size, np.uint8)
    for outline in thing.outlines:
        points = np.array(outline) @ place[:, :2].T + place[:, 2]
        cv2.fillPoly(canvas, [np.round(points).astype(np.int32)], 1)
    return canvas.astype(bool)
