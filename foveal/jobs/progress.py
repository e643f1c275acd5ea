"""How far a command is, on standard error."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

Advance = Callable[..., None]  # how much is done; of how much, where that is known; of what


@contextmanager
def progress(waiting: str, what: str) -> Iterator[Advance]:
    """A bar on a terminal, nothing elsewhere; `waiting` is told until something is done."""
    console = Console(file=sys.stderr)
    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task(waiting, total=None)

        def advance(done: int, total: int | None = None, named: str | None = None) -> None:
            bar.update(task, description=named or what, completed=done, total=total)

        yield advance
