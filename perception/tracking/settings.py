"""Settings of tracking: plain values without torch, so that a configuration is read quickly."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class MatchConfig:
    """Sharpness and reach of the match; lengths in feature cells (8 input pixels each)."""

    temperature: float = 0.025
    reach: int = 6  # around the expected mask: cells that are matched
    ring: int = 8  # around a remembered mask: cells that are remembered
    spread: float = 0.4  # of the prior of place, in sizes of the object
    min_spread: float = 3.0  # the same, in cells
    max_cells: int = 512  # remembered of one look; a larger one is thinned out
    max_queries: int = 896  # cells matched at once; of more, every other one
    first_weight: float = 1.0  # a cell of the first look counts as this many others


@dataclass(frozen=True, slots=True)
class TrackerConfig:
    """What is remembered and when an object counts as lost."""

    recent: int = 2  # last frames that are remembered
    spaced: int = 4  # looks kept from longer ago
    max_gap: int = 64  # frames between those, at most
    max_tracks: int = 16
    min_area: float = 0.08  # of the last seen area; below it the object is gone
    min_score: float = 0.35  # mean carried label under the mask
    return_score: float = 0.75  # mean label of a search, to take a lost object as found again
    return_surety: float = 0.66  # and how like its looks it must be, a cosine
    colour_rate: float = 0.1  # share of a new frame in the colour model
    renew_every: int = 12  # frames between masks that are cut anew; 0 never cuts them
    feature_rows: int | None = None  # resolution of the tracker's own backbone pass
    match: MatchConfig = field(default_factory=MatchConfig)
