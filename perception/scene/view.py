"""What perception makes of one frame, as the language side holds it."""

from dataclasses import dataclass

from perception.detect.detector import Detection
from perception.features.backbone import Features
from perception.scene.grounded_region import GroundedRegion
from perception.scene.name_matching import Name, Posterior
from stream.frame import Frame


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class SceneView:
    """One frame as the language side sees it."""

    frame: Frame
    features: Features
    things: tuple[GroundedRegion, ...]  # most prominent first
    whole: tuple[Name, ...]  # names of the whole picture
    whole_posterior: Posterior
    detections: tuple[Detection, ...] = ()  # surest first; several names may share a place
