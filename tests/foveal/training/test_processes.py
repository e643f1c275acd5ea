"""Two processes of accelerate on a processor learn what one learns."""

import subprocess
import sys
from pathlib import Path

import torch
from torch import Tensor, nn

from foveal.training.loop import CHECKPOINT, CURVES, LoopConfig, Rng, run_loop
from foveal.training.processes import AccelerateProcesses

CONFIG = LoopConfig(
    steps=5, learning_rate=1e-2, warmup_steps=1, eval_every=1, gradient_accumulation=4, seed=7
)
ROOT = Path(__file__).resolve().parents[3]
TWO = """
import sys
from pathlib import Path
from accelerate import debug_launcher
from tests.foveal.training.test_processes import train
debug_launcher(train, (Path(sys.argv[1]),), num_processes=2)
"""


def train(folder: Path) -> None:
    """A small regression; a layer that only some parts use has a gradient only there."""
    torch.manual_seed(0)
    model = nn.ModuleDict({"main": nn.Linear(4, 3), "rare": nn.Linear(4, 3)})

    def losses(rng: Rng, step: int) -> dict[str, Tensor]:
        rows = torch.from_numpy(rng.standard_normal((6, 4))).float()
        loss = (model["main"](rows) - rows[:, :3]).square().mean()
        if rng.random() < 0.4:
            rare = model["rare"](rows).square().mean()
            return {"rare": rare, "loss": loss + rare}
        return {"loss": loss}

    run_loop(
        model, losses, CONFIG, folder, lambda step: {"seen": step}, processes=AccelerateProcesses()
    )


def test_two_processes_learn_what_one_does(tmp_path: Path) -> None:
    # From a process of their own: forked ones inherit torch's threads as they stand, and hang.
    subprocess.run([sys.executable, "-c", TWO, tmp_path / "two"], cwd=ROOT, timeout=120, check=True)
    train(tmp_path / "one")
    curves = [(tmp_path / name / CURVES).read_text() for name in ("one", "two")]
    assert curves[0] == curves[1] and "rare" in curves[0]
    one, two = (torch.load(tmp_path / name / CHECKPOINT)["weights"] for name in ("one", "two"))
    for name, tensor in one.items():
        assert torch.allclose(tensor, two[name], atol=1e-6), name
    assert AccelerateProcesses().count == 1
