"""The tracker on a CUDA device against itself on the processor; skipped where there is none."""

from pathlib import Path

import pytest
import torch

from perception.sam2_tracking.open import Precision, load_sam2_tracker
from perception.sam2_tracking.state import Sam2Config
from perception.sam2_tracking.tracker import Sam2Tracker
from tests.doubles.sam2_random import random_model, tiny_config, tiny_edgetam_config
from tests.perception.sam2.sam2_rig import blob, frame

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def followed(tracker: Sam2Tracker) -> torch.Tensor:
    """[2, 4h, 4w] logits after ten frames, the next one always staged."""
    state, _ = tracker.add(tracker.init_state(), frame(0), None, blob())
    state, _ = tracker.add(state, frame(0), None, blob(30, 20))
    for index in range(1, 11):
        coming = frame(index)
        tracker.prefetch(coming)
        state, _ = tracker.step(state, coming)
    return torch.stack([track.logits.float().cpu() for track in state.tracks])


@pytest.mark.parametrize("edge", [False, True])
@pytest.mark.parametrize(
    ("precision", "compiled", "error"),
    [("float32", "off", 0.01), ("float32", "graphs", 0.01), ("bfloat16", "graphs", 0.15)],
)
def test_the_device_gives_the_processors_masks(
    tmp_path: Path, edge: bool, precision: Precision, compiled: str, error: float
) -> None:
    config = tiny_edgetam_config() if edge else tiny_config()
    random_model(config, seed=1).save_pretrained(tmp_path)
    expected = followed(load_sam2_tracker(tmp_path))
    settings = Sam2Config(compile=compiled)  # type: ignore[arg-type]
    tracker = load_sam2_tracker(tmp_path, settings, precision=precision, device="cuda")
    found = followed(tracker)
    if compiled == "graphs":
        assert tracker.networks.encoding.reason is None, "the image pass runs as a graph"
        assert tracker.networks.encoding.count == 1
    assert float((found - expected).norm() / expected.norm()) < error
