"""The ways to read a region of a picture as one vector; light, for settings are checked with them.

`crop`     the padded square around the region, as it is
`blanked`  the same with the background at the network's mean colour
`both`     the mean of the two as unit vectors
`pooled`   the whole picture is read, its last patch tokens under the mask are pooled and projected
`alpha`    the mask is an input of the network: Sun et al., "Alpha-CLIP", CVPR 2024

A mask of a whole picture gives, by `crop`, the vector of the picture.
"""

from typing import Literal

RegionMode = Literal["crop", "blanked", "both", "pooled", "alpha"]
VIEWS: tuple[RegionMode, ...] = ("crop", "blanked", "both")  # what any network of pictures can
