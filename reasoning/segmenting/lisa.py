"""LISA's and GLaMM's checkpoints: a Llama with a CLIP tower, and the first SAM.

Their parameters lie under `model.`: Llama's own, `mm_projector` (one linear layer or two), the
segmenter (`visual_model` in LISA, `grounding_encoder` in GLaMM) and `text_hidden_fcs`. The CLIP
tower is named in config.json (`vision_tower` or `mm_vision_tower`) and comes as a folder of its
own. A mask's state is that of the token that predicts `[SEG]`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from perception.scene.reader import Scene
from reasoning.segmenting.sa2va import Weights, part, projection, read_config, read_weights
from reasoning.segmenting.sam_masks import SamWordMasks, load_sam
from reasoning.segmenting.seg_token import SegParts, SegTokenLMM
from reasoning.vlm.hf import Reading
from stream.errors import AssetError
from stream.frame import Image

SYSTEM = (
    "A chat between a curious human and an artificial intelligence assistant. The assistant gives "
    "helpful, detailed, and polite answers to the human's questions."
)
BEFORE_PICTURE, AFTER_PICTURE = "<im_start>", "<im_end>"
SEGMENTERS = ("model.visual_model.", "model.grounding_encoder.")
SELECT_LAYER = -2  # of CLIP's states
INSTRUCTIONS = "Please output segmentation mask."


class LlavaLanguage:
    """Llama that reads CLIP's patches through a projector: LLaVA-1's way, vicuna's prompt."""

    def __init__(self, llama: Any, tower: Any, projector: Any, tokenizer: Any, eyes: Any) -> None:
        """`eyes` prepares pictures for the tower (a CLIPImageProcessor)."""
        self._llama, self._tower = llama.eval(), tower.eval()
        self._projector, self._eyes = projector.eval(), eyes
        self.tokenizer = tokenizer
        self.device: torch.device = next(llama.parameters()).device
        self._dtype = next(llama.parameters()).dtype

    def begin(self, image: Image, messages: Sequence[Mapping[str, str]]) -> Reading:
        """See VisionLanguage; the picture comes first in the first message."""
        words = [SYSTEM]
        for number, message in enumerate(messages):
            mark = f"{BEFORE_PICTURE}\0{AFTER_PICTURE}\n" if number == 0 else ""
            role = "USER" if message["role"] == "user" else "ASSISTANT"
            end = "" if role == "USER" else str(self.tokenizer.eos_token)
            words.append(f"{role}: {mark}{message['content']}{end}")
        before, after = (" ".join(words) + " ASSISTANT:").split("\0", 1)
        embed = self._llama.get_input_embeddings()
        with torch.inference_mode():
            rows = [embed(self._ids(before, first=True)), self._patches(image)]
            rows.append(embed(self._ids(after, first=False)))
            cache = DynamicCache()
            out = self._llama(
                inputs_embeds=torch.cat(rows)[None],
                past_key_values=cache,
                use_cache=True,
                output_hidden_states=True,
            )
        return Reading(out.logits[0, -1].float(), out.hidden_states[-1][0, -1], cache)

    def feed(self, reading: Reading, ids: Sequence[int]) -> Tensor:
        """See VisionLanguage."""
        with torch.inference_mode():
            out = self._llama(
                input_ids=torch.tensor([list(ids)], device=self.device),
                past_key_values=reading.cache,
                use_cache=True,
                output_hidden_states=True,
            )
        states: Tensor = out.hidden_states[-1][0]
        reading.logits, reading.last = out.logits[0, -1].float(), states[-1]
        return states

    def _ids(self, text: str, first: bool) -> Tensor:
        ids = self.tokenizer(text, add_special_tokens=False).input_ids
        begin = [self.tokenizer.bos_token_id] if first and self.tokenizer.bos_token_id else []
        return torch.tensor([*begin, *ids], device=self.device)

    def _patches(self, image: Image) -> Tensor:
        """[patches, D] of the picture."""
        pixels = self._eyes(images=[image], return_tensors="pt")["pixel_values"]
        out = self._tower(pixels.to(self.device, self._dtype), output_hidden_states=True)
        patches: Tensor = self._projector(out.hidden_states[SELECT_LAYER][0, 1:])
        return patches


