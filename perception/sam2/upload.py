"""Pictures to the device at the model's size: through pinned memory, while it still works.

How a picture comes to the model's size (`Resize`), since upstream has no single way:

* "pillow"   Pillow's bicubic in 8 bits, as the `sam2` package reads a folder of pictures; on the
  CPU, exact to the bit.
* "bicubic"  torchvision's on the device; differs from Pillow's by up to two of 255 in some pixels.
* "bilinear" torchvision's on the device, as transformers' processor and `SAM2ImagePredictor` do.

All three filter before they shrink. `sam2` reads .mp4 files through decord, whose scaler (FFmpeg's
bicubic) is none of them.
"""

import threading

import numpy as np
import PIL.Image
import torch
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as TF

from perception.sam2.types import Resize
from stream.frame import Image

SLOTS = 2  # one picture on its way while the last one is read


class Uploader:
    """[H, W, 3] uint8 pictures -> [3, S, S] uint8 tensors on the device.

    On CUDA each picture goes through one of two pinned buffers (made once for a size) on a stream
    of its own, so the copy overlaps the work on the frame before; `stage` starts it early. On a
    CPU nothing is copied.
    """

    def __init__(self, device: torch.device, size: int, resize: Resize) -> None:
        self._device, self._size, self._resize = device, size, resize
        self._lock = threading.Lock()  # an answer may ask for a mask while frames come
        self._pinned: list[torch.Tensor] = []
        self._done: list[torch.cuda.Event | None] = [None] * SLOTS
        self._slot = 0
        self._stream: torch.cuda.Stream | None = None
        if device.type == "cuda":
            self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._staged: list[tuple[Image, torch.Tensor, torch.cuda.Event | None]] = []

    def stage(self, image: Image) -> None:
        """Start the copy of a picture that `take` will be asked for soon."""
        with self._lock:
            self._staged = [*self._staged, (image, *self._send(image))][-SLOTS:]

    def take(self, image: Image) -> torch.Tensor:
        """[3, S, S] the picture on the device, ready for work queued from now on."""
        with self._lock:
            found = next((one for one in self._staged if one[0] is image), None)
            if found is None:
                tensor, done = self._send(image)
            else:
                _, tensor, done = found
                self._staged = [one for one in self._staged if one is not found]
        if done is not None:
            current = torch.cuda.current_stream(self._device)
            current.wait_event(done)
            tensor.record_stream(current)
        return self._resized(tensor.permute(2, 0, 1))

    def _resized(self, tensor: torch.Tensor) -> torch.Tensor:
        if self._resize == "pillow":  # on the way up
            return tensor
        side = [self._size, self._size]
        small: torch.Tensor = TF.resize(
            tensor, side, InterpolationMode(self._resize), antialias=True
        )
        return small

    def _send(self, image: Image) -> tuple[torch.Tensor, "torch.cuda.Event | None"]:
        if self._resize == "pillow":
            small = PIL.Image.fromarray(np.ascontiguousarray(image))
            image = np.array(small.resize((self._size, self._size), PIL.Image.Resampling.BICUBIC))
        given = torch.from_numpy(np.ascontiguousarray(image))
        if self._stream is None:
            return given.to(self._device), None
        buffer = self._buffer(given)
        buffer.copy_(given)
        with torch.cuda.stream(self._stream):
            tensor = buffer.to(self._device, non_blocking=True)
            done = torch.cuda.Event()  # type: ignore[no-untyped-call]
            done.record(self._stream)
        self._done[self._slot] = done
        self._slot = (self._slot + 1) % SLOTS
        return tensor, done

    def _buffer(self, given: torch.Tensor) -> torch.Tensor:
        """A pinned buffer of this shape whose last copy has left it."""
        if not self._pinned or self._pinned[0].shape != given.shape:
            torch.cuda.synchronize(self._device)
            self._pinned = [torch.empty_like(given, pin_memory=True) for _ in range(SLOTS)]
        last = self._done[self._slot]
        if last is not None:
            last.synchronize()
        return self._pinned[self._slot]
