"""The pointer's phase of training: pictures cached with all of perception, then its loop."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from foveal.compose import load_scene_reader
from foveal.mask_setup import load_cutter
from foveal.pixsearch_setup import load_pixsearch
from foveal.search_setup import (
    load_backbone,
    load_detector,
    load_encoder,
    load_recogniser,
    read_source,
)
from foveal.settings import PixSearchConfig
from foveal.training.crew import AccelerateCrew
from foveal.training.ground_store import Sources
from foveal.training.names import name_states
from foveal.training.point import PointTask, figures
from foveal.training.point_names import is_plain, meanings, phrases
from foveal.training.point_store import (
    PointOptions,
    make_point_store,
    point_scenes,
    read_point_store,
)
from perception.naming import NameMatcher
from reasoning.lm import CausalLm
from reasoning.pixsearch.grounding import Grounder
from reasoning.pixsearch.loop import LoopConfig, run_loop
from reasoning.pixsearch.model import PixSearchModel
from reasoning.settings import GroundConfig
from retrieval.knowledge import WIKI_SOURCE
from retrieval.visual import class_vectors
from stream.errors import ConfigError

TITLES = 1500  # of the embedded knowledge base: phrases beyond the class names
GATE, SURE = 0.2, 0.5  # at which the training is followed


def train_pointer(
    model: PixSearchModel,
    words: CausalLm,
    sources: Sources,
    config: LoopConfig,
    options: PointOptions,
    work: Path,
    crew: AccelerateCrew,
) -> None:
    """Train `model.pointer`; `work` keeps pictures, names and checkpoints to go on from.

    Processes share the making of the pictures out. Raises ConfigError for a model without one.
    """
    pointer = model.pointer
    if pointer is None:
        raise ConfigError("expected model.pointer of at least 1 to train a pointer, got 0")
    with torch.device("cpu"):
        _make_pictures(model, words, sources, options, work / "points", crew)
        crew.wait()
        asked, table = _teacher(work / "meanings.pt", options.seed)
        states = name_states(model, words, asked, cache=work / f"point-names-{crew.rank}.pt")
        pictures = read_point_store(work / "points")
        task = PointTask(pointer.cpu(), pictures, states, table)
        watched = [picture for picture in pictures if picture.watched]

        def evaluate(step: int) -> Mapping[str, float]:
            return figures(pointer, watched, GATE, SURE)

        run_loop(pointer, task.losses, config, work / "pointer", evaluate, crew=crew)


def _make_pictures(
    model: PixSearchModel,
    words: CausalLm,
    sources: Sources,
    options: PointOptions,
    folder: Path,
    crew: AccelerateCrew,
) -> None:
    scenes = point_scenes(sources, options)
    if len(list(folder.glob("*.pt"))) == len(scenes):
        return
    reader, backbone = load_scene_reader(), load_backbone()
    detector = load_detector()
    if detector is None:
        raise ConfigError("expected the object detector's asset to train a pointer, got none")
    lmm = load_pixsearch(
        model, words, reader, load_recogniser(backbone), PixSearchConfig(), backbone
    )
    grounder = Grounder(
        model.masks, reader, GroundConfig(), backbone.features, None, load_cutter(), detector.detect
    )
    rank, count = crew.rank, crew.count
    make_point_store(folder, scenes, options, reader, lmm, grounder, rank, count)


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
