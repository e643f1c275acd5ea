"""Settings of `foveal train stage1` and `stage2`: YAML over dataclass defaults, checked by key."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import yaml

from foveal.training.pixsearch.feature_store import StoreOptions
from foveal.training.pixsearch.heads import HeadsOptions
from foveal.training.pixsearch.loop import LoopConfig
from foveal.training.pixsearch.objective import LossWeights
from foveal.training.selector.store import PointOptions
from reasoning.pixsearch.modeling import ModelConfig
from stream.errors import ConfigError

T = TypeVar("T")


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
    """Read a YAML file; raises ConfigError naming the key that does not fit."""
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"expected a YAML file of training settings: {error}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: expected a mapping of settings, got {data!r}")
    return build(TrainSettings, data, str(path))


def build(kind: type[T], data: Mapping[Any, Any], where: str) -> T:
    """A dataclass from nested plain values; raises ConfigError for unknown keys and wrong types."""
    hints = get_type_hints(kind)
    values: dict[str, Any] = {}
    for key, value in data.items():
        if key not in hints:
            raise ConfigError(f"{where}: expected one of {', '.join(hints)}, got {key!r}")
        values[key] = _value(hints[key], value, f"{where}: {key}")
    return kind(**values)


def _value(hint: Any, value: object, where: str) -> Any:
    options = [option for option in get_args(hint) if option is not type(None)]
    if type(None) in get_args(hint):
        return None if value is None else _value(options[0], value, where)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        if not isinstance(value, dict):
            raise ConfigError(f"{where}: expected a mapping, got {value!r}")
        return build(hint, value, where)
    if get_origin(hint) is tuple and isinstance(value, (list, tuple)):
        return tuple(_value(options[0], item, where) for item in value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise ConfigError(f"{where}: expected {hint.__name__}, got {value!r}")
    return value
