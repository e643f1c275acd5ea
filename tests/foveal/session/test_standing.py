"""Standing questions in a session over doubles: taken, told once, listed, stopped, refused."""

from collections import deque
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch

from foveal.config.schema import SessionConfig
from foveal.config.standing import StandingSettings
from foveal.session.masklets import LiveMasklets
from foveal.session.pipeline import Session
from foveal.session.stages import Stages
from foveal.session.standing import StandingQuestions
from foveal.session.state import SessionState
from foveal.session.watch_book import WatchBook
from perception.detect.coco import EVERYDAY
from perception.detect.detector import Detection
from perception.features.backbone import Backbone, Features
from perception.scene.reader import SceneReader
from reasoning.generation.conversation import Assistant
from reasoning.generation.decoding import SearchDecoder
from stream.clock import NS_PER_S, VirtualClock
from stream.events import AnswerEvent, Question
from stream.frame import Frame, Image
from stream.geometry import Box
from stream.keyframes.selector import KeyframeSelector
from stream.timing.trace import Tracer
from tests.doubles.perception import FakeBackbone, FakeScene, FakeTracker, thing
from tests.doubles.reasoning import ScriptedLMM, ScriptedSearcher
from tests.foveal.session.test_pipeline import ListSink

SIZE = (96, 128)
BOX: Box = (8, 16, 40, 56)
LABELS = {names[0]: number for number, names in enumerate(EVERYDAY)}


def seen(name: str, probability: float = 0.9, box: Box = BOX) -> Detection:
    return Detection(LABELS[name], probability, box)


class Rig:
    """A session whose detections a test sets."""

    def __init__(
        self,
        settings: StandingSettings | None = None,
        book: WatchBook | None = None,
        wall: VirtualClock | None = None,
        backbone: FakeBackbone | None = None,
    ) -> None:
        self.bright: Box | None = None  # where the picture is
        self.shade = 90  # of the rest
        self.sink, self.scene = ListSink(), FakeScene([thing(BOX, "cup")])
        self.tracker = FakeTracker()
        stages = Stages(
            KeyframeSelector(),
            cast(Backbone, backbone or FakeBackbone()),
            LiveMasklets(self.tracker, 3),
            cast(SceneReader, self.scene),
            Assistant(ScriptedLMM(("The model.",)), SearchDecoder(ScriptedSearcher({}))),
            Tracer(),
        )
        self.standing = StandingQuestions(self.scene.spotter(), settings, book, "me", wall)
        config = SessionConfig(seed_tracks=False)
        self.session = Session(stages, self.sink, config, standing=self.standing)
        self.state: SessionState = self.session.init_state()
        self.at_s = 0.0

    def see(self, seconds: float, *detections: Detection, step_s: float = 0.25) -> list[str]:
        """What is told while these are in view for so long."""
        before = len(self.alerts)
        self.scene.detections = detections
        for _ in range(round(seconds / step_s)):
            self.frame()
            self.at_s += step_s
        return [str(one.data["text"]) for one in self.alerts[before:]]

    def frame(self, *questions: Question) -> None:
        image = np.full((*SIZE, 3), self.shade, np.uint8)
        if self.bright is not None:
            x0, y0, x1, y1 = self.bright
            image[y0:y1, x0:x1] = 250
        pts_ns = round(self.at_s * NS_PER_S)
        self.session.step(self.state, Frame(pts_ns, pts_ns, image, "test"), deque(questions))

    def ask(self, text: str, point: tuple[int, int] | None = None) -> str:
        self.frame(Question(text, round(self.at_s * NS_PER_S), point))
        self.at_s += 0.25
        return self.sink.answers[-1][0].text

    @property
    def alerts(self) -> list[AnswerEvent]:
        return [one for one in self.sink.events if one.kind == "alert"]

    @property
    def listed(self) -> list[list[str]]:
        return [one["things"] for one in self.lists[-1].data["watches"]]

    @property
    def lists(self) -> list[AnswerEvent]:
        return [one for one in self.sink.events if one.kind == "watches"]


