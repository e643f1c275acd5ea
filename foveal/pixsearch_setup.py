"""The trained segmenting model from its shipped weights, and new ones to train."""

from pathlib import Path

import torch
from torch import Tensor

from foveal.mask_setup import load_cutter
from foveal.search_setup import load_detector
from foveal.settings import PixSearchConfig
from perception.backbone import Backbone
from perception.recogniser import Recogniser
from perception.scene import SceneReader
from reasoning.lm import CausalLm
from reasoning.pixsearch.checkpoint import WEIGHTS, load_weights, read_config
from reasoning.pixsearch.grounding import Grounder
from reasoning.pixsearch.lmm import PixSearchLMM
from reasoning.pixsearch.lora import fold_lora
from reasoning.pixsearch.model import ModelConfig, PixSearchModel, own_copy


def load_network(
    words: CausalLm, recogniser: Recogniser, bf16: bool, weights: Path | None = None
) -> PixSearchModel:
    """The trained network, ready to answer; raises AssetError for unfit weights."""
    path = weights or WEIGHTS
    model = load_weights(new_model(words, recogniser, read_config(path), bf16), path)
    if bf16:  # a copy of the language model's weights in any case, so it may as well be changed
        fold_lora(model.lm)
    return model


def load_pixsearch(
    model: PixSearchModel,
    words: CausalLm,
    reader: SceneReader,
    recogniser: Recogniser,
    config: PixSearchConfig,
    backbone: Backbone | None = None,
) -> PixSearchLMM:
    """A network behind the decode loop's protocol; `backbone` gives closer looks at parts."""
    look = backbone.features if backbone is not None else None
    detector = load_detector() if model.pointer is not None else None
    detect = detector.detect if detector is not None else None
    cutter = load_cutter() if model.pointer is not None else None
    grounder = Grounder(model.masks, reader, config.ground, look, model.pointer, cutter, detect)
    return PixSearchLMM(
        model, words, grounder, lambda pooled: posteriors_of(recogniser, pooled), config.choice
    )


def class_name_ids(words: CausalLm, recogniser: Recogniser) -> list[list[int]]:
    """Token ids of each class's first name, as the connector's table wants them."""
    return [words.encode(f" {names[0].lower()}") for names in recogniser.class_synonyms]


def new_model(
    words: CausalLm, recogniser: Recogniser, config: ModelConfig, bf16: bool, seed: int = 0
) -> PixSearchModel:
    """An untrained model around its own copy of the language model.

    Read anew where it can be: the one in float32 need not be in memory for it.
    """
    torch.manual_seed(seed)
    fresh = words.fresh(torch.bfloat16) if bf16 else None
    lm = fresh or own_copy(words.model, torch.bfloat16 if bf16 else torch.float32)
    return PixSearchModel(lm, class_name_ids(words, recogniser), words.vocabulary, config)


def posteriors_of(recogniser: Recogniser, pooled: Tensor) -> Tensor:
    """The recogniser's posteriors as a tensor."""
    return torch.from_numpy(recogniser.posteriors(pooled))
