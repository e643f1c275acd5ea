"""Pictures and masks that a command is given as files."""

from pathlib import Path

import cv2
import numpy as np

from stream.errors import SourceError
from stream.frame import Image, Mask


def read_picture(path: str) -> Image:
    """[H, W, 3] uint8; raises SourceError for what is absent or no picture."""
    file = Path(path)
    data = file.read_bytes() if file.is_file() else b""
    if not data:
        raise SourceError(f"expected a picture in {path}, found no such file or an empty one")
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise SourceError(f"expected a JPEG, PNG or other picture in {path}, could not decode it")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def read_mask(path: Path) -> Mask:
    """[H, W] bool: where the picture is opaque if it has another alpha, else where it is not black.

    Of a lossily compressed picture only what is at least half as bright as its brightest pixel.
    Raises SourceError for what is absent or no picture.
    """
    data = path.read_bytes() if path.is_file() else b""
    kind = cv2.IMREAD_UNCHANGED
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), kind) if data else None
    if picture is None:
        raise SourceError(f"expected a mask picture at {path}, found none that can be read")
    planes = np.atleast_3d(np.asarray(picture))
    alpha = planes[..., 3] if planes.shape[2] == 4 else None
    seen = planes[..., :3].max(axis=-1) if alpha is None or alpha.all() else alpha
    lossy = data.startswith(b"\xff\xd8") or data[12:16] == b"VP8 "  # JPEG, WebP
    half = int(seen.max()) // 2 if lossy or seen is alpha else 0
    return np.asarray(seen > half)