def test_a_thing_is_told_once_when_it_comes_with_its_mask() -> None:
    rig = Rig()
    assert rig.ask("Tell me when you see the cup.") == "I will tell you when I see a cup."
    assert rig.listed == [["cup"]]
    assert rig.see(5.0) == []
    assert rig.see(5.0, seen("cup")) == ["I see a cup, on the left."]
    alert = rig.alerts[0]
    region = alert.data["region"]
    assert region["track_id"] == 1 and region["mask"]["size"] == list(SIZE)
    assert alert.stream_ns >= 5 * NS_PER_S and alert.data["done"] and not alert.data["silent"]
    assert rig.listed == [] and rig.see(5.0) == [] and rig.see(3.0, seen("cup")) == []


def test_every_time_means_once_for_each_occurrence() -> None:
    rig = Rig()
    rig.ask("Tell me every time you see a dog")
    assert len(rig.see(8.0, seen("dog"))) == 1
    assert rig.see(6.0) == [] and len(rig.see(4.0, seen("dog"))) == 1
    assert rig.listed == [["dog"]]


def test_one_look_or_a_faint_one_tells_nothing() -> None:
    rig = Rig()
    rig.ask("Tell me when you see a dog")
    assert rig.see(0.25, seen("dog")) == [] and rig.see(6.0) == []
    assert rig.see(8.0, seen("dog", 0.3)) == []


def test_a_sequence_is_told_in_its_order() -> None:
    rig = Rig()
    rig.ask("Tell me when you see a cup and then a spoon")
    assert rig.see(5.0, seen("spoon")) == [] and rig.see(5.0) == []
    assert rig.see(5.0, seen("cup")) == [] and rig.see(5.0) == []
    assert rig.see(5.0, seen("spoon")) == ["After a cup, now I see a spoon, on the left."]


class SeeingBackbone(FakeBackbone):
    """Features are the picture's brightness in 8 x 8 cells, each level on an axis of its own."""

    def features(self, image: Image, height: int | None = None) -> Features:
        cells = image[::8, ::8, 0].astype(np.int64) // 32
        top = torch.from_numpy(np.eye(8, dtype=np.float32)[cells]).permute(2, 0, 1)
        return Features(torch.zeros(168, *cells.shape), top.contiguous(), image.shape[:2])


def test_what_is_pointed_at_is_told_when_it_comes_back() -> None:
    rig = Rig(backbone=SeeingBackbone())
    rig.bright = BOX
    said = rig.ask("Tell me when you see this again.", point=(20, 30))
    assert said == "I will tell you when I see it again."
    assert rig.sink.answers[-1][0].spans[0].region.track_id == 1
    assert rig.see(4.0, seen("cup")) == []  # it is still there
    rig.tracker.hidden.add(1)
    rig.bright = None
    assert rig.see(6.0) == []
    rig.tracker.hidden.clear()
    rig.bright = BOX
    assert rig.see(3.0, seen("cup")) == ["I see it again, on the left."]
    assert rig.alerts[0].data["region"]["track_id"] == 1


def test_a_thing_without_a_look_of_its_own_is_refused() -> None:
    assert "do not see what you mean" in Rig().ask("tell me when you see this again")


def test_a_look_that_was_kept_is_found_without_its_masklet(tmp_path: Path) -> None:
    rig = Rig(book=WatchBook(tmp_path / "s.json"), backbone=SeeingBackbone())
    rig.bright = BOX
    rig.ask("Tell me when you see this again.", point=(20, 30))
    again = Rig(book=WatchBook(tmp_path / "s.json"), backbone=SeeingBackbone())
    assert again.see(6.0, seen("cup")) == []  # it has gone, and something else is there
    again.bright = BOX
    assert len(again.see(3.0, seen("bowl"))) == 1


def test_leaving_without_a_thing_and_with_it() -> None:
    for brought, told in ((False, 1), (True, 0)):
        rig = Rig(backbone=SeeingBackbone())
        said = rig.ask("remind me if I leave without my umbrella")
        assert "every time you go somewhere else" in said
        assert rig.see(4.0, seen("umbrella")) == []
        rig.shade = 200  # another place
        alerts = rig.see(8.0, *([seen("umbrella")] if brought else []))
        assert len(alerts) == told
        assert all("not seen an umbrella" in one for one in alerts)
        assert all(one.data["region"] is None for one in rig.alerts)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("tell me when you see the milk", "80 everyday things"),
        ("tell me when you see Anna", "do not recognise people"),
        ("tell me when you see my wife", "do not recognise people"),
        ("tell me when the kettle boils over", "not for what happens"),
        ("tell me when you see", "what to watch for"),
    ],
)
def test_what_cannot_be_watched_is_refused_at_once(text: str, why: str) -> None:
    rig = Rig()
    assert why in rig.ask(text)
    assert rig.lists == [] and rig.standing.watches == ()
    looks = rig.scene.looks
    rig.see(5.0, seen("cup"))
    assert rig.scene.looks == looks  # nothing is looked for, and so nothing is looked at


