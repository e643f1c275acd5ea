"""Training data of the segmenting model: pictures to stores, stores to queries and turns."""

import json
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch

from foveal.demo.clip import DemoOptions, render_demo
from foveal.training.pixsearch import run
from foveal.training.pixsearch.configuration import JointOptions, load_settings
from foveal.training.pixsearch.feature_store import (
    MASK,
    Row,
    Sources,
    Store,
    StoreOptions,
    make_store,
    read_store,
)
from foveal.training.pixsearch.grounding_data import (
    SIZE,
    LabelledScene,
    NamedThing,
    PasteObject,
    by_name,
    coco128_halves,
    compose,
    cut_outs,
    is_held_out,
    photographs,
    stamps,
)
from foveal.training.pixsearch.heads import (
    HeadsOptions,
    HeadsTask,
    giou,
    watched_masks,
    watched_queries,
)
from foveal.training.pixsearch.joint import JointTask, picture_path, supported
from foveal.training.pixsearch.objective import LossWeights, losses
from foveal.training.pixsearch.sheet import write_sheet
from foveal.training.pixsearch.span_states import NameStates, name_states
from foveal.training.pixsearch.wide_pictures import compose_wide, frames_of
from perception.detect.detector import Detection
from perception.features.backbone import Backbone
from perception.scene.recogniser import EVERYDAY, Recogniser, load_head
from reasoning.data.schema import Information, TurnRecord, Words
from reasoning.pixsearch.connector import POINTED
from reasoning.pixsearch.modeling import PixSearchModel
from reasoning.pixsearch.processing import MAX_EVIDENCE
from reasoning.vlm.causal_lm import CausalLm
from stream.errors import ConfigError, SourceError
from stream.geometry import Box
from tests.doubles.pixsearch import CLASSES, tiny_model

CONFIGS = Path(__file__).resolve().parents[3] / "configs" / "train"


