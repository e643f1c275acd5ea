"""Parts of other packages: found by entry points of an installed distribution, refused by name."""

import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from devices.speaking.speaker import open_speaker
from foveal.config.load import parse_config
from foveal.setup.backends import load_backend
from foveal.setup.trackers import open_tracker
from perception.tracking.settings import TrackerConfig
from stream import extensions
from stream.clock import VirtualClock
from stream.errors import ConfigError
from stream.sources.open import open_source

MODULE = """
from fractions import Fraction
import numpy as np
from stream.frame import Frame
from stream.sources.reader import Faults, SourceInfo

class Reader:
    def __init__(self, rest):
        self.count, self.faults = int(rest), Faults()
    def info(self):
        return SourceInfo(8, 8, self.count, None, Fraction(10))
    def read(self, start_ns):
        for number in range(self.count):
            yield Frame(number * 10**8, 0, np.full((8, 8, 3), number, np.uint8), "extension")

def tracker(rest, backbone, max_tracks):
    return ("tracker", rest, max_tracks)

def model(rest, reader):
    return ("model", rest)

def speaker(rest):
    return ("speaker", rest)

def command(subparsers):
    parser = subparsers.add_parser("hello", help="says hello")
    parser.set_defaults(run=lambda args: print("hello from an extension") or 0)
"""
POINTS = """
[foveal.sources]
counting = added_parts:Reader
[foveal.trackers]
still = added_parts:tracker
broken = added_parts:absent
[foveal.models]
parrot = added_parts:model
[foveal.speakers]
robot = added_parts:speaker
[foveal.commands]
hello = added_parts:command
broken = no_such_module_at_all:command
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the path with a distribution's metadata, as pip leaves it."""
    (tmp_path / "added_parts.py").write_text(MODULE)
    metadata = tmp_path / "added_parts-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: added-parts\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(POINTS)
    monkeypatch.syspath_prepend(str(tmp_path))
    extensions.known.cache_clear()
    yield tmp_path
    extensions.known.cache_clear()
    sys.modules.pop("added_parts", None)


async def test_a_source_is_opened_by_its_name(installed: Path) -> None:
    recording = open_source("counting:3", VirtualClock())
    frames = [frame async for frame in recording.frames()]
    assert [int(frame.image[0, 0, 0]) for frame in frames] == [0, 1, 2]
    assert recording.info().rate == Fraction(10)
    assert frames[0].image.dtype == np.uint8


def test_a_configuration_may_name_them(installed: Path) -> None:
    config = parse_config(
        {
            "masklets": {"tracker": "still:fast"},
            "reasoning": {"model": "parrot:grey"},
            "speech": {"backend": "robot"},
        }
    )
    backbone: Any = None  # handed on as it is
    opened: object = open_tracker(config.masklets, TrackerConfig(), backbone, 4)
    assert opened == ("tracker", "fast", 4)
    reader: Any = None
    model: object = load_backend(config.reasoning, reader)
    assert model == ("model", "grey")
    speaker: object = open_speaker(config.speech.backend)
    assert speaker == ("speaker", "")


@pytest.mark.parametrize(
    "wrong",
    [
        {"masklets": {"tracker": "stil"}},
        {"reasoning": {"model": "parot:x"}},
        {"reasoning": {"searcher": "nobody"}},
        {"speech": {"backend": "robto"}},
    ],
)
def test_what_nobody_added_is_refused(installed: Path, wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="expected (a|one of)"):
        parse_config(wrong)


def test_a_part_that_cannot_be_imported_names_its_package(installed: Path) -> None:
    with pytest.raises(ConfigError, match=r"added_parts:absent.*added-parts adds"):
        extensions.load("trackers", "broken")


def test_a_command_is_added_and_a_broken_one_leaves_the_others(installed: Path) -> None:
    code = f"import sys; sys.path.insert(0, {str(installed)!r}); import foveal.cli as c; "
    code += "sys.exit(c.main(['hello']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "hello from an extension\n")
    assert "the command broken is left out" in done.stderr
