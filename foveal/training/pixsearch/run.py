"""Puts the training of the segmenting model together: assets, data, model, and the two phases."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from foveal.setup.assistant import load_language_model, load_scene_reader
from foveal.setup.pixsearch import new_model, posteriors_of
from foveal.setup.search import load_backbone, load_detector, load_recogniser
from foveal.training.data.pictures import load_picture
from foveal.training.pixsearch.configuration import TrainSettings
from foveal.training.pixsearch.feature_store import Sources, Store, here, make_store, read_store
from foveal.training.pixsearch.frozen_prefix_cache import UPPER
from foveal.training.pixsearch.heads import HeadsTask, giou, watched_masks, watched_queries
from foveal.training.pixsearch.joint import JointTask, Seen, load_records
from foveal.training.pixsearch.loop import run_loop
from foveal.training.pixsearch.sheet import write_sheet
from foveal.training.pixsearch.span_states import NameStates, name_states
from foveal.training.pixsearch.visual_input import Shown, shown_folder
from foveal.training.pixsearch.wide_pictures import Labeller
from foveal.training.processes import AccelerateCrew
from foveal.training.selector.run import train_pointer
from perception.detect.detector import distinct
from perception.features.backbone import Backbone
from perception.scene.recogniser import EVERYDAY, Recogniser
from reasoning.data.wordings import excluded
from reasoning.pixsearch.checkpoint import load_weights, save_model, trained_state
from reasoning.pixsearch.connector import Visual
from reasoning.pixsearch.modeling import PixSearchModel
from reasoning.vlm.causal_lm import CausalLm
from stream.errors import ConfigError
from stream.frame import Image
from stream.geometry import Box, Point

SHEET_TILES = 24
SURE = 0.5  # probability from which a detection is taken for a label


@dataclass(frozen=True, slots=True, eq=False)
class Bench:
    """What both phases use."""

    model: PixSearchModel
    words: CausalLm
    backbone: Backbone
    recogniser: Recogniser
    store: Store
    names: NameStates
    crew: AccelerateCrew


def train(
    settings: TrainSettings, data: Path, work: Path, start: Sequence[str], out: Path
) -> dict[str, float]:
    """Run a stage: `work` holds features, checkpoints, curves and sheets; `out` gets the weights.

    `start` are files to begin with, each whole or as FILE:PART,PART, later ones over earlier ones.
    Returns the gIoU on watched pictures, the file's size and how many numbers each part learnt.
    Several processes (`accelerate launch`) share the work out; the first one writes.
    """
    crew = AccelerateCrew()
    torch.set_default_device(crew.device)
    if settings.pointer is not None:
        if settings.heads is not None or settings.joint is not None or start:
            raise ConfigError("expected a pointer section by itself: the pointer has its own file")
        sources = _sources(settings, data)
        return train_pointer(sources, settings.pointer, settings.pointer_data, work, out, crew)
    bench = prepare(settings, data, work, start, crew)
    if settings.heads is not None:
        _heads(bench, settings, work / "heads")
    if settings.joint is not None:
        _joint(bench, settings, work / "joint")
    size = save_model(bench.model, out) if crew.rank == 0 else 0
    bench.model.eval()
    figure = giou(watched_masks(bench.model, bench.store, bench.names))
    return {"giou": round(figure, 4), "megabytes": round(size / 1e6, 2), **parameters(bench.model)}


def prepare(
    settings: TrainSettings,
    data: Path,
    work: Path,
    start: Sequence[str] = (),
    crew: AccelerateCrew | None = None,
) -> Bench:
    """Load the models and the weights to begin with; make what is cached unless it is there.

    Names are read by the model as it begins: heads that follow an adapted language model learn
    from that one's states.
    """
    crew = crew or AccelerateCrew()
    with torch.device("cpu"):  # what only reads pictures stays there
        backbone = load_backbone()
        recogniser = load_recogniser(backbone)
        words = load_language_model()
    phase = settings.heads or settings.joint
    if phase is None:
        raise ConfigError("expected a heads or joint section in the settings, got none")
    model = new_model(words, recogniser, settings.model, settings.bf16, phase.seed)
    for given in start:
        path, _, parts = given.partition(":")
        load_weights(model, Path(path), tuple(filter(None, parts.split(","))))
    model.to(crew.device)
    folder = work / "store"
    if crew.rank == 0 and not (folder / "table.json").is_file():
        sources, labeller = _sources(settings, data), _labeller() if settings.data.clips else None
        make_store(folder, sources, settings.store, recogniser, backbone, _told, labeller)
    crew.wait()
    store = read_store(folder)
    classes = [names[0].lower() for names in recogniser.class_synonyms]
    known = sorted({name for row in store.rows for name in row.names} | set(classes))
    names = name_states(model, words, known, cache=work / f"names-{crew.rank}.pt")
    return Bench(model, words, backbone, recogniser, store, names, crew)


def _heads(bench: Bench, settings: TrainSettings, folder: Path) -> None:
    assert settings.heads is not None
    model, recogniser = bench.model, bench.recogniser
    classes = [names[0].lower() for names in recogniser.class_synonyms]
    task = HeadsTask(
        model,
        bench.store,
        bench.names,
        here(recogniser.class_weights.float()),
        classes,
        settings.heads_data,
        settings.weights,
    )
    only = torch.nn.ModuleDict({"masks": model.masks, "project": model.project})
    config, crew = settings.heads, bench.crew
    run_loop(only, task.losses, config, folder, lambda n: _watch(bench, folder, n), crew=crew)


def _joint(bench: Bench, settings: TrainSettings, folder: Path) -> None:
    assert settings.joint is not None
    if settings.joint_data.checkpointing:
        bench.model.lm.gradient_checkpointing_enable()
    paths = [Path(path) for path in settings.data.records]
    records = load_records(paths)
    task = JointTask(
        bench.model,
        bench.words,
        bench.store,
        records,
        bench.backbone,
        lambda pooled: here(posteriors_of(bench.recogniser, pooled.cpu())),
        settings.joint_data,
        settings.weights,
        _shown(bench, paths) if settings.joint_data.upper and paths else None,
    )
    watched = sorted({name for _, name, _ in watched_queries(bench.store)})

    def evaluate(step: int) -> Mapping[str, float]:
        size = save_model(bench.model, folder / "weights.safetensors")
        bench.model.eval()
        # The adapters have changed, and with them the states of the names.
        now = replace(bench, names=name_states(bench.model, bench.words, watched))
        return {**_watch(now, folder, step), **task.watch(), "megabytes": size / 1e6}

    parts = UPPER if settings.joint_data.upper else ()
    run_loop(
        bench.model, task.losses, settings.joint, folder, evaluate, crew=bench.crew, parts=parts
    )


def _shown(bench: Bench, paths: Sequence[Path]) -> Seen:
    """What perception shows of the records' pictures, from the folders beside their files."""
    config = bench.model.config
    made = [
        Shown(
            shown_folder(path),
            lru_cache(load_scene_reader),
            lambda pooled: posteriors_of(bench.recogniser, pooled),
            lru_cache(1)(load_picture),
            config.grid,
            config.things,
        )
        for path in paths
    ]

    def shown(image: str, point: Point | None) -> Visual:
        known = (one for one in made if one.knows(image, point))
        return next(known, made[0])(image, point)

    return shown


