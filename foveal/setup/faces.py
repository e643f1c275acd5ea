"""Puts the hiding of faces together: the pinned face detector -> what hides one stream's faces."""

from collections.abc import Callable, Sequence
from functools import partial

from foveal.assets.convert import network_path
from foveal.output.blur import FaceBlur
from perception.detect.faces import MODEL, FaceDetector
from perception.device import CPU, Device
from stream.frame import Image
from stream.geometry import Box

FACES = "human-models"
SURE = 0.5  # probability from which it is hidden: a blurred lamp costs less than a face


def blur_maker(device: Device = CPU) -> Callable[[], FaceBlur]:
    """What makes each stream's; the model is shared. Raises AssetError with what to do."""
    detector = FaceDetector.load(network_path(FACES, MODEL), device)

    def find(image: Image) -> Sequence[Box]:
        return detector.faces(image, SURE, closer=False)  # FaceBlur looks closer itself, in turn

    return partial(FaceBlur, find)
