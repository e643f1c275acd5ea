"""Who makes the masks of a collection's pictures, by the name that `--masks` gives.

things          what the detector sees and what stands out beside it (default)
proposals       what stands out, by spectral grouping of the shared features alone
sam2:MODEL      SAM 2 on a grid of points: a model of the hub, or of a folder
FILE.json       COCO instances: masks of yours, by file name
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from retrieval.pictures.building import FoundMasks, MaskSource
from stream.errors import ConfigError, PromptError, SourceError
from stream.frame import Frame, Image, Mask
from stream.geometry import decode_mask, mask_iou

if TYPE_CHECKING:
    from perception.features.backbone import Backbone
    from perception.sam2_tracking.tracker import Sam2Tracker
    from perception.scene.reader import SceneReader

SAME = 0.7  # overlap from which two masks of a grid are one thing, as in SAM's own generator
LEAST_SCORE, LEAST_SHARE = 0.5, 0.001  # of a mask of the grid: confidence, share of the picture
GRID = 8


def open_masks(name: str) -> MaskSource:
    """Raises ConfigError for a name that none has, AssetError or SourceError as the maker does."""
    from perception.device import resolve_device

    if name.endswith(".json"):
        return MasksOfFile(Path(name))
    if name == "things":
        from foveal.setup.assistant import load_scene_reader

        return ThingMasks(load_scene_reader(resolve_device()))
    if name == "proposals":
        from foveal.setup.retrieval.search import load_backbone

        return ProposedMasks(load_backbone(device=resolve_device()))
    if name.startswith("sam2:"):
        from foveal.config.models import MaskletSettings
        from foveal.setup.trackers import open_sam2

        return Sam2Masks(open_sam2(MaskletSettings(tracker=name), GRID * GRID), name)
    raise ConfigError(f"expected things, proposals, sam2:MODEL or FILE.json as masks, got {name!r}")


class ThingMasks:
    """The things of a scene, as a session sees them."""

    id = "things-1"

    def __init__(self, reader: "SceneReader") -> None:
        self._reader = reader

    def find(self, name: str, image: Image) -> FoundMasks:
        """See MaskSource."""
        things = self._reader.read(Frame(0, 0, image, name)).things
        return FoundMasks([thing.mask for thing in things])


class ProposedMasks:
    """Spectral proposals."""

    id = "proposals-1"

    def __init__(self, backbone: "Backbone") -> None:
        self._backbone = backbone

    def find(self, name: str, image: Image) -> FoundMasks:
        """See MaskSource."""
        from perception.masks.proposals import ProposalConfig, propose

        del name
        features = self._backbone.features(image)
        found = propose(image, features, ProposalConfig(limit=12))
        return FoundMasks([one.mask for one in found])


class Sam2Masks:
    """A grid of points, a mask each; of masks that overlap the most certain one stays."""

    def __init__(self, tracker: "Sam2Tracker", name: str, grid: int = GRID) -> None:
        """`grid`: points along a picture's sides."""
        self._tracker, self._grid = tracker, grid
        self.id = f"{name}-{grid}"

    def find(self, name: str, image: Image) -> FoundMasks:
        """See MaskSource."""
        height, width = image.shape[:2]
        frame = Frame(0, 0, image, name)
        found: list[tuple[float, Mask]] = []
        state = self._tracker.init_state()
        for row, column in product(range(self._grid), repeat=2):
            point = ((column + 0.5) * width / self._grid, (row + 0.5) * height / self._grid)
            state, one = self._at(state, frame, point)
            if one is not None and one[0] >= LEAST_SCORE and one[1].mean() >= LEAST_SHARE:
                found.append(one)
        return FoundMasks(distinct(found))

    def _at(
        self, state: Any, frame: Frame, point: tuple[float, float]
    ) -> tuple[Any, tuple[float, Mask] | None]:
        """The state, which keeps what was seen of the frame, and the mask under a point."""
        from perception.masks.prompts import PointsPrompt

        try:
            added, track = self._tracker.add(state, frame, None, PointsPrompt((point,)))
        except PromptError:
            return state, None  # nothing is there
        _, (region,) = self._tracker.step(added, frame, None)
        return self._tracker.remove(added, track), (region.score, decode_mask(region.mask))


def distinct(found: Sequence[tuple[float, Mask]]) -> list[Mask]:
    """Masks without those that are the same as a more certain one."""
    kept: list[Mask] = []
    for _, mask in sorted(found, key=lambda one: -one[0]):
        if all(mask_iou(mask, other) < SAME for other in kept):
            kept.append(mask)
    return kept


@dataclass(frozen=True, slots=True)
class _Listed:
    size: tuple[int, int]
    segmentations: tuple[Any, ...]


class MasksOfFile:
    """COCO instances, by the pictures' file names; crowds are left out."""

    def __init__(self, path: Path) -> None:
        """Raises SourceError for what is no such file."""
        self._listed = _read(path)
        self.id = f"file-{hashlib.sha256(path.read_bytes()).hexdigest()}"

    def find(self, name: str, image: Image) -> FoundMasks:
        """See MaskSource; by the path in the folder, else by the file's name alone."""
        from reasoning.data.loaders.common import coco_mask

        listed = self._listed.get(name) or self._listed.get(Path(name).name)
        if listed is None:
            return FoundMasks([], ("the file of masks does not name this picture",))
        height, width = image.shape[:2]
        if listed.size != (height, width):
            raise SourceError(
                f"expected a picture of {listed.size[1]}x{listed.size[0]} as the file of masks "
                f"says, got {width}x{height}"
            )
        masks, refused = list[Mask](), list[str]()
        for number, segmentation in enumerate(listed.segmentations, start=1):
            try:
                masks.append(np.asarray(coco_mask(segmentation, listed.size), np.bool_))
            except (KeyError, TypeError, ValueError, IndexError) as error:
                refused.append(f"mask {number}: expected COCO's polygons or runs: {error!r}")
        return FoundMasks(masks, tuple(refused))


def _read(path: Path) -> Mapping[str, _Listed]:
    from reasoning.data.loaders.common import field, read_json

    table = read_json(path)
    of_image: dict[Any, list[Any]] = {}
    try:
        for item in field(table, "annotations", path):
            if not item.get("iscrowd"):
                of_image.setdefault(item["image_id"], []).append(item["segmentation"])
        return {
            str(info["file_name"]): _Listed(
                (int(info["height"]), int(info["width"])), tuple(of_image.get(info["id"], ()))
            )
            for info in field(table, "images", path)
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SourceError(
            f"expected COCO instances (images, annotations) in {path}: {error!r}"
        ) from error
