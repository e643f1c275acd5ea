"""Pictures as a chat server takes them."""

import base64
import math
from typing import Any

import cv2

from stream.errors import BackendError
from stream.frame import Image

JPEG_QUALITY = 90


def picture_part(
    image: Image, max_pixels: int | None = None, quality: int = JPEG_QUALITY
) -> dict[str, Any]:
    """[H, W, 3] RGB -> a message part with the picture inside, made smaller above `max_pixels`."""
    height, width = sent_size(image.shape[:2], max_pixels)
    if (height, width) != image.shape[:2]:
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    done, coded = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise BackendError(f"expected a picture that can be coded as JPEG, got {image.shape}")
    data = base64.b64encode(coded.tobytes()).decode("ascii")
    return {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{data}"}}


def sent_size(size: tuple[int, ...], max_pixels: int | None) -> tuple[int, int]:
    """(height, width) of a picture as it is sent: its shape is kept."""
    height, width = size
    if max_pixels is None or height * width <= max_pixels:
        return height, width
    scale = math.sqrt(max_pixels / (height * width))
    return max(1, int(height * scale)), max(1, int(width * scale))
