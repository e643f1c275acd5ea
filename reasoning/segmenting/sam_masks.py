"""Masks by the first SAM from a language model's embedding, as LISA and GLaMM prompt it.

The embedding is the only sparse prompt (their `text_embeds`); one mask is decoded. Weights come
under segment-anything's names and live in transformers' `SamModel`.
"""

import re
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from stream.errors import AssetError
from stream.frame import Image, Mask

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)  # of bytes
WINDOW = 14  # tokens of a window, in all released backbones

RENAMES = (
    (r"^image_encoder\.", "vision_encoder."),
    (r"\.patch_embed\.proj\.", ".patch_embed.projection."),
    (r"\.blocks\.", ".layers."),
    (r"\.neck\.0\.", ".neck.conv1."),
    (r"\.neck\.1\.", ".neck.layer_norm1."),
    (r"\.neck\.2\.", ".neck.conv2."),
    (r"\.neck\.3\.", ".neck.layer_norm2."),
    (r"\.mask_downscaling\.0\.", ".mask_embed.conv1."),
    (r"\.mask_downscaling\.1\.", ".mask_embed.layer_norm1."),
    (r"\.mask_downscaling\.3\.", ".mask_embed.conv2."),
    (r"\.mask_downscaling\.4\.", ".mask_embed.layer_norm2."),
    (r"\.mask_downscaling\.6\.", ".mask_embed.conv3."),
    (r"\.point_embeddings\.", ".point_embed."),
    (r"\.pe_layer\.positional_encoding_gaussian_matrix", ".shared_embedding.positional_embedding"),
    (r"\.output_upscaling\.0\.", ".upscale_conv1."),
    (r"\.output_upscaling\.1\.", ".upscale_layer_norm."),
    (r"\.output_upscaling\.3\.", ".upscale_conv2."),
    (r"(prediction_head|hypernetworks_mlps\.\d+)\.layers\.0\.", r"\1.proj_in."),
    (r"(prediction_head|hypernetworks_mlps\.\d+)\.layers\.1\.", r"\1.layers.0."),
    (r"(prediction_head|hypernetworks_mlps\.\d+)\.layers\.2\.", r"\1.proj_out."),
    (r"\.norm_final_attn\.", ".layer_norm_final_attn."),
    (r"\.norm(\d)\.", r".layer_norm\1."),
)


def load_sam(weights: Mapping[str, torch.Tensor]) -> Any:
    """A segment-anything state dict -> `SamModel`; the architecture is read from its shapes.

    Raises AssetError when names do not match.
    """
    from transformers import SamModel

    model = SamModel(_config(weights))
    renamed = {_renamed(name): value for name, value in weights.items()}
    shared = renamed.get("prompt_encoder.shared_embedding.positional_embedding")
    if shared is not None:
        renamed["shared_image_embedding.positional_embedding"] = shared
    told = model.load_state_dict(
        {k: v for k, v in renamed.items() if k not in ("pixel_mean", "pixel_std")}, strict=False
    )
    if told.missing_keys or told.unexpected_keys:
        raise AssetError(
            f"expected the parameters of segment-anything, missing {told.missing_keys[:3]}, "
            f"unknown {told.unexpected_keys[:3]}"
        )
    return model.eval()


