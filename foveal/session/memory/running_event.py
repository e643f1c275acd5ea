"""An event of a session while it goes on: which masklets were in it, and how each looked best."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from foveal.session.memory.impressions import Impressions, Noted
from retrieval.memory.disk.store import is_person
from retrieval.memory.events import MAX_TEXT, Event, Meanings, Sight
from stream.clock import NS_PER_S
from stream.events import Region
from stream.frame import Frame, Image
from stream.geometry import Box, box_iou, decode_mask

SETTLED_NS = NS_PER_S  # after its beginning, when the camera has come to rest
LOOK_EVERY_NS = 10 * NS_PER_S  # what is in the picture is looked at so often
LOOKS_NS = 60 * NS_PER_S  # how long a masklet's vectors stand for it
MAX_FOLLOWED = 64  # masklets of one event
SAME_THING = 0.5  # overlap of boxes from which a detection is of a masklet
STILL_THERE = 0.3  # the same of two detections of one name in one event


@dataclass(slots=True, eq=False)
class Followed:
    """A masklet in one event."""

    name: str
    start_ns: int
    end_ns: int
    image: Image | None  # where it was seen best; None where another stretch has a better one
    region: Region

    def see(self, image: Image, region: Region) -> None:
        """It is in this frame, too."""
        self.name, self.end_ns = region.name or self.name, region.pts_ns
        if size(region) > size(self.region):
            self.image, self.region = image, region

    def and_then(self, later: "Followed") -> "Followed":
        """The same masklet over both stretches."""
        best = max((self, later), key=lambda one: (one.image is not None, size(one.region)))
        name = later.name or self.name
        return Followed(name, self.start_ns, later.end_ns, best.image, best.region)


@dataclass(slots=True, eq=False)
class _Standing:
    """A thing that is followed by nothing: from its first look to its last."""

    noted: Noted
    start_ns: int
    end_ns: int


@dataclass(slots=True, eq=False)
class RunningEvent:
    """An event, or a stretch of one. `see` is the stream's; `look`, `joined` and `close` may be
    another thread's, one after the other."""

    id: str
    session: str
    start_ns: int
    end_ns: int = 0
    looked_ns: int | None = None
    followed: dict[int, Followed] = field(default_factory=dict)
    _standing: list[_Standing] = field(default_factory=list)
    _scenes: list[Meanings] = field(default_factory=list)
    _words: dict[str, None] = field(default_factory=dict)  # lines, in order

    def see(self, frame: Frame, regions: Iterable[Region]) -> bool:
        """Take a frame; whether it is worth a `look`."""
        self.end_ns = max(self.end_ns, frame.pts_ns)
        for region in regions:
            if region.box is None:
                continue
            known = self.followed.get(region.track_id)
            if known is not None:
                known.see(frame.image, region)
            elif len(self.followed) < MAX_FOLLOWED:
                now_ns = region.pts_ns
                one = Followed(region.name, now_ns, now_ns, frame.image, region)
                self.followed[region.track_id] = one
        due_ns = SETTLED_NS + self.start_ns
        if self.looked_ns is not None:
            due_ns = self.looked_ns + LOOK_EVERY_NS
        if frame.pts_ns < due_ns:
            return False
        self.looked_ns = frame.pts_ns
        return True

    def look(
        self, frame: Frame, regions: Sequence[Region], impressions: Impressions, reads: bool
    ) -> None:
        """What else is in a frame, and what it means as a whole."""
        # What has no name is not remembered by its masklet.
        boxes = [one.box for one in regions if one.box is not None and one.name]
        for noted in impressions.things(frame.image):
            if not _covered(noted.box, boxes):
                self._stand(noted, frame.pts_ns, frame.pts_ns)
        scene = impressions.scene(frame.image)
        if scene is not None:
            self._scenes.append(scene)
        if reads:
            lines = impressions.words(frame.image).splitlines()
            self._words |= dict.fromkeys(line for line in lines if line.strip())

    def _stand(self, noted: Noted, start_ns: int, end_ns: int) -> None:
        for one in self._standing:
            same = one.noted.name == noted.name
            if same and box_iou(one.noted.box, noted.box) >= STILL_THERE:
                one.end_ns = end_ns
                one.noted = max(one.noted, noted, key=lambda each: each.confidence)
                return
        self._standing.append(_Standing(noted, start_ns, end_ns))

    @classmethod
    def joined(cls, name: str, stretches: Sequence["RunningEvent"]) -> "RunningEvent":
        """One event of several that follow one another."""
        first = stretches[0]
        end_ns = max(one.end_ns for one in stretches)
        event = cls(name, first.session, first.start_ns, end_ns)
        for stretch in stretches:
            for track, one in stretch.followed.items():
                known = event.followed.get(track)
                event.followed[track] = one if known is None else known.and_then(one)
            for standing in stretch._standing:
                event._stand(standing.noted, standing.start_ns, standing.end_ns)
            event._scenes += stretch._scenes
            event._words |= stretch._words
        return event

    def close(self, looks: "Looks | None") -> tuple[Event, list[Sight]]:
        """As it is remembered; without `looks` its things have no vectors."""
        frame = _mean(self._scenes)
        text = "\n".join(self._words)[:MAX_TEXT]
        event = Event(self.id, self.session, self.start_ns, self.end_ns, text=text, frame=frame)
        sights = [
            self._sight(track, one, looks)
            for track, one in self.followed.items()
            if one.name.strip()
        ]
        # Masklets count from 1: numbers below are of what none followed.
        for number, standing in enumerate(self._standing, 1):
            noted, times = standing.noted, (standing.start_ns, standing.end_ns)
            confidence = min(1.0, noted.confidence)
            sights.append(Sight(self.id, -number, noted.name, confidence, noted.box, *times))
        return event, sights

    def _sight(self, track: int, one: Followed, looks: "Looks | None") -> Sight:
        meaning, look = (None, None) if looks is None else looks.of(track, one)
        box = one.region.box
        assert box is not None  # it was seen
        score = min(1.0, max(0.0, one.region.score))
        return Sight(self.id, track, one.name, score, box, one.start_ns, one.end_ns, meaning, look)


