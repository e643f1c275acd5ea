"""Where a lost object is: what is remembered of it, sought in the whole picture."""

import torch

from perception.reid.reidentifier import FoundPlace
from perception.tracking.match import match_anywhere
from perception.tracking.roi import LEVEL
from perception.tracking.settings import MatchConfig
from perception.tracking.state import Track

SMALLEST_RETURN, LARGEST_RETURN = 0.15, 4.0  # of its largest remembered area, to be found again


def seek(key: torch.Tensor, track: Track, config: MatchConfig) -> FoundPlace[torch.Tensor]:
    """[h, w] soft mask where the features [C, h, w] show a lost object, empty where nothing fits.

    It is sought by its first frame and the last one that showed most of it.
    """
    wanted = max(float(frame.label.sum()) for frame in track.frames)
    areas = (SMALLEST_RETURN * wanted, LARGEST_RETURN * wanted)
    memory = [track.first, *track.whole_frames[1:][-1:]]
    found, likeness = match_anywhere(key, memory, config.temperature, areas)
    inside = found >= LEVEL
    clarity = float(found[inside].mean()) if inside.any() else 0.0
    return FoundPlace(found, likeness, clarity=clarity)
