"""Settings of tracking: plain values without torch, so that a configuration is read quickly."""

from dataclasses import dataclass, field
from typing import Annotated

from perception.reid.thresholds import ReidConfig
from stream.bounds import Share, within


@dataclass(frozen=True, slots=True)
class MatchConfig:
    """Sharpness and reach of the match; lengths in feature cells (8 input pixels each)."""

    temperature: Annotated[float, within(0.001, 10.0)] = 0.025
    reach: Annotated[int, within(1, 64)] = 6  # around the expected mask: cells that are matched
    ring: Annotated[int, within(1, 64)] = 8  # around a remembered mask: cells that are remembered
    # Of the prior of place, in sizes of the object.
    spread: Annotated[float, within(0.01, 100.0)] = 0.4
    min_spread: Annotated[float, within(0.1, 100.0)] = 3.0  # the same, in cells
    # Remembered of one frame; a larger one is thinned out.
    max_cells: Annotated[int, within(16, 100_000)] = 512
    # Cells matched at once; of more, every other one.
    max_queries: Annotated[int, within(16, 100_000)] = 896
    # A cell of the first frame counts as this many others.
    first_weight: Annotated[float, within(0.0, 100.0)] = 1.0


@dataclass(frozen=True, slots=True)
class TrackerConfig:
    """What is remembered and when an object counts as lost."""

    recent: Annotated[int, within(1, 64)] = 2  # last frames that are remembered
    spaced: Annotated[int, within(0, 64)] = 4  # frames kept from longer ago
    max_gap: Annotated[int, within(1, 10_000)] = 64  # frames between those, at most
    max_tracks: Annotated[int, within(1, 256)] = 16
    min_area: Share = 0.08  # of the last seen area; below it the object is gone
    min_score: Share = 0.35  # mean carried label under the mask
    return_score: Share = 0.75  # mean label of a search, to take a lost object as found again
    return_surety: Share = 0.66  # and how like its looks it must be, a cosine
    colour_rate: Share = 0.1  # share of a new frame in the colour model
    # Frames between masks that are cut anew; 0 never cuts them.
    renew_every: Annotated[int, within(0, 100_000)] = 12
    feature_rows: int | None = None  # resolution of the tracker's own backbone pass
    match: MatchConfig = field(default_factory=MatchConfig)

    @property
    def reid(self) -> ReidConfig:
        """When a lost object is taken as found again."""
        return ReidConfig(same=self.return_surety, clarity=self.return_score)
