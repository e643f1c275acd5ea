"""From the boxes and points that a language model writes to regions with masks and names."""

from collections.abc import Sequence

from perception.masks.prompts import BoxPrompt, PointsPrompt
from perception.sam2_tracking.tracker import Sam2Tracker
from perception.scene.reader import GroundedRegion, Scene, SceneView
from reasoning.vlm.coordinates import SCALE
from stream.errors import PromptError
from stream.events import Question
from stream.geometry import Box, Point, decode_mask


class SceneGrounder:
    """Cuts the thing out with the scene's own cutter: the small SAM, or along edges without it."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    def ground(self, view: SceneView, place: Sequence[float]) -> GroundedRegion | None:
        """See Grounder."""
        try:
            point, box = prompt_of(place, view.frame.size)
            return self._at(view, point, box)
        except PromptError:
            return None

    def meant(self, view: SceneView, question: Question, words: str) -> GroundedRegion | None:
        """See Grounder."""
        try:
            if question.point is not None or question.box is not None:
                return self._at(view, question.point, question.box)
        except PromptError:
            pass  # outside the picture
        for phrase in filter(None, (words.strip(), question.text)):
            try:
                return self._scene.find(view, phrase)
            except PromptError:
                continue
        return None

    def _at(self, view: SceneView, point: Point | None, box: Box | None) -> GroundedRegion:
        """What is pointed at, in pixels; raises PromptError."""
        return self._scene.point_at(view, point, box)


class Sam2Grounder(SceneGrounder):
    """Hands points and boxes to SAM 2 or EdgeTAM: one frame, a fresh state."""

    def __init__(self, tracker: Sam2Tracker, scene: Scene) -> None:
        super().__init__(scene)
        self._tracker = tracker

    def _at(self, view: SceneView, point: Point | None, box: Box | None) -> GroundedRegion:
        prompt: BoxPrompt | PointsPrompt
        if box is not None:
            prompt = BoxPrompt(box)
        elif point is not None:
            prompt = PointsPrompt((point,))
        else:
            raise PromptError("expected a point or a box, got neither")
        state, _ = self._tracker.add(self._tracker.init_state(), view.frame, None, prompt)
        _, (region,) = self._tracker.step(state, view.frame, None)
        return self._scene.names_of(view, decode_mask(region.mask))


def prompt_of(place: Sequence[float], size: tuple[int, int]) -> tuple[Point | None, Box | None]:
    """Thousandths -> a point or a box in pixels of a (height, width) frame; raises PromptError."""
    pixels = in_pixels(place, size)
    if len(pixels) == 4:
        x0, y0, x1, y1 = pixels
        return None, (x0, y0, x1, y1)
    return (pixels[0], pixels[1]), None


def in_pixels(place: Sequence[float], size: tuple[int, int]) -> tuple[int, ...]:
    """Thousandths -> pixels of a (height, width) frame; corners in order, a pixel wide at least.

    Raises PromptError for anything but two or four numbers.
    """
    if len(place) not in (2, 4):
        raise PromptError(f"expected a point or a box, got {len(place)} numbers")
    height, width = size
    sides = (width, height) * (len(place) // 2)
    points = [
        min(side, max(0, round(min(value, SCALE) / SCALE * side)))
        for value, side in zip(place, sides, strict=True)
    ]
    if len(points) == 2:
        return min(points[0], width - 1), min(points[1], height - 1)
    x0, x1 = sorted((points[0], points[2]))
    y0, y1 = sorted((points[1], points[3]))
    x0, y0 = min(x0, width - 1), min(y0, height - 1)
    return x0, y0, max(x1, x0 + 1), max(y1, y0 + 1)
