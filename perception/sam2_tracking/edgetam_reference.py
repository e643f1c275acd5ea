"""Our EdgeTAM against transformers' own session on the same pictures.

The `sam2` package has no such model. Both sides take the same weights from the same file, so names
that were mapped wrongly to both would not show; the networks, memory and prompts are compared.
"""

from typing import Any

import torch
import torch.nn.functional as F

from perception.masks.prompts import BoxPrompt, PointsPrompt
from stream.frame import Mask


class EdgeTamSession:
    """One object in transformers' `EdgeTamVideoModel`, stepped frame by frame.

    Several objects are followed in sessions of their own: a session treats the memory of all of
    them as prompted on a frame where any is. Masks as prompts are left out: it takes their pointer
    from the best of three tokens, where the published code takes that of the single mask.
    """

    def __init__(self, model: Any) -> None:
        from transformers import EdgeTamVideoInferenceSession

        self._model = model
        self._session = EdgeTamVideoInferenceSession(dtype=torch.float32)

    def prompt(self, prompt: BoxPrompt | PointsPrompt, size: tuple[int, int]) -> None:
        """Start the object on frame 0 of a clip of (height, width)."""
        places: tuple[float, ...]
        labels: tuple[int, ...]
        if isinstance(prompt, BoxPrompt):
            places, labels = prompt.box, (2, 3)  # its corners
        else:
            places = tuple(edge for point in prompt.points for edge in point)
            labels = tuple(int(on) for on in prompt.labels or (True,) * len(prompt.points))
        points = torch.tensor(places, dtype=torch.float32).reshape(1, 1, -1, 2)
        side = float(self._model.config.image_size)
        points = points * torch.tensor([side / size[1], side / size[0]])
        session = self._session
        given = {"point_coords": points, "point_labels": torch.tensor([[labels]]).int()}
        session.add_point_inputs(session.obj_id_to_idx(1), 0, given)
        session.obj_with_new_inputs = [1]

    def step(self, index: int, pixels: torch.Tensor) -> torch.Tensor:
        """[h, w] mask logits on frame `index`, of pixels [1, 3, S, S]."""
        with torch.inference_mode():
            out = self._model(self._session, frame_idx=index, frame=pixels)
        logits: torch.Tensor = out.pred_masks[0, 0].float()
        return logits


def as_mask(logits: torch.Tensor, size: tuple[int, int]) -> Mask:
    """Logits as a mask of (height, width)."""
    full = F.interpolate(logits[None, None], size, mode="bilinear", align_corners=False)
    shown: Mask = (full[0, 0] > 0).numpy()
    return shown
