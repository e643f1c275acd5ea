"""The folder of a run's results: of which clip they are, and that none gets lost."""

import itertools
import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path

from foveal.output.lines import prepare
from stream.writing import keep_apart, writing

logger = logging.getLogger(__name__)

RUNS = Path("runs")
MARK = ".clip"  # in a folder of results: the absolute path of their clip


def default_folder(clip: Path, prefix: str = "") -> Path:
    """Where a clip's results go unless told: runs/NAME, or runs/NAME-2 and so on.

    A folder is taken when it is new, empty or holds this clip's own results: two cameras count
    from the same number, and walk.mp4 is not walk.mov.
    """
    named = clip.resolve() if clip.name in ("", "..") else clip  # `replay .` has a name, too
    name = prefix + named.stem
    for number in itertools.count(1):
        folder = RUNS / (name if number == 1 else f"{name}-{number}")
        if not folder.exists() or owner(folder) == _path(clip) or _empty(folder):
            return folder
    raise AssertionError("counting has no end")


def check_folder(folder: Path, clip: Path, results: Sequence[str]) -> None:
    """Whether the folder can become this clip's; nothing is touched.

    Raises OutputError where nothing can be written, and when the clip is among the `results` (glob
    patterns) or is the folder itself: it cannot be made again.
    """
    here = (path for pattern in results for path in folder.glob(pattern))
    keep_apart([folder, *here], [clip])
    there = next(path for path in (folder, *folder.parents) if path.exists())
    with writing(folder):
        tempfile.TemporaryFile(dir=there).close()


def claim(folder: Path, clip: Path, results: Sequence[str]) -> None:
    """Make the folder this clip's: an earlier run's `results` are removed.

    Raises OutputError as `check_folder` does, before anything is touched.
    """
    check_folder(folder, clip, results)
    before = owner(folder)
    if before not in (None, _path(clip)):
        logger.warning("the results of %s in %s are replaced", before, folder)
    prepare(folder, results)
    with writing(folder):
        (folder / MARK).write_text(_path(clip) + "\n", encoding="utf-8")


def owner(folder: Path) -> str | None:
    """The clip whose results lie in a folder; None when it does not say."""
    try:
        return (folder / MARK).read_text(encoding="utf-8").rstrip("\n")
    except (OSError, UnicodeDecodeError):
        return None


def _path(clip: Path) -> str:
    return str(clip.resolve())


def _empty(folder: Path) -> bool:
    return folder.is_dir() and next(folder.iterdir(), None) is None