def load_lisa(
    folder: Path,
    tower: Path,
    scene: Scene,
    device: str = "cpu",
    precision: torch.dtype = torch.float32,
) -> SegTokenLMM:
    """A checkpoint's and CLIP's folder -> SegTokenLMM; raises AssetError when they do not fit."""
    from transformers import AutoTokenizer, CLIPImageProcessor, CLIPVisionModel

    weights = read_weights(folder)
    segmenter = next((p for p in SEGMENTERS if any(k.startswith(p) for k in weights)), None)
    if segmenter is None:
        raise AssetError(f"expected parameters under {' or '.join(SEGMENTERS)} in {folder}")
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
        clip = CLIPVisionModel.from_pretrained(str(tower), local_files_only=True)
        eyes = CLIPImageProcessor.from_pretrained(str(tower), local_files_only=True)
    except (OSError, ValueError) as error:
        raise AssetError(
            f"expected a tokenizer in {folder} and CLIP in {tower}: {error}"
        ) from error
    llama = load_llama(folder, weights).to(device, precision)
    language = LlavaLanguage(
        llama,
        clip.to(device, precision),
        projector(part(weights, "model.mm_projector.")).to(device, precision),
        tokenizer,
        eyes,
    )
    project = projection(part(weights, "model.text_hidden_fcs.")).to(device, precision)
    masks = SamWordMasks(load_sam(part(weights, segmenter)).to(device, precision))
    parts = SegParts(folder.name, language, project, masks, "before")
    return SegTokenLMM(parts, scene, INSTRUCTIONS)


def load_llama(folder: Path, weights: Weights) -> Any:
    """Llama of a checkpoint: what of its parameters is Llama's own."""
    from transformers import LlamaConfig, LlamaForCausalLM

    own = ("model.embed_tokens.", "model.layers.", "model.norm.", "lm_head.")
    kept = {k: v for k, v in weights.items() if k.startswith(own)}
    # Old checkpoints hold the rotary frequencies, which are computed now.
    kept = {k: v for k, v in kept.items() if not k.endswith("rotary_emb.inv_freq")}
    settings = read_config(folder)
    settings = {k: v for k, v in settings.items() if k not in ("model_type", "architectures")}
    config = LlamaConfig(**settings)
    if "model.embed_tokens.weight" in kept:
        config.vocab_size = kept["model.embed_tokens.weight"].shape[0]
    model = LlamaForCausalLM(config)
    told = model.load_state_dict(kept, strict=False)
    if told.missing_keys or told.unexpected_keys:
        raise AssetError(
            f"expected the parameters of Llama in {folder}, missing {told.missing_keys[:3]}, "
            f"unknown {told.unexpected_keys[:3]}"
        )
    return model


def projector(weights: Weights) -> torch.nn.Module:
    """`mm_projector`: one linear layer (LISA v1), or two with a GELU between (LLaVA-1.5, GLaMM)."""
    try:
        if "weight" in weights:
            layer = weights["weight"]
            single = torch.nn.Linear(layer.shape[1], layer.shape[0])
            single.load_state_dict(weights)
            return single
        first, second = weights["0.weight"], weights["2.weight"]
        double = torch.nn.Sequential(
            torch.nn.Linear(first.shape[1], first.shape[0]),
            torch.nn.GELU(),
            torch.nn.Linear(second.shape[1], second.shape[0]),
        )
        double.load_state_dict(weights)
        return double
    except (KeyError, RuntimeError) as error:
        raise AssetError(f"expected mm_projector of one or two linear layers: {error}") from error
