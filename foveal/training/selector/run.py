"""The pointer's training: pictures cached with all of perception, names, then its loop."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from foveal.setup.assistant import load_language_model, load_scene_reader
from foveal.setup.cutters import load_cutter
from foveal.setup.pixsearch import class_name_ids
from foveal.setup.search import load_detector, load_encoder, load_recogniser, read_source
from foveal.training.pixsearch.feature_store import Sources
from foveal.training.pixsearch.loop import LoopConfig, run_loop
from foveal.training.processes import AccelerateCrew
from foveal.training.selector.loop import PointTask, figures
from foveal.training.selector.names import is_plain, meanings, phrases
from foveal.training.selector.store import (
    Asker,
    PointOptions,
    make_point_store,
    point_scenes,
    read_point_store,
)
from perception.scene.name_matching import NameMatcher
from reasoning.generation.settings import GroundConfig
from reasoning.pixsearch.connector import name_embeddings
from reasoning.pixsearch.region_selector import Embed, Pointer, embedder, save_pointer
from retrieval.encoders.visual import class_vectors
from retrieval.sources.entries import WIKI_SOURCE
from stream.errors import ConfigError

TITLES = 1500  # of the embedded knowledge base: phrases beyond the class names
HIDDEN = 64


def train_pointer(
    sources: Sources,
    config: LoopConfig,
    options: PointOptions,
    work: Path,
    out: Path,
    crew: AccelerateCrew,
) -> dict[str, float]:
    """Train a pointer and write it to `out`; `work` keeps pictures, names and checkpoints.

    Returns its figures on watched pictures at the gates of `GroundConfig`. Processes share the
    making of the pictures out.
    """
    with torch.device("cpu"):
        torch.manual_seed(config.seed)
        words, recogniser = load_language_model().ready(), load_recogniser()
        table = words.model.get_input_embeddings().weight.detach()
        embed = embedder(table, words.encode)
        pointer = Pointer(name_embeddings(table, class_name_ids(words, recogniser)), HIDDEN)
        _make_pictures(sources, options, embed, work / "points", crew)
        crew.wait()
        asked, meant = _teacher(work / "meanings.pt", options.seed)
        pictures = read_point_store(work / "points")
        names = torch.stack([embed(phrase) for phrase in asked])
        task = PointTask(pointer, pictures, names, meant)
        watched = [picture for picture in pictures if picture.watched]
        gates = GroundConfig()

        def evaluate(step: int) -> Mapping[str, float]:
            return figures(pointer, watched, gates.point_gate, gates.point_sure)

        run_loop(pointer, task.losses, config, work / "pointer", evaluate, crew=crew)
    size = save_pointer(pointer, out) if crew.rank == 0 else 0
    return {**evaluate(config.steps), "megabytes": round(size / 1e6, 2)}


def _make_pictures(
    sources: Sources, options: PointOptions, embed: Embed, folder: Path, crew: AccelerateCrew
) -> None:
    made = len(list(folder.glob("*.pt")))
    if 0 < options.most <= made:  # composing all scenes takes a minute
        return
    scenes = point_scenes(sources, options)
    if made == len(scenes):
        return
    if load_detector() is None:
        raise ConfigError("expected the object detector's asset to train a pointer, got none")
    asker = Asker(load_scene_reader(), embed, load_cutter())
    make_point_store(folder, scenes, options, asker, crew.rank, crew.count)


def _teacher(path: Path, seed: int) -> tuple[list[str], torch.Tensor]:
    """Phrases and what each means, [N, C]; kept in a file."""
    if path.is_file():
        kept = torch.load(path, weights_only=True)
        return list(kept["phrases"]), kept["table"]
    classes = load_recogniser().class_synonyms
    encoder = load_encoder(1)
    matcher = NameMatcher(classes, class_vectors(encoder, classes), encoder.encode_text)
    plain = [e.title for e in read_source(WIKI_SOURCE)[0].entries if is_plain(e.title)]
    order = np.random.default_rng(seed).permutation(len(plain))[:TITLES]
    asked = phrases(classes, [plain[n] for n in order], seed)
    table = meanings(matcher, asked)
    torch.save({"phrases": asked, "table": table}, path)
    return asked, table