def _watch(bench: Bench, folder: Path, step: int) -> Mapping[str, float]:
    """gIoU of phrases on watched pictures, and a sheet of the first of them."""
    bench.model.eval()
    found = watched_masks(bench.model, bench.store, bench.names)
    tiles = [
        (name, np.asarray(bench.store.small[n]), (truth > 0.5).numpy(), (soft > 0.5).numpy())
        for n, name, truth, soft in found[:: max(1, len(found) // SHEET_TILES)][:SHEET_TILES]
    ]
    write_sheet(folder / f"sheet-{step:06d}.png", tiles)
    return {"giou": giou(found)}


def _sources(settings: TrainSettings, data: Path) -> Sources:
    given = settings.data
    return Sources(
        data / given.coco,
        data / given.coco128 if given.coco128 else None,
        Path(given.stamps) if given.stamps else None,
        data / given.imagenet if given.imagenet else None,
        tuple(data / clip for clip in given.clips),
        excluded([Path(path) for path in given.without])[1],
    )


def _labeller() -> Labeller | None:
    """The embedded detector as a source of pseudo-labels; None where it was not pulled."""
    detector = load_detector()
    if detector is None:
        return None

    def label(image: Image) -> list[tuple[tuple[str, ...], Box]]:
        found = [one for one in detector.detect(image) if one.probability >= SURE]
        return [(EVERYDAY[one.label], one.box) for one in distinct(found)]

    return label


def _told(done: int, total: int) -> None:
    if done % 100 == 0 or done == total:
        print(f"features {done}/{total}", flush=True)


def parameters(model: PixSearchModel) -> dict[str, int]:
    """How many numbers each part learns."""
    sizes: dict[str, int] = {}
    for name, tensor in trained_state(model).items():
        part = name.split(".")[0]
        sizes[part] = sizes.get(part, 0) + tensor.numel()
    return sizes
