"""What a question is about: the thing pointed at, named, or most prominent in view."""

from perception.scene import GroundedRegion, Scene, SceneView
from reasoning.phrases import pointed_noun
from stream.errors import PromptError
from stream.events import Question

WHOLE_LEAD = 0.15  # by which the whole picture's name must beat the best thing's
# Words that tell no more than that something is there.
GENERIC = frozenset(
    {"thing", "object", "item", "animal", "creature", "food", "drink", "plant", "device", "tool"}
)
SALIENCY_WEIGHT = 0.5  # prominence against certainty of the name


def find_focus(scene: Scene, view: SceneView, question: Question) -> GroundedRegion | None:
    """The region a question is about, or None when nothing stands out.

    A point or box outside the frame falls back to what is prominent: the wearer gets an answer.
    """
    if question.point is not None or question.box is not None:
        try:
            return scene.point_at(view, question.point, question.box)
        except PromptError:
            return most_prominent(scene, view)
    noun = pointed_noun(question.text)
    if noun and noun not in GENERIC:
        try:
            return scene.find(view, noun)
        except PromptError:
            return most_prominent(scene, view)
    return most_prominent(scene, view)


def most_prominent(scene: Scene, view: SceneView) -> GroundedRegion | None:
    """The thing that stands out most and is named most surely, or what fills the view."""
    ranked = sorted(view.things, key=_prominence, reverse=True)
    best = ranked[0] if ranked else None
    if view.whole[0].probability > (best.score if best else 0.0) + WHOLE_LEAD:
        return scene.whole_region(view)
    return best


def _prominence(thing: GroundedRegion) -> float:
    return SALIENCY_WEIGHT * thing.saliency + (1 - SALIENCY_WEIGHT) * thing.score