class Looks:
    """Vectors of a session's masklets: made anew once a minute, for a pass takes its time."""

    def __init__(self, impressions: Impressions) -> None:
        self._impressions = impressions
        self._of: dict[int, tuple[int, str, Meanings | None, bytes]] = {}  # by track, oldest first

    def of(self, track: int, one: Followed) -> tuple[Meanings | None, bytes | None]:
        """Meaning and look; of people none are made: nothing is kept that tells one from another.

        A masklet that got another name is looked at again.
        """
        if is_person(one.name):
            return None, None
        known = self._of.get(track)
        if known is not None and known[1] == one.name and one.end_ns - known[0] < LOOKS_NS:
            return known[2:]
        if one.image is None:
            return None, None
        mask = decode_mask(one.region.mask)
        meaning, look = self._impressions.region(one.image, mask)
        self._of.pop(track, None)
        self._of[track] = one.end_ns, one.name, meaning, look
        while len(self._of) > MAX_FOLLOWED:
            del self._of[next(iter(self._of))]
        return meaning, look


def size(region: Region) -> float:
    """How well a thing is seen: pixels, as sure as the tracker is."""
    return region.mask.area * region.score


def _covered(box: Box, boxes: Iterable[Box]) -> bool:
    return any(box_iou(box, other) >= SAME_THING for other in boxes)


def _mean(scenes: Sequence[Meanings]) -> Meanings | None:
    """The unit vector between them, as bytes again."""
    if not scenes:
        return None
    total = np.sum(scenes, axis=0, dtype=np.float32)
    length = float(np.linalg.norm(total))
    if not length:
        return None
    scale = float(np.linalg.norm(scenes[0].astype(np.float32)))
    return np.asarray(np.clip(np.rint(total / length * scale), -127, 127), np.int8)