def test_a_wider_thing_is_said_to_be_wider() -> None:
    assert "whichever it is" in Rig().ask("tell me when you see a broken mug")


def test_fifty_watches_are_too_many_and_the_first_hold() -> None:
    rig = Rig(StandingSettings(max_watches=16))
    names = [names[0] for names in EVERYDAY if names[0] != "person"][:50]
    said = [rig.ask(f"tell me when you see a {name}") for name in names]
    assert len(rig.standing.watches) == 16 and len(rig.listed) == 16
    assert all("16 things already" in one for one in said[-34:])
    assert rig.ask(f"tell me when you see a {names[0]}").startswith("I am watching for 16 things")
    assert rig.ask("stop watching") and rig.standing.watches == ()
    rig.ask("tell me when you see a cup")
    assert "already" in rig.ask("tell me when you see a cup")


def test_they_are_listed_and_stopped_by_words_and_by_id() -> None:
    rig = Rig()
    assert rig.ask("what are you watching for?") == "I am not watching for anything."
    for name in ("cup", "dog", "cat"):
        rig.ask(f"tell me when you see a {name}")
    assert rig.ask("what are you watching for?") == "I am watching for a cup, a dog and a cat."
    assert rig.ask("stop watching for the dog") == "I no longer watch for a dog."
    assert rig.ask("stop watching for the bus") == "I was not watching for bus."
    assert rig.listed == [["cup"], ["cat"]]
    watching = rig.session.watching
    assert watching is not None
    watching.remove(rig.state, [rig.standing.watches[0].id, 999])
    assert rig.listed == [["cat"]] and rig.see(4.0, seen("cup"), seen("dog")) == []
    assert rig.ask("What is this?") == "The model."


def test_a_clock_that_goes_back_loses_nothing() -> None:
    rig = Rig()
    rig.at_s = 100.0
    rig.ask("tell me when you see a cup")
    rig.see(4.0)
    rig.at_s = 3.0
    assert len(rig.see(4.0, seen("cup"))) == 1


def test_looks_are_few_while_nothing_is_suspected() -> None:
    rig = Rig(StandingSettings(look_every_s=2.0))
    rig.ask("tell me when you see a cup")
    looks = rig.scene.looks
    rig.see(20.0, step_s=0.1)
    assert 8 <= rig.scene.looks - looks <= 13  # of 200 frames; a keyframe is looked at as well


def test_quiet_hours_and_a_rate_keep_silent_and_tell_all_the_same() -> None:
    rig = Rig(StandingSettings(quiet="00:00-23:59"), wall=VirtualClock(12 * 3600 * NS_PER_S))
    rig.ask("tell me when you see a cup")
    rig.see(3.0, seen("cup"))
    assert [one.data["silent"] for one in rig.alerts] == ["quiet hours"]
    rig = Rig(StandingSettings(alerts_per_minute=1))
    for name in ("cup", "dog"):
        rig.ask(f"tell me when you see a {name}")
    rig.see(4.0, seen("cup"), seen("dog", box=(70, 20, 110, 60)))
    assert [one.data["silent"] for one in rig.alerts] == [None, "too many in a minute"]


def test_they_survive_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "standing.json"
    rig = Rig(book=WatchBook(path))
    rig.ask("tell me when you see a cup")
    rig.ask("tell me every time you see a dog")
    again = Rig(book=WatchBook(path))
    assert len(again.see(4.0, seen("cup"))) == 1
    assert [one.request.things for one in WatchBook(path).of("me")] == [("dog",)]
    assert WatchBook(path).of("another") == ()


def test_a_disk_that_takes_nothing_is_told_and_the_watch_holds(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder", encoding="utf-8")
    rig = Rig(book=WatchBook(tmp_path / "file" / "standing.json"))
    rig.ask("tell me when you see a cup")
    assert rig.state.refused == {"standing": 1} and rig.listed == [["cup"]]
    assert len(rig.see(4.0, seen("cup"))) == 1
