"""The trained region selector and segmenting model from their shipped weights, and new ones."""

from pathlib import Path

import torch
from torch import Tensor

from foveal.config.models import PixSearchConfig
from foveal.setup.cutters import load_cutter
from perception.device import CPU, Device
from perception.scene.reader import SceneReader
from perception.scene.recogniser import Recogniser
from reasoning.generation.config import GroundConfig
from reasoning.pixsearch.checkpoint import WEIGHTS, load_weights, read_config
from reasoning.pixsearch.connector import name_embeddings
from reasoning.pixsearch.entity_masks import EntityGrounder
from reasoning.pixsearch.generate import PixSearchLMM
from reasoning.pixsearch.lora import merge_lora
from reasoning.pixsearch.modeling import ModelConfig, PixSearchModel, own_copy
from reasoning.pixsearch.region_grounding import PhraseGrounder
from reasoning.pixsearch.region_selector import WEIGHTS as SELECTOR_WEIGHTS
from reasoning.pixsearch.region_selector import load_region_selector, phrase_embedder
from reasoning.pixsearch.visual_input import VisualInput
from reasoning.vlm.causal_lm import CausalLm


def load_network(
    tokenizer: CausalLm, recogniser: Recogniser, device: Device, weights: Path | None = None
) -> PixSearchModel:
    """The trained network on a device, ready to answer; raises AssetError for unfit weights."""
    path = weights or WEIGHTS
    new = new_model(tokenizer, recogniser, read_config(path), device.dtype)
    model = load_weights(new, path).to(device.name)
    # In half precision the upper layers are a second copy, and every token passes through them.
    if device.dtype is not torch.float32:
        merge_lora(model.lm)
    return model


def load_pixsearch(
    model: PixSearchModel,
    tokenizer: CausalLm,
    reader: SceneReader,
    recogniser: Recogniser,
    config: PixSearchConfig,
) -> PixSearchLMM:
    """A network behind the decode loop's protocol."""
    phrases = load_phrase_grounder(
        tokenizer, reader, recogniser, config.ground, device=recogniser.device
    )
    return PixSearchLMM(
        model,
        tokenizer,
        EntityGrounder(phrases, reader),
        visual_input(recogniser, model.config),
        config.logits_processor,
    )


def load_phrase_grounder(
    lm: CausalLm,
    reader: SceneReader,
    recogniser: Recogniser,
    config: GroundConfig | None = None,
    weights: Path | None = None,
    device: Device = CPU,
) -> PhraseGrounder:
    """The trained region selector over what a reader finds, by the language model's own words."""
    table = lm.model.get_input_embeddings().weight.detach()
    names = name_embeddings(table, class_name_ids(lm, recogniser))
    selector = load_region_selector(names.cpu(), weights or SELECTOR_WEIGHTS).to(table.device)
    embed = phrase_embedder(table, lm.encode)
    return PhraseGrounder(selector, embed, reader, load_cutter(device), config)


def class_name_ids(tokenizer: CausalLm, recogniser: Recogniser) -> list[list[int]]:
    """Token ids of each class's first name, as the connector's table wants them."""
    return [tokenizer.encode(f" {names[0].lower()}") for names in recogniser.class_synonyms]


def new_model(
    lm: CausalLm, recogniser: Recogniser, config: ModelConfig, dtype: torch.dtype, seed: int = 0
) -> PixSearchModel:
    """An untrained model around the language model; it shares its weights where types agree."""
    torch.manual_seed(seed)
    own = own_copy(lm.model, dtype)
    return PixSearchModel(own, class_name_ids(lm, recogniser), lm.vocabulary, config)


def visual_input(recogniser: Recogniser, config: ModelConfig) -> VisualInput:
    """How views become visual tokens of a model of these sizes, for training and answering."""

    def posteriors(pooled: Tensor) -> Tensor:
        return torch.from_numpy(recogniser.posteriors(pooled))

    return VisualInput(posteriors, config.grid, config.things)
