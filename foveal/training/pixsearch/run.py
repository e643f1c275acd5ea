"""Puts the training of the segmenting model together: assets, records, model, and its loop."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import torch

from foveal.setup.assistant import load_language_model, load_scene_reader
from foveal.setup.pixsearch import new_model, visual_input
from foveal.setup.retrieval.search import load_recogniser
from foveal.training.data.pictures import load_picture, written
from foveal.training.data.scene_mix import mixed_scenes
from foveal.training.data.visual_cache import VisualTokenCache, cache_folder
from foveal.training.loop import run_loop
from foveal.training.pixsearch.configuration import PixSearchSettings
from foveal.training.pixsearch.frozen_prefix_cache import UPPER
from foveal.training.pixsearch.mask_sentences import sentence_records
from foveal.training.pixsearch.turns import TurnTask, load_records
from foveal.training.processes import AccelerateProcesses
from reasoning.data.records import TrainingRecord, write_jsonl
from reasoning.data.wordings import read_wordings
from reasoning.pixsearch.checkpoint import load_weights, save_model, trained_state
from reasoning.pixsearch.connector import VisualTokens
from reasoning.pixsearch.modeling import PixSearchModel
from reasoning.pixsearch.visual_input import VisualInput
from stream.geometry import Point


def train(
    settings: PixSearchSettings, data: Path, work: Path, start: Sequence[str], out: Path
) -> dict[str, float]:
    """Run a stage: `work` holds pictures, checkpoints and curves; `out` gets the weights.

    `start` are files to begin with, each whole or as FILE:PART,PART, later ones over earlier ones.
    Returns the losses on watched turns, the file's size and how many numbers each part learnt.
    Several processes (`accelerate launch`) share the work out; the first one writes.
    """
    processes, batches = AccelerateProcesses(), settings.batches
    lm, recogniser = load_language_model(), load_recogniser()
    dtype = torch.bfloat16 if settings.bf16 else torch.float32
    model = new_model(lm, recogniser, settings.model, dtype, settings.loop.seed)
    for given in start:
        path, _, some = given.partition(":")
        load_weights(model, Path(path), tuple(filter(None, some.split(","))))
    worded = work / "sentences.jsonl"
    if processes.rank == 0 and not worded.is_file():
        write_jsonl(worded, _sentences(settings, data, work))
    processes.wait()
    torch.set_default_device(processes.device)
    model.to(processes.device)
    if batches.checkpointing:
        model.lm.gradient_checkpointing_enable()
    paths = [Path(path) for path in settings.records]
    task = TurnTask(
        model,
        lm,
        load_records(paths),
        load_records([worded]),
        _visual([*paths, worded], visual_input(recogniser, settings.model)),
        batches,
        settings.weights,
    )

    def evaluate(step: int) -> Mapping[str, float]:
        size = save_model(model, work / "weights.safetensors")
        model.eval()
        return {**task.watch(), "megabytes": size / 1e6}

    parts = UPPER if batches.frozen_prefix else ()
    run_loop(model, task.losses, settings.loop, work, evaluate, processes=processes, parts=parts)
    size = save_model(model, out) if processes.rank == 0 else 0
    model.eval()
    return {**task.watch(), "megabytes": round(size / 1e6, 2), **parameters(model)}


def parameters(model: PixSearchModel) -> dict[str, int]:
    """How many numbers each part learns."""
    sizes: dict[str, int] = {}
    for name, tensor in trained_state(model).items():
        part = name.split(".")[0]
        sizes[part] = sizes.get(part, 0) + tensor.numel()
    return sizes


def _sentences(settings: PixSearchSettings, data: Path, work: Path) -> list[TrainingRecord]:
    scenes = mixed_scenes(settings.data.below(data), settings.scenes)
    pictures = written((scene for _, watched, scene in scenes if not watched), work / "scenes")
    return list(sentence_records(pictures, read_wordings(), settings.batches.variants))


def _visual(
    paths: Sequence[Path], visual: VisualInput
) -> Callable[[str, Point | None], VisualTokens]:
    """What perception shows of the records' pictures, from the folders beside their files."""
    reader, picture = lru_cache(load_scene_reader), lru_cache(1)(load_picture)
    caches = [VisualTokenCache(cache_folder(path), reader, visual, picture) for path in paths]

    def shown(image: str, point: Point | None) -> VisualTokens:
        known = (cache for cache in caches if cache.knows(image, point))
        return next(known, caches[-1])(image, point)

    return shown
