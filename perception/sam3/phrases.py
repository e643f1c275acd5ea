"""Every instance of a noun phrase in a picture, by SAM 3's detector.

Carion et al., arXiv 2511.16719. The picture goes through the vision encoder once, however many
phrases are asked of it, and each phrase goes through the text encoder once; both are kept within
bounds. A presence token tells whether the phrase is in the picture at all, apart from where.
"""

from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import torch

from perception.sam3.checkpoint import load_part, out_of_reach, refuse_others
from perception.scene.instances import PhraseInstance, PhraseInstances
from stream.errors import AssetError, ConfigError, PromptError
from stream.frame import Image

MAX_TOKENS = 32  # of a phrase, as SAM 3 is trained


@dataclass(frozen=True, slots=True)
class Sam3PhraseConfig:
    """Gates and bounds; raises ConfigError for a bound below 1."""

    min_score: float = 0.5  # of an instance, presence included, as the `sam3` package has it
    mask_gate: float = 0.5  # probability from which a pixel belongs to an instance
    max_instances: int = 32  # of one phrase, the surest
    kept_frames: int = 2  # whose features are kept: 110 MB each at 1008 px in float32
    kept_phrases: int = 64  # whose features are kept: 130 kB each

    def __post_init__(self) -> None:
        if min(self.max_instances, self.kept_frames, self.kept_phrases) < 1:
            raise ConfigError(
                "expected max_instances, kept_frames and kept_phrases of 1 or more, got "
                f"{self.max_instances}, {self.kept_frames} and {self.kept_phrases}"
            )


class Sam3PhraseSegmenter:
    """A `Sam3Model` or `Sam3LiteTextModel`; sessions may share one, on whatever threads they run.

    `mixed`: bfloat16 products under autocast, weights and residual stream in float32, as upstream.
    """

    def __init__(
        self,
        model: Any,
        processor: Any,
        config: Sam3PhraseConfig | None = None,
        mixed: bool = False,
    ) -> None:
        self.config = config or Sam3PhraseConfig()
        self._model, self._processor, self._mixed = model, processor, mixed
        self.device: torch.device = model.device
        self.image_size: int = int(model.config.image_size)
        self._tokens = min(MAX_TOKENS, int(model.config.text_config.max_position_embeddings))
        self._seen: OrderedDict[int, tuple[Image, Any]] = OrderedDict()
        self._said: OrderedDict[str, tuple[Any, torch.Tensor]] = OrderedDict()
        self._places: tuple[torch.Tensor, ...] | None = None  # position codes, the same every time
        self._lock = Lock()

    @property
    def kept(self) -> tuple[int, int]:
        """Pictures and phrases whose features are held now."""
        return len(self._seen), len(self._said)

    def segment(self, image: Image, phrase: str) -> PhraseInstances:
        """Instances of a phrase in a [H, W, 3] uint8 RGB picture, surest first.

        Pictures are told apart by identity. Raises PromptError for a phrase without words.
        """
        words = " ".join(phrase.split())
        if not words:
            raise PromptError("expected a phrase with words in it, got an empty one")
        with self._lock, torch.inference_mode(), self._products():
            vision = self._looked(image)
            text, mask = self._read(words)
            found = self._model(vision_embeds=vision, text_embeds=text, attention_mask=mask)
            return self._instances(found, (image.shape[0], image.shape[1]))

    def _products(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self._mixed)

    def _looked(self, image: Image) -> Any:
        """The picture's features, of this call or an earlier one."""
        held = self._seen.get(id(image))
        if held is not None and held[0] is image:
            self._seen.move_to_end(id(image))
            return held[1]
        side = {"height": self.image_size, "width": self.image_size}
        given = self._processor.image_processor(images=image, size=side, return_tensors="pt")
        vision = self._model.get_vision_features(given.pixel_values.to(self.device))
        self._places = self._places or vision.fpn_position_encoding
        vision.fpn_position_encoding = self._places
        vision.last_hidden_state = None  # of no use after the neck
        self._seen[id(image)] = (image, vision)
        while len(self._seen) > self.config.kept_frames:
            self._seen.popitem(last=False)
        return vision

    def _read(self, words: str) -> tuple[Any, torch.Tensor]:
        """A phrase's features and which of its tokens count."""
        if words in self._said:
            self._said.move_to_end(words)
            return self._said[words]
        tokens = self._processor.tokenizer(
            words,
            padding="max_length",
            truncation=True,
            max_length=self._tokens,
            return_tensors="pt",
        ).to(self.device)
        mask = tokens["attention_mask"]
        text = self._model.get_text_features(tokens["input_ids"], mask, return_dict=True)
        self._said[words] = text, mask
        while len(self._said) > self.config.kept_phrases:
            self._said.popitem(last=False)
        return text, mask

    def _instances(self, found: Any, size: tuple[int, int]) -> PhraseInstances:
        presence = float(found.presence_logits.float().sigmoid())
        surest = found.pred_logits[0].topk(
            min(self.config.max_instances, len(found.pred_logits[0]))
        )
        for part in ("pred_logits", "pred_boxes", "pred_masks"):  # before they grow to full size
            found[part] = found[part][:, surest.indices].float()
        (kept,) = self._processor.post_process_instance_segmentation(
            found, self.config.min_score, self.config.mask_gate, [size]
        )
        scores = kept["scores"].tolist()
        boxes = kept["boxes"].tolist()
        masks = kept["masks"].cpu().numpy().astype(bool)
        instances = [  # `topk` has put the surest first
            PhraseInstance(mask, tuple(box), float(score))
            for mask, box, score in zip(masks, boxes, scores, strict=True)
            if mask.any()
        ]
        return PhraseInstances(presence, tuple(instances))


def load_phrase_segmenter(
    name: str | Path,
    config: Sam3PhraseConfig | None = None,
    *,
    image_size: int | None = None,
    device: str = "cpu",
    mixed: bool = False,
) -> Sam3PhraseSegmenter:
    """The phrase segmenter of a hub id or a folder, with its tokenizer and picture processor.

    Raises AssetError when nothing loadable is there, ConfigError for a size or a device that cannot
    be.
    """
    from transformers import Sam3Processor

    if torch.device(device).type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"expected a CUDA device for {device!r}, this machine has none; use cpu")
    refuse_others(str(name))
    model = load_part(name, "phrases", image_size).to(device)
    try:
        processor = Sam3Processor.from_pretrained(str(name))
    except (OSError, ValueError, TypeError) as error:
        raise out_of_reach(str(name), error) from error
    words, known = len(processor.tokenizer), int(model.config.text_config.vocab_size)
    if words != known:  # transformers makes an empty tokenizer where its files are absent
        raise AssetError(
            f"expected a tokenizer of {known} tokens at {name}, found one of {words}; "
            "the folder lacks tokenizer.json, or has that of another model"
        )
    return Sam3PhraseSegmenter(model, processor, config, mixed)
