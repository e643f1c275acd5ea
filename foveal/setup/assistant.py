"""The composition root of answering: pinned assets -> an assistant."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch

from foveal.assets.registry import asset_path
from foveal.config.models import PixSearchConfig, ReasoningConfig
from foveal.config.schema import Config
from foveal.setup.backends import load_backend
from foveal.setup.cutters import load_cutter
from foveal.setup.footprint import trim_heap
from foveal.setup.pixsearch import load_network, load_phrase_grounder, load_pixsearch
from foveal.setup.processors import device_of, onnx_providers
from foveal.setup.retrieval.encoders import configured_encoder
from foveal.setup.retrieval.search import (
    load_backbone,
    load_detector,
    load_encoder,
    load_recogniser,
    open_own,
    open_searcher,
)
from foveal.setup.retrieval.web import with_qdrant, with_web
from perception.detect.ocr import RapidTextReader
from perception.device import CPU, Device
from perception.features.backbone import Backbone
from perception.scene.name_matching import NameMatcher
from perception.scene.reader import SceneReader
from perception.scene.recogniser import Recogniser
from reasoning.generation.config import PolicyConfig
from reasoning.generation.conversation import Assistant
from reasoning.generation.decoding import SearchDecoder
from reasoning.pixsearch.generate import PixSearchLMM
from reasoning.pixsearch.modeling import PixSearchModel
from reasoning.pixsearch.region_grounding import PhraseGrounder
from reasoning.rules.answers.note_answers import NoteAnswers
from reasoning.rules.intents import IntentClassifier, load_weights
from reasoning.rules.model import RulesLMM
from reasoning.verification.claims import ClaimChecker
from reasoning.verification.note_support import NoteSupport
from reasoning.verification.rerank import SupportScorer
from reasoning.verification.verified import verified
from reasoning.vlm.causal_lm import CausalLm
from retrieval.combined import CombinedSearcher
from retrieval.encoders.conse import class_vectors
from retrieval.encoders.joint import JointEncoder
from retrieval.routed import RoutedSearcher
from retrieval.search import KnowledgeSearcher, Searcher
from stream import extensions
from stream.clock import Clock

LANGUAGE_MODEL = "smollm2-135m"
GENERATE = ("hf:", "openai:")  # models that write freely: what they claim is checked


@dataclass(frozen=True, slots=True, eq=False)
class Models:
    """What several parts share; loaded once."""

    backbone: Backbone
    searcher: KnowledgeSearcher  # the knowledge base
    lm: CausalLm
    reader: SceneReader
    own: tuple[KnowledgeSearcher, ...] = ()  # the wearer's own indexes
    joint: JointEncoder | None = None  # of pictures and regions; None: the embedded way

    @property
    def indexes(self) -> Searcher:
        """All that is searched: the wearer's own first, and the knowledge base."""
        return CombinedSearcher(self.own, self.searcher) if self.own else self.searcher


def load_language_model(dtype: torch.dtype = torch.float32, device: str = CPU.name) -> CausalLm:
    """The embedded language model, from the safetensors that `foveal models pull` made."""
    return CausalLm.load(asset_path(LANGUAGE_MODEL, "hf/config.json").parent, device, dtype)


def open_models(config: Config) -> Models:
    """What the settings of a session ask for; raises as `load_models` and `resolve_device` do."""
    index = config.index
    device = device_of(config)
    joint = configured_encoder(config.retrieval, device)
    return load_models(index.path, config.models.backbone_height, device, index.paths, joint)


def load_models(
    index: Path | None = None,
    height: int = 256,
    device: Device = CPU,
    own: Sequence[Path] = (),
    joint: JointEncoder | None = None,
) -> Models:
    """Everything that answering needs; `own` are the wearer's indexes beside the knowledge base.

    `joint` reads pictures that are searched for, in place of the embedded way. Raises AssetError or
    QueryError with what to do.
    """
    backbone, providers = load_backbone(height, device), onnx_providers(device)
    recogniser = load_recogniser(backbone)
    searcher = open_searcher(index, recogniser, providers, joint)
    encoder = searcher.encoder
    matcher = NameMatcher(recogniser.class_synonyms, searcher.class_vectors, encoder.encode_text)
    reader = _scene_reader(backbone, recogniser, matcher)
    lm = load_language_model(device.dtype, device.name)
    opened = open_own(own, encoder, recogniser, joint)
    models = Models(backbone, searcher, lm, reader, opened, joint)
    trim_heap()
    return models


