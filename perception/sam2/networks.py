"""SAM 2's networks, batched over objects and free of any session: pure functions of tensors.

Ravi et al., "SAM 2: Segment Anything in Images and Videos", arXiv 2408.00714. The weights live in
transformers' `Sam2VideoModel`, `EdgeTamVideoModel` or `Sam3TrackerVideoModel` (SAM 3's tracker is
SAM 2 on another image encoder); this module calls their parts directly, because their own session
keeps every frame and walks the objects one by one.
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F

from perception.sam2.compile import CompileMode, Program
from perception.sam2.edgetam import EdgeEncoder, Perceiver
from perception.sam2.image_encoder import HieraEncoder
from perception.sam2.mask_decoder import Sam2MaskDecoder
from perception.sam2.memory_attention import MemoryAttention
from perception.sam2.memory_encoder import MemoryEncoder
from perception.sam2.types import (
    ABSENT_LOGIT,
    DecodedMasks,
    FrameFeatures,
    MaskCandidates,
    Recalled,
    Resize,
    time_waves,
)
from perception.sam2.upload import Uploader
from stream.errors import ConfigError
from stream.frame import Image, Mask

Kind = Literal["sam2", "edgetam", "sam3"]
KINDS: dict[str, Kind] = {  # by the model type of their configuration
    "sam2_video": "sam2",
    "edgetam_video": "edgetam",
    "sam3_tracker_video": "sam3",
}
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # mean and deviation of pixels
NORMALS = {"sam2": IMAGENET, "edgetam": IMAGENET, "sam3": ((0.5,) * 3, (0.5,) * 3)}
MASK_CELL = 16  # mask pixels down one cell of the grid that enter memory
MASK_SCALE, MASK_BIAS = 20.0, -10.0  # a given mask as logits


class Sam2Networks:
    """Image encoder, memory attention, mask decoder and memory encoder of one model.

    `mixed`: a float32 model's products are of bfloat16 numbers (linear.py).
    `compiled`: image encoder and memory attention as programs of static shape (compile.py).
    `resize`: how pictures come to the model's size (upload.py).
    """

    def __init__(
        self,
        model: Any,
        mixed: bool = False,
        compiled: CompileMode = "off",
        resize: Resize = "pillow",
    ) -> None:
        self._model = model.eval().requires_grad_(False)
        config = model.config
        if config.model_type not in KINDS:
            raise ConfigError(
                f"expected a model of type {' or '.join(KINDS)}, got {config.model_type}"
            )
        self.kind = KINDS[config.model_type]
        self.edge = self.kind == "edgetam"
        self.image_size: int = int(config.image_size)
        self.memory_frames: int = config.num_maskmem - 1  # unprompted ones
        self.pointer_frames: int = config.max_object_pointers_in_encoder - 1  # unprompted ones
        self._config = config
        weight = model.no_memory_embedding
        self.device, self.dtype = weight.device, weight.dtype
        self.grid: tuple[int, int] = tuple(config.vision_config.backbone_feature_sizes[-1])
        self._mask_side = MASK_CELL * self.grid[0]  # SAM 3: 1152 for pictures of 1008
        self._mixed = mixed
        with torch.inference_mode():
            self._encoder = _encoder(model, self.grid[0], mixed)
            self._prepare_constants()
            length = len(self._memory_positions)
            self._attention = MemoryAttention(model.memory_attention, length, mixed)
            self._decoder = Sam2MaskDecoder(model.mask_decoder, self._wide_positions, mixed)
            self._memory_encoder = MemoryEncoder(model.memory_encoder, self.grid, mixed)
        self._upload = Uploader(self.device, self.image_size, resize)
        encode = self._encoder.tensors if self._encoder is not None else self._encode
        self.encoding = Program(encode, compiled)
        self.attending = Program(self._attend, compiled)

    def _prepare_constants(self) -> None:
        """Everything that depends on the model alone, not on pictures."""
        model = self._model
        self._wide_positions = model.get_image_wide_positional_embeddings()
        mean, std = NORMALS[self.kind]
        self._mean = torch.tensor(mean, device=self.device)[:, None, None]
        self._std = torch.tensor(std, device=self.device)[:, None, None]
        none = torch.zeros(1, 1, 1, 2, device=self.device, dtype=self.dtype)
        label = -torch.ones(1, 1, 1, dtype=torch.int32, device=self.device)
        self._no_points, self._no_mask = model.prompt_encoder(none, label, None, None)
        size = self.image_size
        blank = torch.zeros(1, 3, size, size, device=self.device, dtype=self.dtype)
        outputs = model.get_image_features(blank, return_dict=True)
        self._positions = outputs.fpn_position_encoding[-1][:, 0]  # [h*w, C]
        encoder = model.memory_encoder
        channels = self._config.memory_encoder_output_channels
        memory = torch.zeros(1, channels, *self.grid, device=self.device, dtype=self.dtype)
        code = encoder.position_encoding(memory.shape, self.device, self.dtype)
        self._memory_positions = code[0].flatten(1).T  # [T, D]
        self._perceiver: Perceiver | None = None
        if self.edge:
            self._perceiver = Perceiver(model.spatial_perceiver, self.grid, code)
            self._memory_positions = model.spatial_perceiver(memory, code)[1][0]

    def features(self, image: Image) -> FrameFeatures:
        """One image encoder pass over a [H, W, 3] uint8 RGB picture."""
        return FrameFeatures(*self.encoding(self.pixels(image)))

    @property
    def memory_positions(self) -> torch.Tensor:
        """[T, D] position code of one frame's memory tokens."""
        positions: torch.Tensor = self._memory_positions
        return positions

    def _encode(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """transformers' own pass, for backbones other than Hiera and RepViT."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._mixed):
            outputs = self._model.get_image_features(pixels, return_dict=True)
        fine, middle, coarse = (one.to(self.dtype) for one in outputs.fpn_hidden_states)
        height, width = self.grid
        return (
            coarse[:, 0],
            middle.permute(1, 2, 0).reshape(1, -1, 2 * height, 2 * width),
            fine.permute(1, 2, 0).reshape(1, -1, 4 * height, 4 * width),
        )

    def stage(self, image: Image) -> None:
        """Start copying the picture that comes next, while the device works on this one."""
        self._upload.stage(image)

    def pixels(self, image: Image) -> torch.Tensor:
        """[H, W, 3] uint8 -> [1, 3, S, S] normalised."""
        small = self._upload.take(image)
        normal: torch.Tensor = (small.float() / 255 - self._mean) / self._std
        return normal[None].to(self.dtype)

    def alone(self, features: FrameFeatures) -> torch.Tensor:
        """[1, C, h, w]: a frame seen without any memory."""
        tokens: torch.Tensor = features.tokens + self._model.no_memory_embedding[0]
        return self._as_map(tokens[None])

    def conditioned(self, features: FrameFeatures, recalled: Recalled) -> torch.Tensor:
        """[B, C, h, w]: the frame as each object's memory sees it."""
        temporal = self._model.memory_temporal_positional_encoding[:, 0]  # [7, 1, D]
        tokens = recalled.tokens.to(self.dtype)
        positions = self._memory_positions + temporal[recalled.offsets - 1]  # offset 0: the last
        pointers, pointer_positions = self._pointer_tokens(recalled)
        memory = torch.cat([tokens.flatten(1, 2), pointers], dim=1)
        codes = torch.cat([positions.flatten(1, 2), pointer_positions], dim=1)
        (seen,) = self.attending(features.tokens, memory, codes, constants=(pointers.shape[1],))
        return self._as_map(seen)

    def _attend(
        self, tokens: torch.Tensor, memory: torch.Tensor, codes: torch.Tensor, pointers: int
    ) -> tuple[torch.Tensor]:
        return (self._attention(tokens, self._positions, memory, codes, pointers),)

    def _pointer_tokens(self, recalled: Recalled) -> tuple[torch.Tensor, torch.Tensor]:
        """Pointers [B, P, C] cut into memory-wide tokens [B, P*C/D, D], and their time codes."""
        batch, count, channels = recalled.pointers.shape
        width = self._config.memory_encoder_output_channels
        splits = channels // width if width < channels else 1
        tokens = recalled.pointers.to(self.dtype).reshape(batch, count * splits, -1)
        if not self._config.enable_temporal_pos_encoding_for_object_pointers:
            return tokens, torch.zeros_like(tokens)
        waves = time_waves(recalled.pointer_offsets / recalled.pointer_span, channels)
        codes = self._model.temporal_positional_encoding_projection_layer(waves.to(self.dtype))
        return tokens, codes.repeat_interleave(splits, dim=1)

    def candidates(
        self,
        features: FrameFeatures,
        seen: torch.Tensor,
        points: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        mask: torch.Tensor | None = None,
        first: bool = False,
    ) -> MaskCandidates:
        """Masks of B objects from [B, C, h, w] maps.

        `points` [B, K, 2] in model pixels and `labels` [B, K] (1 on, 0 off, 2 and 3 a box's
        corners) prompt, with `mask` [B, 1, 4h, 4w] of logits that they mend. `first`: no memory
        was used.
        """
        sparse, dense = self._no_points, self._no_mask
        if points is not None and labels is not None:
            sparse, dense = self.prompt_tokens(points, labels, mask)
        several = self._several(0 if labels is None else labels.shape[1], first)
        return self._decoder(features, seen, sparse, dense, several)

    def prompt_tokens(
        self, points: torch.Tensor, labels: torch.Tensor, mask: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Sparse [B, 1, K + 1, C] and dense [B, C, h, w] prompts, as `candidates` is given them."""
        sparse, dense = self._model.prompt_encoder(points[:, None], labels[:, None], None, mask)
        return sparse, dense

    def mask_tokens(self, mask: torch.Tensor) -> torch.Tensor:
        """[1, 1, M, M] 0 or 1 -> the dense prompt [1, C, h, w] of a mask that is the answer."""
        small = self._model.mask_downsample(mask.to(self.dtype))
        dense: torch.Tensor = self._model.prompt_encoder.mask_embed(small)
        return dense

    def choose(
        self,
        found: MaskCandidates,
        choice: Sequence[int] | None = None,
        least_presence: float = 0.0,
    ) -> DecodedMasks:
        """One mask an object: the given one, or the one of the best predicted quality.

        `least_presence`: object score logit above which the object is in view.
        """
        if choice is None:
            best = found.quality.argmax(-1)
        else:
            best = torch.tensor(choice, device=found.quality.device)
        rows = torch.arange(len(best), device=best.device)
        token = found.tokens[rows, best] if found.tokens.shape[1] > 1 else found.tokens[:, 0]
        here = (found.presence > least_presence).to(self.dtype)[:, None]
        pointers = self._model.object_pointer_proj(token)
        pointers = here * pointers + (1 - here) * self._model.no_object_pointer
        logits = found.masks[rows, best].float()
        logits = torch.where(here[..., None] > 0, logits, ABSENT_LOGIT)
        quality = found.quality[rows, best].float()
        return DecodedMasks(logits, pointers, found.presence.float(), quality)

    def _several(self, points: int, first: bool) -> bool:
        """Whether to decode three masks and take the best (one click or none is ambiguous)."""
        config = self._config
        return bool(
            config.multimask_output_in_sam
            and (first or config.multimask_output_for_tracking)
            and config.multimask_min_pt_num <= points <= config.multimask_max_pt_num
        )

    def adopt(self, features: FrameFeatures, mask: Mask) -> DecodedMasks:
        """Take a given [H, W] mask as the answer.

        Its pointer is that of the decoder's single mask, token 0, as the `sam2` package's
        `_use_mask_as_output` has it, not that of the best of three.
        """
        given = self.fit_mask(mask)
        dense = self.mask_tokens(given)
        seen = self._as_map(features.tokens[None])
        found = self._decoder(features, seen, self._no_points, dense, several=False)
        full = given * MASK_SCALE + MASK_BIAS
        side = self._model.prompt_encoder.mask_input_size
        logits = F.interpolate(full, side, mode="bilinear", align_corners=False, antialias=True)
        if not bool((logits > 0).any()):  # thinner than a logit: its strongest one stays visible
            logits = torch.where(logits >= logits.max(), MASK_SCALE + MASK_BIAS, logits)
        sure = torch.full((1,), MASK_SCALE + MASK_BIAS, device=self.device)
        return DecodedMasks(logits[:, 0], self.choose(found).pointers, sure, torch.ones_like(sure))

    def fit_mask(self, mask: Mask) -> torch.Tensor:
        """[H, W] bool -> [1, 1, M, M] float 0 or 1, never empty; M is 16 cells of the grid."""
        tensor = torch.from_numpy(np.ascontiguousarray(mask)).to(self.device).float()[None, None]
        side = (self._mask_side, self._mask_side)
        if tensor.shape[-2:] == side:
            return tensor
        soft = F.interpolate(tensor, side, mode="bilinear", align_corners=False, antialias=True)
        hard = soft >= 0.5
        if not bool(hard.any()):  # thinner than a model pixel: keep its strongest one
            hard = soft >= soft.max()
        return hard.float()

    def remember(
        self, features: FrameFeatures, decoded: DecodedMasks, prompted: bool
    ) -> torch.Tensor:
        """Memory tokens [B, T, D] of B masks.

        A prompted mask enters as it is (0 or 1), a predicted one as probabilities.
        """
        side = (self.image_size, self.image_size)
        full = F.interpolate(decoded.logits[:, None], side, mode="bilinear", align_corners=False)
        shown = (full > 0).float() if prompted else torch.sigmoid(full)
        config = self._config
        shown = shown * config.sigmoid_scale_for_mem_enc + config.sigmoid_bias_for_mem_enc
        if self._mask_side != self.image_size:  # as the `sam3` package's memory encoder does
            cells = (self._mask_side, self._mask_side)
            shown = F.interpolate(
                shown, cells, mode="bilinear", align_corners=False, antialias=True
            )
        tokens = self._memory_encoder(features.tokens, shown.to(self.dtype))
        hidden_embedding = self._model.occlusion_spatial_embedding_parameter
        if hidden_embedding is not None:
            gone = (decoded.presence <= 0).to(self.dtype)[:, None, None]
            tokens = tokens + gone * hidden_embedding
        if self._perceiver is not None:
            return self._perceiver(tokens)
        return tokens.to(torch.bfloat16)

    def _as_map(self, tokens: torch.Tensor) -> torch.Tensor:
        """[B, h*w, C] -> [B, C, h, w]."""
        return tokens.view(len(tokens), *self.grid, -1).permute(0, 3, 1, 2)  # channels last


def _encoder(model: Any, grid: int, mixed: bool) -> HieraEncoder | EdgeEncoder | None:
    """An image encoder of our own, or None for a backbone that is built otherwise."""
    if HieraEncoder.fits(model):
        return HieraEncoder(model, grid, mixed)
    return EdgeEncoder(model, mixed) if EdgeEncoder.fits(model) else None
