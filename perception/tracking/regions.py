"""What the embedded tracker's state shows in a frame: one region for each object."""

import numpy as np

from perception.tracking.roi import LEVEL, paste_part
from perception.tracking.state import Track
from stream.events import Region
from stream.frame import Frame
from stream.geometry import encode_part, mask_box, overlap_slices

NOWHERE = ((0, 0, 0, 0), np.zeros((0, 0), np.float32))  # box and soft mask of what is out of sight


def regions_of(tracks: tuple[Track, ...], frame: Frame) -> tuple[Region, ...]:
    """Masks at the frame's size; where two claim a pixel, the stronger one has it."""
    parts = [paste_part(t.soft, t.window, *frame.size) if t.seen else NOWHERE for t in tracks]
    regions = []
    for number, (track, ((x0, y0, x1, y1), soft)) in enumerate(zip(tracks, parts, strict=True)):
        inside = soft >= LEVEL
        for place, other in parts[:number] + parts[number + 1 :]:
            mine, theirs = overlap_slices((x0, y0, x1, y1), place)
            inside[mine] &= soft[mine] >= other[theirs]
        code = encode_part(inside, (x0, y0), frame.size)
        near = mask_box(inside)
        box = None if near is None else (near[0] + x0, near[1] + y0, near[2] + x0, near[3] + y0)
        score = 0.0 if near is None else float(track.soft[track.soft >= LEVEL].mean())
        regions.append(Region(track.track_id, frame.pts_ns, code, box, score))
    return tuple(regions)
