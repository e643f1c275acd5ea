"""What a stream and its answers share, used by both at once: the same results as one by one."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from foveal.setup.cutters import load_cutter
from perception.features.backbone import Backbone
from perception.scene.reader import SceneReader, SceneView
from perception.tracking.tracker import EmbeddedTracker
from stream.errors import FovealError
from stream.frame import Frame
from stream.geometry import encode_mask
from tests.perception.rendered import cat, compose, face

FRAMES = 2
Job = Callable[[], Any]


@pytest.fixture(scope="module")
def reader() -> SceneReader:
    """The real one; skips with the reason where an asset is absent."""
    from foveal.setup.assistant import load_scene_reader

    torch.set_num_threads(1)
    try:
        return load_scene_reader()
    except FovealError as error:
        pytest.skip(str(error))


def frames() -> list[Frame]:
    places = [((60.0 + 4 * n, 72.0), (200.0 - 2 * n, 90.0)) for n in range(FRAMES)]
    return [compose((face(), cat()), place, n)[0] for n, place in enumerate(places)]


def told(view: SceneView) -> list[Any]:
    return [(one.names[0].label, one.box, encode_mask(one.mask)) for one in view.things]


def stream_jobs(reader: SceneReader, shown: list[Frame]) -> list[Job]:
    """As perception does: features, what is new, a mask along its border, tracking."""
    backbone, cutter = reader._backbone, load_cutter()
    first = compose((face(),), ((60, 72),), 0)[1][0]
    tracker = EmbeddedTracker(backbone)
    started, _ = tracker.add(tracker.init_state(), shown[0], None, first)

    def track(frame: Frame) -> Any:
        features = backbone.features(frame.image)
        _, (region,) = tracker.step(started, frame, features)
        return region.mask, region.box

    def new(frame: Frame) -> Any:
        things = reader.new_things(frame, backbone.features(frame.image))
        return [(one.box, encode_mask(one.mask)) for one in things]

    def sharp(frame: Frame) -> Any:
        return encode_mask(cutter.sharpen(frame.image, first, None))

    return [partial(job, one) for one in shown for job in (track, new, sharp)]


def answer_jobs(reader: SceneReader, shown: list[Frame]) -> list[Job]:
    """As answers do: the whole scene, what is pointed at, what is written, a phrase."""

    def ask(frame: Frame) -> Any:
        view = reader.read(frame)
        pointed = reader.point_at(view, (100, 72), None)
        lines = [line.text for line in reader.read_text(view)]
        around = [one.box for one in reader.around(view)]
        try:
            found: Any = reader.find(view, "the cat").box
        except FovealError:
            found = None
        return told(view), pointed.box, lines, around, found, view.whole[0].label

    return [partial(ask, shown[0])]


KINDS = (stream_jobs, answer_jobs)


def test_perception_and_answers_at_once_as_one_after_the_other(reader: SceneReader) -> None:
    shown = frames()
    streamed, answered = ([job() for job in jobs(reader, shown)] for jobs in KINDS)
    # New frames: what a picture gave is kept as long as it lives.
    shown = frames()
    with ThreadPoolExecutor(3) as pool:  # a stream, and the answers of two sessions
        beside = list(
            pool.map(
                lambda jobs: [job() for job in jobs(reader, shown)],
                (*KINDS, answer_jobs),
            )
        )
    assert beside == [streamed, answered, answered]


def test_one_view_may_be_asked_about_by_several(reader: SceneReader) -> None:
    (frame,) = frames()[:1]
    views = [reader.read(frame) for _ in range(2)]

    def ask(view: SceneView) -> Any:
        return [(one.names[0].label, one.box) for one in reader.around(view)], np.asarray(
            view.features.top
        ).sum()

    alone = ask(views[0])
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(ask, [views[1]] * 8)) == [alone] * 8


def test_features_are_finished_by_whoever_comes_first(random_backbone: Backbone) -> None:
    frame = frames()[0]
    for _ in range(5):
        features = random_backbone.features(frame.image)
        with ThreadPoolExecutor(8) as pool:
            tops = list(pool.map(lambda f: f.top, [features] * 16))
        assert all(torch.equal(top, tops[0]) for top in tops)


def test_a_tokenizer_may_be_used_by_several() -> None:
    from foveal.setup.assistant import load_language_model

    try:
        lm = load_language_model()
    except FovealError as error:
        pytest.skip(str(error))
    texts = [f"What is the number {n}? " * (n % 7 + 1) for n in range(200)]
    alone = [(lm.encode(text), lm.pieces(text)) for text in texts]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda text: (lm.encode(text), lm.pieces(text)), texts)) == alone
