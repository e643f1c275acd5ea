"""What is in view, put into one sentence: sure things first, then what may be there."""

from perception.scene import GroundedRegion, Scene, SceneView

LISTED, GUESSED = 0.25, 0.1  # that a thing needs to be listed, and to be guessed at
AGREED = 0.3  # the same for a name on which several views of the frame agree
MAX_LISTED, MAX_MAYBE = 4, 2

Named = dict[str, GroundedRegion]  # name -> where it is


def things_in_view(
    scene: Scene, view: SceneView, focus: GroundedRegion | None
) -> tuple[Named, Named]:
    """What is there, and what may be there; names differ, surest first."""
    sure: Named = {}
    for thing in sorted(view.things, key=lambda thing: -thing.score):
        if thing.score >= LISTED:
            sure.setdefault(thing.names[0].label, thing)
    if not sure and focus is not None and focus.score >= LISTED:
        sure[focus.names[0].label] = focus
    maybe: Named = {}
    for thing in scene.around(view):
        if thing.names[0].label not in sure:
            (sure if thing.score >= AGREED else maybe).setdefault(thing.names[0].label, thing)
    if not sure and not maybe:
        for thing in view.things:
            if thing.score >= GUESSED:
                maybe.setdefault(thing.names[0].label, thing)
    room = min(MAX_MAYBE, MAX_LISTED - min(len(sure), MAX_LISTED))
    return dict(list(sure.items())[:MAX_LISTED]), dict(list(maybe.items())[:room])
