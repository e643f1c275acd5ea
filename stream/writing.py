"""What everything that writes files has in common: how it ends, and how it says what went wrong."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
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
