"""Search by words, or by a picture and what is asked of it.

python examples/find.py "tallest mountain"        python examples/find.py cat.jpg "how old"
"""

import sys
from pathlib import Path

import cv2

from foveal import open_profile

what, *about = sys.argv[1:]
foveal = open_profile()
if Path(what).is_file():
    picture = cv2.cvtColor(cv2.imread(what), cv2.COLOR_BGR2RGB)
    found = foveal.search(" ".join(about), image=picture)
else:
    found = foveal.search(what)
for evidence in found:
    print(f"{evidence.score:.2f}  {evidence.title}: {evidence.text[:80]}")
