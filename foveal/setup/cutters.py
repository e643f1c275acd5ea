"""Which cutter makes masks: the small SAM where it was pulled, else edges and features."""

import logging
from functools import lru_cache
from typing import TYPE_CHECKING

from foveal.assets.convert import network_path
from perception.device import CPU, Device
from perception.masks.cutter import Cutter, EdgeCutter
from stream.errors import MissingAssetError

if TYPE_CHECKING:
    from perception.masks.small_sam import SmallSam

logger = logging.getLogger(__name__)

ASSET = "small-sam"


def load_small_sam(device: Device = CPU) -> "SmallSam":
    """The small SAM; raises AssetError with what to do."""
    from perception.masks.small_sam import DECODER, ENCODER, SmallSam

    encoder, decoder = network_path(ASSET, ENCODER), network_path(ASSET, DECODER)
    return SmallSam.load(encoder, decoder, device)


def load_cutter(device: Device = CPU) -> Cutter:
    """The small SAM; where it was not pulled, GrabCut, with one hint a process.

    Sessions of one process share it. Raises AssetError for files that are there and do not fit.
    """
    return _cutter(device)


@lru_cache(maxsize=1)
def _cutter(device: Device) -> Cutter:
    try:
        return load_small_sam(device)
    except MissingAssetError as error:
        logger.warning("masks are cut along edges and are coarser: %s", error)
        return EdgeCutter()
