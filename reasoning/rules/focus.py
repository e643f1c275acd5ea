"""What a question is about: the thing pointed at, named, or most prominent in view; and where."""

from dataclasses import replace

from perception.scene.class_hierarchy import fitting
from perception.scene.name_matching import words_of
from perception.scene.reader import GroundedRegion, Scene, SceneView
from reasoning.rules.parsing import plural, pointed_noun, with_article
from reasoning.rules.script import DONT_KNOW, ScriptState
from stream.errors import PromptError
from stream.events import Question

WHOLE_LEAD = 0.15  # by which the whole picture's name must beat the best thing's
# Words that tell no more than that something is there.
GENERIC = frozenset(
    {"thing", "object", "item", "animal", "creature", "food", "drink", "plant", "device", "tool"}
)
MAX_HELD, MIN_HELD = 0.2, 0.25  # share of the view, and name, of what may be held
HANDS_FROM = 0.45  # of the view's height, from above: hands come in from below
UNHELD = frozenset(
    (
        *("person", "bed", "couch", "chair", "table", "bench", "toilet", "refrigerator", "oven"),
        *("sink", "television", "car", "bus", "train", "truck", "airplane", "boat", "horse", "cow"),
        *("elephant", "giraffe", "zebra", "bear"),
    )
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


def in_reach(view: SceneView) -> GroundedRegion | None:
    """What may be in the wearer's hands: something small, named, near the lower middle."""
    height, width = view.frame.size
    best: tuple[float, GroundedRegion] | None = None
    for thing in view.things:
        x, y = (thing.box[0] + thing.box[2]) / 2 / width, (thing.box[1] + thing.box[3]) / 2 / height
        large = float(thing.mask.mean()) > MAX_HELD
        if large or thing.score < MIN_HELD or y < HANDS_FROM or thing.names[0].label in UNHELD:
            continue
        rank = thing.score - abs(x - 0.5)
        if best is None or rank > best[0]:
            best = (rank, thing)
    return best[1] if best else None


def _prominence(thing: GroundedRegion) -> float:
    return SALIENCY_WEIGHT * thing.saliency + (1 - SALIENCY_WEIGHT) * thing.score


def find_named(scene: Scene, turn: ScriptState, phrase: str) -> GroundedRegion | None:
    """What a phrase names in view, or what the turn is about without one."""
    if not phrase:
        return turn.focus
    try:
        region = scene.find(turn.prompt.view, phrase)
    except PromptError:
        return None
    return replace(region) if region.mask.any() else None


def find_all_named(scene: Scene, turn: ScriptState, phrase: str) -> tuple[GroundedRegion, ...]:
    """Every thing that a phrase names in view."""
    if not phrase:
        return () if turn.focus is None else (turn.focus,)
    try:
        return scene.find_all(turn.prompt.view, phrase)
    except PromptError:
        return ()


def missed(phrase: str) -> str:
    """What is said of a thing that is not found: gone, where such things are reliably seen."""
    if fitting(phrase) or not phrase:
        return f"I don't see {any_of(phrase)} in view."
    return f"{DONT_KNOW}: I can't make out {any_of(phrase)} in view."


def any_of(phrase: str) -> str:
    """The words for one of a kind that is not there."""
    return f"any {phrase}" if plural(phrase) else with_article(phrase or "such a thing")


def same_noun(phrase: str, label: str) -> bool:
    """Whether two phrases end in the same word."""
    return _stem(phrase) == _stem(label)


def is_group(phrase: str) -> bool:
    """Whether a phrase means things of many names ("animals")."""
    return _stem(phrase) in GENERIC


def _stem(words: str) -> str:
    return (words_of(words) or ("",))[-1]
