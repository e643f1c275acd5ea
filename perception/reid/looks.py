"""What a region looks like, as one vector: to tell whether two regions show the same thing.

The backbone's last features under the mask, averaged and set to unit length. On the demo clip the
same thing at another size or place has a cosine of 0.73 or more, different things 0.28 or less,
and 0.60 where one thing's mask holds much of the other (a man behind his tripod).
"""

import numpy as np
import numpy.typing as npt

from perception.features.backbone import Features, masked_mean
from stream.frame import Mask

Look = npt.NDArray[np.float32]  # [1280], unit length, or zero where nothing is to be seen

SAME_LOOK = 0.68  # cosine from which two regions show the same thing
OTHER_LOOK = 0.45  # below it they surely do not


def look_of(features: Features, mask: Mask) -> Look:
    """[H, W] mask of the features' frame -> its look."""
    pooled = np.asarray(masked_mean(features.top, mask).cpu().numpy(), np.float32)
    norm = float(np.linalg.norm(pooled))
    return pooled / norm if norm > 1e-6 else np.zeros_like(pooled)


def likeness(left: Look, right: Look) -> float:
    """Cosine of two looks, -1..1; 0 when one of them shows nothing."""
    return float(left @ right)