@pytest.fixture(scope="module")
def store() -> Store:
    """Two pictures to learn from, one to watch; a cat on the left and a cup on the right."""
    rng = np.random.default_rng(0)
    masks = np.zeros((6, *MASK), np.uint8)
    masks[::2, 10:40, 5:30] = 255
    masks[1::2, 20:50, 50:80] = 255
    dense = rng.standard_normal((3, 8, SIZE[0] // 8, SIZE[1] // 8)).astype(np.float16) * 0.05
    dense[:, 0, 5:20, 2:15] += 1
    dense[:, 1, 10:25, 25:40] += 1
    rows = tuple(Row(n // 2, n, ("cat",) if n % 2 == 0 else ("red cup", "cup")) for n in range(6))
    top = rng.standard_normal((3, 12, SIZE[0] // 32, SIZE[1] // 32)).astype(np.float16)
    small = rng.integers(0, 256, (3, *MASK, 3), dtype=np.uint8)
    kinds = ("photograph", "composite", "photograph")
    return Store(dense, top, small, masks, rows, kinds, frozenset({2}))


@pytest.fixture(scope="module")
def made() -> tuple[PixSearchModel, CausalLm, NameStates]:
    model, words = tiny_model()
    names = name_states(model, words, ["cat", "cup", "red cup", "tree"])
    return model, words, names


def test_a_name_is_read_as_after_its_context(
    made: tuple[PixSearchModel, CausalLm, NameStates],
) -> None:
    model, words, names = made
    assert names.states.shape == names.embeddings.shape == (2, 4, 32)
    lead, own = (
        words.encode("\nQuestion: Which thing is this?\nAnswer: The"),
        words.encode(" red cup"),
    )
    with torch.inference_mode():
        rows = model.embed(torch.tensor([lead + own]))
        whole = model.states(rows)[0, len(lead) :]
    assert torch.allclose(names.states[0, 2], whole.mean(0), atol=1e-4)
    assert torch.allclose(names.embeddings[0, 2], rows[0, len(lead) :].mean(0), atol=1e-5)


def test_wide_scenes_hold_many_small_things_whose_masks_are_theirs() -> None:
    """Seen through a lens or not: what a mask covers has the colour that was pasted."""
    rng = np.random.default_rng(3)
    red = np.zeros((40, 40, 3), np.uint8)
    red[..., 0] = 250
    full = np.full((40, 40), 255, np.uint8)
    cuts = by_name([PasteObject(red, full, ("red",))])
    table = np.zeros((120, 160), bool)
    table[60:] = True
    room = LabelledScene(
        np.full((120, 160, 3), 60, np.uint8), (NamedThing(table, ("table",)),), closed=False
    )
    names, shares = set[str](), []
    for _ in range(12):
        made = compose_wide(room, cuts, rng)
        assert made.image.shape == (*SIZE, 3) and not made.closed
        for one in made.things:
            names.add(one.names[0])
            inner = cv2.erode(one.mask.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
            if one.names == ("red",) and inner.any():
                shares.append(one.mask.mean())
                colour = made.image[inner].mean(0)
                assert colour[0] > 3 * max(1.0, colour[2]), colour
    assert names == {"red", "table"} and len(shares) > 20
    assert float(np.median(shares)) < 0.06


def test_frames_of_clips_get_the_names_that_a_detector_gives_them(tmp_path: Path) -> None:
    clip = render_demo(tmp_path / "tiny.mp4", DemoOptions(1.0, 320, 180, 4, 3)).clip
    assert [len(scene.things) for scene in frames_of([clip], 2)] == [0, 0]

    def labeller(image: npt.NDArray[np.uint8]) -> list[tuple[tuple[str, ...], Box]]:
        return [(("cup", "mug"), (20, 20, 90, 90))]

    for scene in frames_of([clip], 2, labeller):
        (cup,) = scene.things
        assert cup.names == ("cup", "mug") and cup.mask.shape == scene.image.shape[:2]
        assert cup.mask[20:90, 20:90].sum() > 0.9 * cup.mask.sum() > 0


def test_photographs_that_are_measured_on_are_not_learnt_from(tmp_path: Path) -> None:
    """coco128's second half and coco-mini's val half, wherever else they lie."""
    images = tmp_path / "yolo" / "images" / "train2017"
    folders = (images, tmp_path / "coco" / "train2017", tmp_path / "coco" / "val2017")
    for folder in (*folders, tmp_path / "coco" / "annotations"):
        folder.mkdir(parents=True)
    picture = np.full((40, 60, 3), 90, np.uint8)
    for stem in ("001", "002", "003", "004"):
        cv2.imwrite(str(images / f"{stem}.jpg"), picture)
    for folder, stem in ((folders[1], "003"), (folders[1], "005"), (folders[2], "001")):
        cv2.imwrite(str(folder / f"{stem}.jpg"), picture)
    rows = [{"id": n, "file_name": f"{n:03d}.jpg"} for n in (3, 5)]
    table = {"categories": [{"id": 1}], "images": rows, "annotations": []}
    path = tmp_path / "coco" / "annotations" / "instances_train2017.json"
    path.write_text(json.dumps(table))
    coco, coco128 = tmp_path / "coco", tmp_path / "yolo"
    assert coco128_halves(coco128) == (("001", "002"), ("003", "004"))
    assert len(photographs(coco, None)) == 2  # nothing says that 003 is measured on
    assert len(photographs(coco, coco128)) == 2  # 005, 002
    assert len(photographs(coco, coco128, held_out=True)) == 2


def test_heads_learn_to_mask_names(
    store: Store, made: tuple[PixSearchModel, CausalLm, NameStates]
) -> None:
    _, _, names = made
    model, _ = tiny_model()
    options = HeadsOptions(pictures=2, queries=2, absent=0.0, classes=3, bf16=False)
    task = HeadsTask(model, store, names, torch.randn(3, 12), CLASSES, options, LossWeights())
    learning = [*model.masks.parameters(), *model.project.parameters()]
    optimiser = torch.optim.AdamW(learning, 5e-3)
    before = giou(watched_masks(model, store, names))
    for step in range(40):
        terms = task.losses(np.random.default_rng(step), step)
        optimiser.zero_grad()
        torch.autograd.backward(terms["loss"])
        optimiser.step()
    found = watched_masks(model, store, names)
    assert [(n, name) for n, name, _, _ in found] == [(2, "cat"), (2, "red cup")]
    assert len(watched_queries(store)) == 2
    assert giou(found) > max(0.4, before + 0.1)


def test_turns_are_worded_from_masks_and_can_be_trained_on(
    store: Store, made: tuple[PixSearchModel, CausalLm, NameStates]
) -> None:
    model, words, _ = made
    task = JointTask(
        model,
        words,
        store,
        [],
        Backbone.random(),
        lambda pooled: torch.full((len(pooled), len(CLASSES)), 1 / len(CLASSES)),
        JointOptions(batch=1),
        LossWeights(),
    )
    asked = set()
    for seed in range(12):
        example = task.of_store(seed % 2, np.random.default_rng(seed))
        text = "".join(
            words.tokenizer.decode([n]) for n in example.turn.ids if n < words.vocabulary
        )
        asked.add(text.split("?")[0].split("\n")[1])
        assert len(example.masks) == len(example.turn.spans) >= 1
        assert (POINTED in example.visual.kinds) == ("this" in text.lower() or "pointing" in text)
    assert len(asked) >= 3
    terms = losses(model, [example], LossWeights())
    assert {"words", "spans", "tversky", "bce", "presence"} <= set(terms)


def test_pictures_become_a_store(tmp_path: Path) -> None:
    coco = tmp_path / "coco"
    (coco / "train2017").mkdir(parents=True)
    (coco / "annotations").mkdir()
    rng = np.random.default_rng(0)
    square = [20, 20, 90, 20, 90, 90, 20, 90]
    images = [{"id": n, "file_name": f"{n}.jpg", "height": 120, "width": 160} for n in range(2)]
    for info in images:
        picture = rng.integers(0, 256, (120, 160, 3), dtype=np.uint8)
        cv2.imwrite(str(coco / "train2017" / str(info["file_name"])), picture)
    document = {
        "images": images,
        "categories": [{"id": n, "name": str(n)} for n in range(1, 81)],
        "annotations": [
            {"image_id": n, "category_id": 16 + n, "segmentation": [square]} for n in range(2)
        ],
    }
    path = coco / "annotations" / "instances_train2017.json"
    path.write_text(json.dumps(document))
    backbone = Backbone.random()
    recogniser = Recogniser(backbone, load_head())
    options = StoreOptions(views=1, composites=2, wide=2)
    made = make_store(tmp_path / "store", Sources(coco), options, recogniser, backbone)
    assert set(made.kinds) == {"photograph", "composite", "wide"} and made.watched
    assert {name for row in made.rows for name in row.names} <= {"cat", "dog"}
    for row in made.rows:
        assert made.masks[row.mask].max() > 200
    (tmp_path / "store" / "top.npy").unlink()
    with pytest.raises(SourceError):
        read_store(tmp_path / "store")


def test_composites_show_what_their_masks_say() -> None:
    image = np.zeros((120, 160, 3), np.uint8)
    image[30:90, 40:120] = (200, 30, 30)
    mask = np.zeros((120, 160), bool)
    mask[30:90, 40:120] = True
    cuts = cut_outs([LabelledScene(image, (NamedThing(mask, ("brick",)),), closed=True)])
    assert cuts[0].image.shape[:2] == (60, 80)
    ground = LabelledScene(np.full((100, 100, 3), 120, np.uint8), (), closed=False)
    scene = compose(ground, by_name(cuts), np.random.default_rng(1))
    assert scene.image.shape == (*SIZE, 3) and scene.things
    for thing in scene.things:
        red = scene.image[thing.mask].astype(int)
        assert np.median(red[:, 0] - red[:, 1]) > 60


def test_stamps_are_named_and_split(tmp_path: Path) -> None:
    pixels = np.full((30, 40, 4), 255, np.uint8)
    names = [f"thing{n}" for n in range(40)]
    for name in names:
        cv2.imwrite(str(tmp_path / f"{name}.png"), pixels)
        (tmp_path / f"{name}.txt").write_text(f"A {name}.\nach.utf8=x\n")
    kept, held = (
        {cut.names[0] for cut in stamps(tmp_path, held_out=held)} for held in (False, True)
    )
    assert kept | held == set(names) and not kept & held
    assert held == {name for name in names if is_held_out(name)} and 2 <= len(held) <= 16
    with pytest.raises(SourceError):
        stamps(tmp_path / "none")


def test_sheets_and_pictures(tmp_path: Path) -> None:
    mask = np.zeros((20, 30), bool)
    mask[5:10, 5:10] = True
    write_sheet(tmp_path / "s.png", [("cat", np.zeros((20, 30, 3), np.uint8), mask, mask)] * 5)
    sheet = cv2.imread(str(tmp_path / "s.png"))
    assert sheet is not None and sheet.shape == (80, 240, 3) and sheet.any()
    records = tmp_path / "records.jsonl"
    assert picture_path("skimage:chelsea", records) == "skimage:chelsea"
    assert picture_path("a/b.jpg", records) == str(tmp_path / "a" / "b.jpg")
    assert picture_path("/c/d.jpg", records) == "/c/d.jpg"


def test_turns_that_quote_what_is_not_read_are_left_out() -> None:
    _, words = tiny_model()
    quote = "Cats eat mice and other small animals, day and night."
    near = Information(f"Cat: {quote}", ())
    far = Information("x" * MAX_EVIDENCE + quote, ())
    for information, kept in ((near, True), (far, False)):
        segments = (Words("It"), information, Words(f": {quote}"))
        assert supported(words, TurnRecord("What do cats eat?", None, segments)) is kept
    assert supported(words, TurnRecord("Who?", None, (Words("I see " + "a cat, " * 20),)))


def test_settings_of_the_stages_are_read_and_checked(tmp_path: Path) -> None:
    first, second = load_settings(CONFIGS / "stage1.yaml"), load_settings(CONFIGS / "stage2.yaml")
    assert first.heads is not None and first.joint is not None and second.heads is None
    assert second.joint_data.mix == (7, 9) and first.weights.tversky == 8.0
    path = tmp_path / "s.yaml"
    for text, message in (
        ("haeds: {}", "haeds"),
        ("joint: {steps: many}", "steps: expected a whole number"),
        ("joint: {steps: true}", "steps: expected a whole number"),
        ("[1]", "mapping"),
        ("model: 3", "model: expected a mapping"),
    ):
        path.write_text(text)
        with pytest.raises(ConfigError, match=message):
            load_settings(path)


def test_only_sure_detections_become_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    class OneDetector:
        def detect(self, image: npt.NDArray[np.uint8]) -> tuple[Detection, ...]:
            cup, dog = (0, 0, 20, 20), (30, 30, 60, 60)
            return Detection(41, 0.9, cup), Detection(45, 0.8, cup), Detection(16, 0.3, dog)

    monkeypatch.setattr(run, "load_detector", OneDetector)
    labeller = run._labeller()
    assert labeller is not None
    (label,) = labeller(np.zeros((64, 64, 3), np.uint8))
    assert label == (EVERYDAY[41], (0, 0, 20, 20))  # one name a place
    monkeypatch.setattr(run, "load_detector", lambda: None)
    assert run._labeller() is None