def load_scene_reader(device: Device = CPU) -> SceneReader:
    """Perception alone, without an index or a language model."""
    backbone = load_backbone(device=device)
    recogniser = load_recogniser(backbone)
    encoder = load_encoder(providers=onnx_providers(device))
    vectors = class_vectors(encoder, recogniser.class_synonyms)
    matcher = NameMatcher(recogniser.class_synonyms, vectors, encoder.encode_text)
    return _scene_reader(backbone, recogniser, matcher)


def _scene_reader(backbone: Backbone, recogniser: Recogniser, matcher: NameMatcher) -> SceneReader:
    """With all that reads on the backbone's device."""
    device = backbone.device
    words, detector = RapidTextReader(onnx_providers(device)), load_detector(device)
    return SceneReader(
        backbone, recogniser, matcher, words, detector=detector, cutter=load_cutter(device)
    )


@lru_cache(maxsize=1)
def _trained_network(models: Models, weights: Path | None) -> PixSearchModel:
    """One network for all settings that differ only in their gates."""
    device = models.backbone.device
    return load_network(models.lm, load_recogniser(models.backbone), device, weights)


@lru_cache(maxsize=1)  # sessions of one server share it, as they share the models
def trained_model(models: Models, config: PixSearchConfig) -> PixSearchLMM:
    """The trained segmenting model; raises AssetError when its weights are absent or do not fit."""
    network = _trained_network(models, config.weights)
    recogniser = load_recogniser(models.backbone)
    return load_pixsearch(network, models.lm, models.reader, recogniser, config)


@lru_cache(maxsize=1)
def trained_finder(models: Models) -> PhraseGrounder:
    """The trained region selector: what phrases mean in a view."""
    return load_phrase_grounder(
        models.lm,
        models.reader,
        load_recogniser(models.backbone),
        device=models.backbone.device,
    )


def build_assistant(
    models: Models,
    config: ReasoningConfig | None = None,
    clock: Clock | None = None,
    tracker: object = None,
    memory: Searcher | None = None,
) -> Assistant:
    """The model that is configured behind the search decoder; `clock` measures its timings.

    `tracker`: see `load_backend`. `memory` is asked of what the wearer has seen.
    """
    config = config or ReasoningConfig()
    local = _searcher(models, config.searcher)
    beside = with_qdrant(local, config.qdrant, models.searcher.encoder, models.joint)
    searcher = with_web(beside, config.web)
    if memory is not None:
        searcher = RoutedSearcher(searcher, memory)
    decoder = SearchDecoder(searcher, config.decode, clock, remembers=memory is not None)
    if config.model == "rules":
        return Assistant(_rules(models, config.policy), decoder, config.patience_s)
    if config.model == "pixsearch":
        return Assistant(trained_model(models, config.pixsearch), decoder, config.patience_s)
    lmm = load_backend(config, models.reader, tracker)
    if config.decode.verify and config.model.startswith(GENERATE):
        lmm = verified(lmm, ClaimChecker(models.searcher.encoder))
    return Assistant(lmm, decoder, config.patience_s)


def _searcher(models: Models, name: str | None) -> Searcher:
    """The indexes, or the extension that is asked in their place; it is handed them."""
    added = extensions.named("searchers", name) if name else None
    if added is None:
        return models.indexes
    searcher: Searcher = extensions.load("searchers", added[0])(added[1], models.indexes)
    return searcher


def _rules(models: Models, policy: PolicyConfig) -> RulesLMM:
    models.reader.ask(trained_finder(models))
    encoder = models.searcher.encoder
    notes = None
    if models.own:
        indexes = CombinedSearcher(models.own, models.searcher)
        notes = NoteAnswers(indexes, NoteSupport(encoder), policy)
    return RulesLMM(
        models.lm.ready(),
        IntentClassifier(models.lm, encoder, load_weights()),
        SupportScorer(models.lm, encoder),
        models.reader,
        policy,
        notes,
    )
