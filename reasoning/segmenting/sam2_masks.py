"""Masks by SAM 2 from a language model's embedding, as Sa2VA prompts it (arXiv 2501.04001).

The embedding joins the padding point as a sparse prompt; the frame is seen without memory; of
three masks the one of the best predicted quality is taken, whatever the object score says.
"""

import threading
from typing import Any

import torch
import torch.nn.functional as F

from perception.device import Device
from perception.sam2.networks import Sam2Networks
from perception.sam2.types import FrameFeatures
from perception.sam2_tracking.open import best_precision
from stream.frame import Image, Mask


def is_mixed(place: Device) -> bool:
    """Whether SAM 2 reads pictures in mixed precision: as it tracks, unless float32 is asked for.

    `place`: of the language side.
    """
    return place.dtype != torch.float32 and best_precision(place.name) == "mixed"


class Sam2WordMasks:
    """One frame's features, and a mask per embedding."""

    def __init__(self, model: Any, threshold: float = 0.0, mixed: bool = False) -> None:
        """`model`: transformers' `Sam2VideoModel`; a pixel's logit is above `threshold`.

        `mixed`: pictures are read by products of bfloat16 numbers; masks stay in float32.
        """
        self._model, self._networks = model.eval(), Sam2Networks(model, mixed)
        self._threshold = threshold
        self.device, self.dtype = self._networks.device, self._networks.dtype
        self._one_at_a_time = threading.Lock()  # pictures pass through one buffer

    @property
    def width(self) -> int:
        """Length of an embedding."""
        return int(self._model.config.prompt_encoder_config.hidden_size)

    def features(self, image: Image) -> FrameFeatures:
        """One pass over a [H, W, 3] RGB picture, squeezed into the model's square."""
        with torch.inference_mode(), self._one_at_a_time:
            return self._networks.features(image)

    def mask(self, features: FrameFeatures, words: torch.Tensor, size: tuple[int, int]) -> Mask:
        """[N, C] embeddings of one thing -> its mask of a (height, width) picture."""
        model = self._model
        with torch.inference_mode():
            point = torch.zeros(1, 1, 1, 2, device=self.device, dtype=self.dtype)
            label = -torch.ones(1, 1, 1, dtype=torch.int32, device=self.device)
            sparse, dense = model.prompt_encoder(point, label, None, None)
            words = words.to(device=self.device, dtype=self.dtype)[None, None]
            masks, quality, _, _ = model.mask_decoder(
                image_embeddings=self._networks.alone(features),
                image_positional_embeddings=model.get_image_wide_positional_embeddings(),
                sparse_prompt_embeddings=torch.cat([sparse, words], dim=2),
                dense_prompt_embeddings=dense,
                multimask_output=True,
                high_resolution_features=[features.fine, features.middle],
            )
            best = masks[0, 0, quality[0, 0].argmax()].float()
            full = F.interpolate(best[None, None], size, mode="bilinear", align_corners=False)
            found: Mask = (full[0, 0] > self._threshold).cpu().numpy()
            return found
