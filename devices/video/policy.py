"""What to do when frames come faster than they are used."""

from dataclasses import dataclass
from enum import Enum

from stream.clock import NS_PER_MS, NS_PER_S
from stream.errors import ConfigError

MAX_PIXELS = 2048 * 2048  # of one picture from a stranger; judged before it is decoded


class FramePolicy(Enum):
    """Which decoded frames reach a consumer that is slower than the camera."""

    EVERY_FRAME = "every-frame"  # all, in order; the delay grows up to the buffers' bound
    FRESHEST = "freshest"  # only the newest; one frame waits at most
    AUTO = "auto"  # all while they are fresh; older ones go once the consumer lags


@dataclass(frozen=True, slots=True)
class ReceiveOptions:
    """Bounds of the receive path; raises ConfigError on a bound that is not positive."""

    policy: FramePolicy = FramePolicy.AUTO
    max_staleness_ns: int = 500 * NS_PER_MS  # a frame that waited longer is not delivered
    decoded_capacity: int = 8  # pictures waiting for the consumer
    encoded_capacity: int = 256  # compressed frames waiting for the decoder
    loss_wait_ns: int = 250 * NS_PER_MS  # how long a missing packet may hold the picture back
    nack_interval_ns: int = 50 * NS_PER_MS  # missing packets are asked for again this often
    pli_interval_ns: int = 500 * NS_PER_MS  # least time between two keyframe requests
    max_pixels: int = MAX_PIXELS  # of a picture; a larger one is not decoded
    stall_ns: int = NS_PER_S  # packets but no picture for so long: ask for a keyframe
    keyframe_wait_ns: int = 3 * NS_PER_S  # then decode on, if the sender ignores the requests

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            if isinstance(value, int) and value <= 0:
                raise ConfigError(f"expected {name} > 0, got {value}")
