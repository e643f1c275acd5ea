"""What a session is made of, and who takes what it makes."""

from dataclasses import dataclass, field
from typing import Protocol

from foveal.session.masklets import LiveMasklets
from perception.features.backbone import Backbone, Features
from perception.masks.cutter import Cutter, EdgeCutter
from perception.scene.reader import SceneReader, SceneView
from reasoning.generation.conversation import Assistant
from stream.events import Answer, AnswerEvent, Region
from stream.frame import Frame, Keyframe, Mask
from stream.geometry import Box, box_iou, mask_box
from stream.keyframes.selector import KeyframeSelector
from stream.timing.trace import Tracer

SAME_BOX = 0.5  # overlap from which a detection and a mask are of one thing


class SessionSink(Protocol):
    """Takes what a session makes, as it is made."""

    def frame(
        self, frame: Frame, regions: tuple[Region, ...], keyframe: Keyframe | None
    ) -> None: ...

    def event(self, event: AnswerEvent) -> None: ...

    def answer(self, answer: Answer, frame: Frame, regions: tuple[Region, ...]) -> None: ...


@dataclass(frozen=True, slots=True, eq=False)
class Stages:
    """The parts of a session, made by the composition root."""

    selector: KeyframeSelector
    backbone: Backbone
    masklets: LiveMasklets
    reader: SceneReader
    assistant: Assistant
    tracer: Tracer
    cutter: Cutter = field(default_factory=EdgeCutter)

    def features(self, frame: Frame) -> Features:
        """The shared backbone's pass over a frame; raises BadFrame where there is none."""
        with self.tracer.span("backbone", frame.pts_ns):
            return self.backbone.features(frame.image)

    def sharp(self, view: SceneView | None, frame: Frame, mask: Mask) -> Mask:
        """A rough mask [H, W] of a frame along the thing's border; `view` is of any frame."""
        box = detected_box(view, frame, mask)
        with self.tracer.span("mask", frame.pts_ns):
            return self.cutter.sharpen(frame.image, mask, box)


def detected_box(view: SceneView | None, frame: Frame, mask: Mask) -> Box | None:
    """The detector's box of what a mask lies on, if it saw that in this frame."""
    rough = mask_box(mask)
    if rough is None or view is None or view.frame is not frame:
        return None
    boxes = [(box_iou(one.box, rough), one.box) for one in view.detections]
    overlap, box = max(boxes, default=(0.0, rough))
    return box if overlap >= SAME_BOX else None


def region_event(region: Region) -> AnswerEvent:
    """A masklet's region in one frame as an event."""
    data = {
        "track_id": region.track_id,
        "box": list(region.box) if region.box else None,
        "score": round(region.score, 4),
        "mask": region.mask.as_json(),
    }
    return AnswerEvent("region", region.pts_ns, data)
