"""Stream time of live URLs: stamps where there are any, arrival elsewhere."""

from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import av
import pytest

from devices.video.stream_time import StreamTime
from devices.video.timeline import ticks_to_ns
from stream.clock import NS_PER_MS, NS_PER_S

STEP_MS = 200


@dataclass
class Picture:
    """Of av, as far as time goes."""

    pts: int | None
    time_base: Fraction | None = Fraction(1, 1000)


@dataclass
class Container:
    """Of av: how it was demuxed."""

    format: av.format.ContainerFormat


def times_ms(format: str, stamps: list[int | None]) -> list[int]:
    """Stream times in ms of pictures that come every 200 ms."""
    time = StreamTime()
    time.connect(Container(av.format.ContainerFormat(format, "r")))
    out = []
    for number, stamp in enumerate(stamps):
        ticks = time.ticks(Picture(stamp), (NS_PER_S + number * STEP_MS * NS_PER_MS))
        out.append(round(ticks_to_ns(ticks) / NS_PER_MS))
    return out


@pytest.mark.parametrize("format", ["h264", "hevc", "mjpeg", "mpjpeg", "jpeg_pipe"])
@pytest.mark.parametrize("stamps", [[None] * 4, [0, 40, 80, 120]])  # none, or 25 fps made up
def test_without_stamps_of_the_sender_pictures_are_as_far_apart_as_they_came(
    format: str, stamps: list[int | None]
) -> None:
    assert times_ms(format, stamps) == [0, 200, 400, 600]


@pytest.mark.parametrize(
    "stamps,expected",
    [
        ([500, 540, 580, 700], [0, 40, 80, 200]),  # exact, whenever they came
        ([0, 40, None, 500, 540], [0, 40, 240, 440, 480]),
        ([0, 40, 3_600_000, 3_600_040], [0, 40, 240, 280]),  # an hour ahead
        ([0, 40, 3_600_000, 120, 160], [0, 40, 240, 440, 480]),
        ([9000, 9040, 0, 40], [0, 40, 240, 280]),  # the sender's clock began anew
    ],
)
def test_stamps_that_jump(stamps: list[int | None], expected: list[int]) -> None:
    assert times_ms("mpegts", stamps) == expected


def test_time_grows_over_connections() -> None:
    time, seen = StreamTime(), []
    for connection in range(3):
        time.connect(Container(av.format.ContainerFormat("mpegts", "r")))
        for number in range(3):
            at_ns = (connection * 10 + number) * NS_PER_S
            seen.append(time.ticks(Picture(number * 1000), at_ns))
    assert all(b > a for a, b in pairwise(seen))
    assert ticks_to_ns(seen[-1]) == 22 * NS_PER_S
