"""The selector's training: pictures cached with all of perception, names, then its loop."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from pydantic import with_config

from foveal.config.reading import STRICT
from foveal.setup.assistant import load_language_model, load_scene_reader
from foveal.setup.cutters import load_cutter
from foveal.setup.pixsearch import class_name_ids
from foveal.setup.retrieval.search import load_detector, load_encoder, load_recogniser
from foveal.setup.retrieval.sources import read_source
from foveal.training.data.scene_mix import SceneOptions, mixed_scenes
from foveal.training.data.scenes import Sources, SourceSettings
from foveal.training.loop import LoopConfig, run_loop
from foveal.training.processes import AccelerateProcesses
from foveal.training.selector.loop import SelectorTask, figures
from foveal.training.selector.names import is_plain, meanings, phrases
from foveal.training.selector.store import (
    PhraseAsker,
    SelectorOptions,
    make_selector_store,
    read_selector_store,
)
from perception.scene.name_matching import NameMatcher
from reasoning.generation.config import GroundConfig
from reasoning.pixsearch.connector import name_embeddings
from reasoning.pixsearch.region_selector import (
    Embed,
    RegionSelector,
    phrase_embedder,
    save_region_selector,
)
from retrieval.encoders.conse import class_vectors
from retrieval.sources.wiki import WIKI_SOURCE
from stream.errors import ConfigError

TITLES = 1500  # of the embedded knowledge base: phrases beyond the class names
HIDDEN = 64


@with_config(STRICT)
@dataclass(frozen=True, slots=True)
class SelectorSettings:
    """Settings of `foveal train selector`."""

    data: SourceSettings = field(default_factory=SourceSettings)
    scenes: SceneOptions = field(default_factory=SceneOptions)
    phrases: SelectorOptions = field(default_factory=SelectorOptions)
    loop: LoopConfig = field(default_factory=LoopConfig)


def train_selector(
    settings: SelectorSettings, data: Path, work: Path, out: Path
) -> dict[str, float]:
    """Train a selector and write it to `out`; `work` keeps pictures, names and checkpoints.

    Returns its figures on watched pictures at the gates of `GroundConfig`. Several processes
    (`accelerate launch`) share the making of the pictures and the steps out.
    """
    processes = AccelerateProcesses()
    torch.manual_seed(settings.loop.seed)
    lm, recogniser = load_language_model().ready(), load_recogniser()
    table = lm.model.get_input_embeddings().weight.detach()
    embed = phrase_embedder(table, lm.encode)
    selector = RegionSelector(name_embeddings(table, class_name_ids(lm, recogniser)), HIDDEN)
    folder = work / "pictures"
    _make_pictures(settings, settings.data.below(data), embed, folder, processes)
    processes.wait()
    asked, meant = _teacher(work / "meanings.pt", settings.phrases.seed)
    pictures = read_selector_store(folder)
    names = torch.stack([embed(phrase) for phrase in asked])
    task = SelectorTask(selector, pictures, names, meant)
    watched = [picture for picture in pictures if picture.watched]
    gates = GroundConfig()

    def evaluate(step: int) -> Mapping[str, float]:
        return figures(selector, watched, gates.gate, gates.sure)

    run_loop(selector, task.losses, settings.loop, work / "loop", evaluate, processes=processes)
    size = save_region_selector(selector, out) if processes.rank == 0 else 0
    return {**evaluate(settings.loop.steps), "megabytes": round(size / 1e6, 2)}


def _make_pictures(
    settings: SelectorSettings,
    sources: Sources,
    embed: Embed,
    folder: Path,
    processes: AccelerateProcesses,
) -> None:
    options, made = settings.phrases, len(list(folder.glob("*.pt")))
    if 0 < options.most <= made:  # composing all scenes takes a minute
        return
    scenes = mixed_scenes(sources, settings.scenes)
    if made == len(scenes):
        return
    if load_detector() is None:
        raise ConfigError("expected the object detector's asset to train a selector, got none")
    asker = PhraseAsker(load_scene_reader(), embed, load_cutter())
    make_selector_store(folder, scenes, options, asker, processes.rank, processes.count)


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
