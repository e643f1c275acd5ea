"""A published vision-language model -> its network and processor, through transformers' classes.

Weights are read from safetensors and no code of a repository is run. What cannot work is told
before anything is loaded: no such model, half a download, no eyes, no template, too little memory.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jinja2 import TemplateError

from perception.device import resolve_device
from reasoning.generation.config import VlmConfig
from reasoning.vlm.hub import complete, model_folder
from reasoning.vlm.hub_name import HubName
from reasoning.vlm.local.memory import check_memory
from reasoning.vlm.local.pictures import bound
from stream.errors import AssetError

BYTES = {"none": None, "8bit": 1.1, "4bit": 0.65}  # a number, with the scales and what stays whole


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """A model that can be asked."""

    name: str
    model: Any
    processor: Any


def open_model(name: HubName, config: VlmConfig, beside: int = 0) -> Opened:
    """Load a model; raises AssetError or ConfigError with what to do where it cannot be.

    `auto` settings of `config` are those of perception/device.py. `beside`: bytes of the weights
    that are loaded onto the same device with it.
    """
    folder = model_folder(name)
    chosen = resolve_device(config.device, config.dtype)
    device, dtype = torch.device(chosen.name), chosen.dtype
    _check_architecture(folder, str(name))
    if not complete(folder):
        raise AssetError(
            f"expected all weights of {name} in {folder}, some are missing: half a download; "
            "fetch it again"
        )
    bytes_each = BYTES[config.quantise] or torch.empty((), dtype=dtype).element_size()
    if config.device_map is None:
        check_memory(folder, bytes_each, device, beside)
    processor = _processor(folder, str(name))
    bound(processor.image_processor, config.max_pixels)
    return Opened(name.id or folder.name, _model(folder, name, config, device, dtype), processor)


def _check_architecture(folder: Path, name: str) -> None:
    """Raises AssetError unless transformers has the model's class, and it takes pictures."""
    from transformers import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING, AutoConfig

    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AssetError(
            f"expected a model that transformers knows in {name}: {_line(error)}. Models that "
            "bring their own code are not run"
        ) from error
    if type(config) not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING or not _sees(config):
        raise AssetError(
            f"expected a model that takes pictures and writes words in {name}, got a "
            f"{config.model_type} of {', '.join(config.architectures or ['no architecture'])}; "
            "take one of transformers' image-text-to-text models, such as "
            "HuggingFaceTB/SmolVLM2-500M-Video-Instruct"
        )


def _sees(config: Any) -> bool:
    return any(hasattr(config, part) for part in ("vision_config", "vq_config"))


def _processor(folder: Path, name: str) -> Any:
    from transformers import AutoProcessor

    try:
        processor = AutoProcessor.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError, KeyError, TypeError, TemplateError) as error:
        raise AssetError(f"expected a processor of {name}: {_line(error)}") from error
    except ImportError as error:
        raise AssetError(f"the processor of {name} needs a package: {_line(error)}") from error
    if not all(hasattr(processor, part) for part in ("tokenizer", "image_processor")):
        raise AssetError(
            f"expected a processor of pictures and words in {name}, got "
            f"{type(processor).__name__}; is preprocessor_config.json there?"
        )
    return processor


def _model(
    folder: Path, name: HubName, config: VlmConfig, device: torch.device, dtype: torch.dtype
) -> Any:
    from transformers import AutoModelForImageTextToText
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    options: dict[str, Any] = {}
    if config.quantise != "none":
        options["quantization_config"] = _quantisation(config, dtype)
        options["device_map"] = config.device_map or {"": device}
    elif config.device_map is not None:
        options["device_map"] = config.device_map
    try:
        model, told = AutoModelForImageTextToText.from_pretrained(
            folder,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=dtype,
            output_loading_info=True,
            **options,
        )
    except (OSError, ValueError, RuntimeError, ImportError, KeyError, TypeError) as error:
        raise AssetError(f"the model {name} cannot be loaded: {_line(error)}") from error
    if told["missing_keys"]:
        missing = sorted(told["missing_keys"])
        raise AssetError(
            f"expected all parameters of {type(model).__name__} in {folder}, "
            f"{len(missing)} are missing, such as {', '.join(missing[:3])}"
        )
    return model if options else model.to(device)


def _quantisation(config: VlmConfig, dtype: torch.dtype) -> Any:
    from importlib.util import find_spec

    from transformers import BitsAndBytesConfig

    if find_spec("bitsandbytes") is None:
        raise AssetError(
            f"reasoning.vlm.quantise: {config.quantise} needs bitsandbytes: "
            "pip install 'foveal[quantised]' (Linux), or quantise: none"
        )
    if config.quantise == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype
    )


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
