"""Settings of `foveal train stage1` and `stage2`: YAML over dataclass defaults, checked by key."""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from pydantic import with_config

from foveal.config.reading import STRICT, build, from_file
from foveal.training.pixsearch.feature_store import StoreOptions
from foveal.training.pixsearch.heads import HeadsOptions
from foveal.training.pixsearch.loop import LoopConfig
from foveal.training.pixsearch.objective import LossWeights
from foveal.training.selector.store import PointOptions
from reasoning.pixsearch.modeling import ModelConfig


@dataclass(frozen=True, slots=True)
class DataSettings:
    """Where training data lies, below the folder that `--data` names; empty leaves a source out."""

    coco: str = "coco-mini"
    coco128: str = "coco128-seg"
    imagenet: str = "imagenet-samples"
    clips: tuple[str, ...] = ()  # unlabelled video for backdrops, below --data
    stamps: str = ""  # tuxpaint-stamps; a path of its own
    records: tuple[str, ...] = ()  # JSONL files of search-interleaved turns; paths of their own
    without: tuple[str, ...] = ()  # benchmarks' YAML files whose pictures are left out


@dataclass(frozen=True, slots=True)
class JointOptions:
    """A step through the language model."""

    batch: int = 2  # sequences
    longest: int = 160  # tokens after the visual prefix
    mix: tuple[int, int] = (7, 9)  # mask generation against search-interleaved (paper's best)
    teacher_every: int = 4  # steps between those that also ask the frozen teacher (eq. 8)
    checkpointing: bool = False  # recompute activations in the backward pass: memory for time
    # Only adapters, tagger and the special tokens' output rows learn, on lower states that are
    # read once (foveal/training/pixsearch/frozen_prefix_cache.py); without mask losses.
    upper: bool = False
    variants: int = 3  # sentences worded from each picture's masks, with `upper`
    watched: int = 12  # every so many records are only watched


@with_config(STRICT)
@dataclass(frozen=True, slots=True)
class TrainSettings:
    """One stage. `heads` runs first, on cached span states; then `joint`, through the model; then
    `pointer`, on cached things of pictures."""

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataSettings = field(default_factory=DataSettings)
    store: StoreOptions = field(default_factory=StoreOptions)
    weights: LossWeights = field(default_factory=LossWeights)
    heads: LoopConfig | None = None
    heads_data: HeadsOptions = field(default_factory=HeadsOptions)
    joint: LoopConfig | None = None
    joint_data: JointOptions = field(default_factory=JointOptions)
    pointer: LoopConfig | None = None
    pointer_data: PointOptions = field(default_factory=PointOptions)
    bf16: bool = True  # the language model's frozen weights; adapters and heads stay float32


def load_settings(path: Path) -> TrainSettings:
    """Read a YAML file; raises ConfigError naming the keys that do not fit."""
    return from_file(path, partial(build, TrainSettings))