class SamWordMasks:
    """One picture's embedding, and a mask per embedding of words."""

    def __init__(self, model: Any) -> None:
        """`model`: transformers' `SamModel`."""
        self._model = model.eval()
        self._side = int(model.config.vision_config.image_size)
        weight = model.shared_image_embedding.positional_embedding
        self.device, self.dtype = weight.device, weight.dtype

    @property
    def width(self) -> int:
        """Length of an embedding."""
        return int(self._model.config.prompt_encoder_config.hidden_size)

    def features(self, image: Image) -> torch.Tensor:
        """[1, C, h, w]: the longer side fills the model's square, the rest is padded."""
        height, width = self._inner((image.shape[0], image.shape[1]))
        small = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
        normal = (small.astype(np.float32) - np.array(MEAN, np.float32)) / np.array(STD, np.float32)
        square = np.zeros((self._side, self._side, 3), np.float32)
        square[:height, :width] = normal
        pixels = torch.from_numpy(square).permute(2, 0, 1)[None].to(self.device, self.dtype)
        with torch.inference_mode():
            found: torch.Tensor = self._model.get_image_embeddings(pixels)
            return found

    def mask(self, features: torch.Tensor, words: torch.Tensor, size: tuple[int, int]) -> Mask:
        """[N, C] embeddings of one thing -> its mask of a (height, width) picture."""
        model = self._model
        with torch.inference_mode():
            # Without points the prompt encoder gives the dense part only, as LISA's does.
            _, dense = model.prompt_encoder(None, None, None, None)
            masks, _ = model.mask_decoder(
                image_embeddings=features,
                image_positional_embeddings=model.get_image_wide_positional_embeddings(),
                sparse_prompt_embeddings=words.to(self.device, self.dtype)[None, None],
                dense_prompt_embeddings=dense,
                multimask_output=False,
            )
            side = (self._side, self._side)
            square = F.interpolate(masks[0].float(), side, mode="bilinear", align_corners=False)
            height, width = self._inner(size)
            inner = square[..., :height, :width]
            full = F.interpolate(inner, size, mode="bilinear", align_corners=False)
            found: Mask = (full[0, 0] > 0).cpu().numpy()
            return found

    def _inner(self, size: tuple[int, int]) -> tuple[int, int]:
        scale = self._side / max(size)
        return int(size[0] * scale + 0.5), int(size[1] * scale + 0.5)


def _renamed(name: str) -> str:
    for pattern, new in RENAMES:
        name = re.sub(pattern, new, name)
    return name


def _config(weights: Mapping[str, torch.Tensor]) -> Any:
    from transformers import (
        SamConfig,
        SamMaskDecoderConfig,
        SamPromptEncoderConfig,
        SamVisionConfig,
    )

    try:
        positions = weights["image_encoder.pos_embed"]  # [1, grid, grid, width]
        patch = weights["image_encoder.patch_embed.proj.weight"].shape[-1]
        out = weights["image_encoder.neck.0.weight"].shape[0]
        narrow = weights["image_encoder.blocks.0.mlp.lin1.weight"].shape[0]
        relative = {
            int(name.split(".")[2]): value.shape
            for name, value in weights.items()
            if name.startswith("image_encoder.blocks.") and name.endswith("attn.rel_pos_h")
        }
        mlp = weights["mask_decoder.transformer.layers.0.mlp.lin1.weight"].shape[0]
        iou = weights["mask_decoder.iou_prediction_head.layers.0.weight"].shape[0]
    except KeyError as error:
        raise AssetError(
            f"expected the parameters of segment-anything, {error} is missing"
        ) from error
    grid, width = int(positions.shape[1]), int(positions.shape[-1])
    whole = [n for n, shape in sorted(relative.items()) if shape[0] == 2 * grid - 1]
    windows = [shape[0] for shape in relative.values() if shape[0] != 2 * grid - 1]
    vision = SamVisionConfig(
        hidden_size=width,
        output_channels=int(out),
        num_hidden_layers=len(relative),
        num_attention_heads=width // int(relative[0][1]),
        image_size=grid * int(patch),
        patch_size=int(patch),
        mlp_dim=int(narrow),
        num_pos_feats=int(out) // 2,
        global_attn_indexes=whole,
        window_size=(windows[0] + 1) // 2 if windows else WINDOW,
    )
    prompt = SamPromptEncoderConfig(
        hidden_size=int(out), image_size=grid * int(patch), patch_size=int(patch)
    )
    decoder = SamMaskDecoderConfig(
        hidden_size=int(out), mlp_dim=int(mlp), iou_head_hidden_dim=int(iou)
    )
    return SamConfig(
        vision_config=vision, prompt_encoder_config=prompt, mask_decoder_config=decoder
    )
