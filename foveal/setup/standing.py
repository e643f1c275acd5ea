"""Opens standing questions: those of a replay, and those of all wearers of a server."""

from collections.abc import Callable
from pathlib import Path

from foveal.config.standing import StandingSettings
from foveal.session.stages import Stages
from foveal.session.standing import StandingQuestions
from foveal.session.watch_book import WatchBook
from stream.clock import UnixClock

DEFAULT = Path("~/.config/foveal/standing.json")  # beside the tokens


def open_standing(settings: StandingSettings, stages: Stages) -> StandingQuestions:
    """Standing questions of one run, which end with it."""
    return StandingQuestions(stages.reader.spotter(), settings)


def watches_of_all(settings: StandingSettings) -> Callable[[Stages, str], StandingQuestions]:
    """Standing questions by wearer, kept in one file; `""` is the box's own."""
    book = WatchBook(settings.path or DEFAULT.expanduser())
    wall = UnixClock()

    def of(stages: Stages, owner: str) -> StandingQuestions:
        return StandingQuestions(stages.reader.spotter(), settings, book, owner, wall)

    return of
