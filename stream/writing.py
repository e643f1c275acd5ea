"""What everything that writes files has in common: how it ends, and how it says what went wrong."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from stream.errors import OutputError

ADVICE = "free space or choose another folder"


class Writer(ABC):
    """Writes until it is closed; as a context manager it closes at the block's end."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Finish what is written; closing twice is fine."""


def output_error(path: Path, error: Exception, advice: str = ADVICE) -> OutputError:
    """What could not be written, why, and what to do."""
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return OutputError(f"expected to write to {path}, got: {reason}; {advice}")


@contextmanager
def writing(path: Path, *others: type[Exception], advice: str = ADVICE) -> Iterator[None]:
    """Raises OutputError that names the file for an OSError (or one of the others) in the block."""
    errors: tuple[type[Exception], ...] = (OSError, *others)
    try:
        yield
    except errors as error:
        raise output_error(path, error, advice) from error


def keep_apart(written: Iterable[Path], read: Iterable[Path]) -> None:
    """Raises OutputError when one of what is to be written is what is read; nothing is touched.

    Links and other spellings of a path count as the file or folder that they lead to.
    """
    sources = [path for path in read if path.exists()]
    for target in written:
        for source in sources:
            if target.exists() and target.samefile(source):
                raise OutputError(
                    f"expected results somewhere else than {target}: this is what is read, "
                    "and it would be lost; choose another output"
                )
