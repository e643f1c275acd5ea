"""The `sam2` package's own video predictor, for comparisons: same checkpoint, same pictures.

The package is optional (`pip install '.[sam2]'`) and never used by the tracker.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from perception.masks.prompts import BoxPrompt, MaskPrompt, Prompt
from perception.sam2.convert import backbone_of, read_checkpoint
from perception.sam2.convert_edgetam import is_edgetam
from stream.errors import ConfigError
from stream.frame import Frame, Image, Mask

# Hydra configurations of the package, by the released backbones' (width, blocks).
CONFIGS = {
    (96, 12): "configs/sam2.1/sam2.1_hiera_t.yaml",
    (96, 16): "configs/sam2.1/sam2.1_hiera_s.yaml",
    (112, 24): "configs/sam2.1/sam2.1_hiera_b+.yaml",
    (144, 48): "configs/sam2.1/sam2.1_hiera_l.yaml",
}
QUALITY = 95  # of the JPEG files that the package reads


def package_predictor(checkpoint: Path, image_size: int) -> Any:
    """A `SAM2VideoPredictor` with the weights of a SAM 2 or 2.1 `.pt`, on the CPU.

    Raises ConfigError without the package, AssetError for a file that is no such checkpoint.
    """
    weights = read_checkpoint(checkpoint)
    if is_edgetam(weights):
        raise ConfigError(
            f"expected a SAM 2 checkpoint, got EdgeTAM at {checkpoint}: the sam2 "
            "package has no such model"
        )
    name = CONFIGS[backbone_of(weights)]
    if "no_obj_embed_spatial" not in weights:
        name = name.replace("sam2.1", "sam2")
    predictor = build_predictor(name, image_size)
    predictor.load_state_dict(weights)
    return predictor


def build_predictor(name: str, image_size: int) -> Any:
    """The predictor of a configuration of the package, with the weights it is built with."""
    try:
        import sam2.sam2_video_predictor as package
        from sam2.build_sam import build_sam2_video_predictor
        from sam2.utils import misc
    except ImportError as error:
        raise ConfigError(
            f"expected the sam2 package beside which to compare, got: {error}; install it with "
            "SAM2_BUILD_CUDA=0 uv pip install 'sam2>=1.1'"
        ) from error
    package.tqdm = lambda frames, **_: frames  # no bars
    misc.get_connected_components = _components  # its own need the CUDA extension
    size = f"++model.image_size={image_size}"
    return build_sam2_video_predictor(name, None, device="cpu", hydra_overrides_extra=[size])


def _components(mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """[N, 1, H, W] bool -> 8-connected components' numbers, and their areas, 0 off the mask."""
    labels, areas = [], []
    for one in mask[:, 0].cpu().numpy().astype(np.uint8):
        _, numbers, stats, _ = cv2.connectedComponentsWithStats(one, connectivity=8)
        labels.append(numbers)
        areas.append(stats[:, cv2.CC_STAT_AREA][numbers] * one)
    found = (torch.from_numpy(np.stack(one))[:, None].to(mask.device) for one in (labels, areas))
    return next(found), next(found)


def write_clip(pictures: Sequence[Image], folder: Path) -> list[Frame]:
    """JPEG files for the package, and the pictures they decode to."""
    import PIL.Image

    frames = []
    for index, picture in enumerate(pictures):
        path = folder / f"{index:05d}.jpg"
        PIL.Image.fromarray(picture).save(path, quality=QUALITY)
        image = np.array(PIL.Image.open(path).convert("RGB"))
        frames.append(Frame(index * 100_000_000, 0, image, "jpeg"))
    return frames


class PackageSession:
    """One clip in the package's predictor, stepped frame by frame."""

    def __init__(self, predictor: Any, folder: Path) -> None:
        """`folder`: of JPEG files named by their number."""
        self.predictor = predictor
        self._state = predictor.init_state(str(folder))

    @property
    def pictures(self) -> torch.Tensor:
        """[N, 3, S, S] as the predictor sees them."""
        images: torch.Tensor = self._state["images"]
        return images

    def prompt(self, index: int, name: int, prompt: Prompt) -> None:
        """Start or correct object `name` on frame `index`."""
        model, state = self.predictor, self._state
        if isinstance(prompt, MaskPrompt):
            model.add_new_mask(state, index, name, prompt.mask)
        elif isinstance(prompt, BoxPrompt):
            model.add_new_points_or_box(state, index, name, box=np.array(prompt.box, np.float32))
        else:
            points = np.array(prompt.points, np.float32)
            on = prompt.labels or (True,) * len(points)
            labels = np.array(on, np.int32)
            model.add_new_points_or_box(state, index, name, points=points, labels=labels)

    def step(self, index: int) -> None:
        """Carry every object to frame `index`."""
        for _ in self.predictor.propagate_in_video(self._state, index, 0):
            pass

    def settle(self) -> None:
        """Encode what was prompted since the last step."""
        self.predictor.propagate_in_video_preflight(self._state)

    def output(self, index: int, name: int) -> dict[str, Any]:
        """What the predictor keeps of an object on a frame, once settled."""
        kept = self._state["output_dict_per_obj"][self._state["obj_id_to_idx"][name]]
        found = kept["cond_frame_outputs"].get(index)
        out: dict[str, Any] = found or kept["non_cond_frame_outputs"][index]
        return out

    def mask(self, index: int, name: int) -> Mask:
        """[H, W] of an object on a frame, at the clip's size."""
        logits = self.output(index, name)["pred_masks"]
        size = self._state["video_height"], self._state["video_width"]
        # As the predictor enlarges what it gives out.
        sized = F.interpolate(logits, size=size, mode="bilinear", align_corners=False)
        shown: Mask = (sized[0, 0] > 0).cpu().numpy()
        return shown
