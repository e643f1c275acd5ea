"""Follow what a box holds; print where it is in every frame.

python examples/track.py CLIP SECONDS X0,Y0,X1,Y1
"""

import sys

from foveal import BoxPrompt, open_profile

clip, seconds, corners = sys.argv[1:]
x0, y0, x1, y1 = map(int, corners.split(","))

for result in open_profile().track(clip, [BoxPrompt((x0, y0, x1, y1))], start_s=float(seconds)):
    (region,) = result.regions
    print(f"{result.frame.pts_ns / 1e9:.3f} s  {region.box}  score {region.score:.2f}")
