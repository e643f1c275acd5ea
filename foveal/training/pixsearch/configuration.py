"""Settings of `foveal train stage1` and `stage2`: YAML over dataclass defaults, checked by key."""

from dataclasses import dataclass, field

from pydantic import with_config

from foveal.config.reading import STRICT
from foveal.training.data.scene_mix import SceneOptions
from foveal.training.data.scenes import SourceSettings
from foveal.training.loop import LoopConfig
from foveal.training.pixsearch.objective import LossWeights
from reasoning.pixsearch.modeling import ModelConfig


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """A step through the language model."""

    batch_size: int = 2  # sequences
    max_tokens: int = 160  # after the visual prefix
    mix: tuple[int, int] = (7, 9)  # mask generation against search-interleaved (paper's best)
    teacher_every: int = 4  # steps between those that also ask the frozen teacher (eq. 8)
    checkpointing: bool = False  # recompute activations in the backward pass: memory for time
    # Only adapters, tagger and the special tokens' output rows learn, on lower states that are
    # read once (foveal/training/pixsearch/frozen_prefix_cache.py).
    frozen_prefix: bool = False
    variants: int = 3  # sentences worded from each picture's masks
    watched: int = 12  # one record in so many is only watched


@with_config(STRICT)
@dataclass(frozen=True, slots=True)
class PixSearchSettings:
    """One stage."""

    model: ModelConfig = field(default_factory=ModelConfig)
    data: SourceSettings = field(default_factory=SourceSettings)
    scenes: SceneOptions = field(default_factory=SceneOptions)  # whose masks are worded
    records: tuple[str, ...] = ()  # JSONL files of search-interleaved turns; paths of their own
    weights: LossWeights = field(default_factory=LossWeights)
    loop: LoopConfig = field(default_factory=LoopConfig)
    batches: BatchOptions = field(default_factory=BatchOptions)
    bf16: bool = True  # the language model's frozen weights; what learns stays float32
