"""The trained segmenting model from its shipped weights, and new ones to train."""

from pathlib import Path

import torch
from torch import Tensor

from foveal.config.models import PixSearchConfig
from foveal.setup.cutters import load_cutter
from perception.features.backbone import Backbone
from perception.scene.reader import SceneReader
from perception.scene.recogniser import Recogniser
from reasoning.generation.settings import GroundConfig
from reasoning.pixsearch.checkpoint import WEIGHTS, load_weights, read_config
from reasoning.pixsearch.connector import name_embeddings
from reasoning.pixsearch.generate import PixSearchLMM
from reasoning.pixsearch.lora import fold_lora
from reasoning.pixsearch.mask_head import Grounder
from reasoning.pixsearch.modeling import ModelConfig, PixSearchModel, own_copy
from reasoning.pixsearch.region_selector import WEIGHTS as POINTER
from reasoning.pixsearch.region_selector import embedder, load_pointer
from reasoning.pixsearch.selection import Pointing
from reasoning.vlm.causal_lm import CausalLm


def load_network(
    words: CausalLm,
    recogniser: Recogniser,
    bf16: bool,
    weights: Path | None = None,
) -> PixSearchModel:
    """The trained network, ready to answer; raises AssetError for unfit weights."""
    path = weights or WEIGHTS
    model = load_weights(new_model(words, recogniser, read_config(path), bf16), path)
    if bf16:  # the upper layers become a second copy: every token passes through them
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
    pointing = None
    if config.ground.point:
        table = model.lm.get_input_embeddings().weight.detach()
        pointing = load_pointing(table, words, reader, recogniser, config.ground)
    grounder = Grounder(model.masks, reader, config.ground, look, pointing)
    return PixSearchLMM(
        model,
        words,
        grounder,
        lambda pooled: posteriors_of(recogniser, pooled),
        config.logits_processor,
    )


def load_pointing(
    table: Tensor,
    words: CausalLm,
    reader: SceneReader,
    recogniser: Recogniser,
    config: GroundConfig | None = None,
    weights: Path | None = None,
) -> Pointing:
    """The trained pointer over a reader's finds; `table` [V, D] are the words' embeddings."""
    rows = name_embeddings(table, class_name_ids(words, recogniser))
    pointer = load_pointer(rows, weights or POINTER)
    return Pointing(pointer, embedder(table, words.encode), reader, load_cutter(), config)


def class_name_ids(words: CausalLm, recogniser: Recogniser) -> list[list[int]]:
    """Token ids of each class's first name, as the connector's table wants them."""
    return [words.encode(f" {names[0].lower()}") for names in recogniser.class_synonyms]


def new_model(
    words: CausalLm, recogniser: Recogniser, config: ModelConfig, bf16: bool, seed: int = 0
) -> PixSearchModel:
    """An untrained model around the language model; it shares its weights where types agree."""
    torch.manual_seed(seed)
    lm = own_copy(words.model, torch.bfloat16 if bf16 else torch.float32)
    return PixSearchModel(lm, class_name_ids(words, recogniser), words.vocabulary, config)


def posteriors_of(recogniser: Recogniser, pooled: Tensor) -> Tensor:
    """The recogniser's posteriors as a tensor."""
    return torch.from_numpy(recogniser.posteriors(pooled))
