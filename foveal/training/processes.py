"""Several processes that train one model: one a GPU, or a few on a processor, through accelerate.

`accelerate launch --num_processes 2 -m foveal.cli train stage1 …` starts them. They share out the
parts of a step (`gradient_accumulation`) and sum their gradients, so what is learnt does not depend
on how many there are.
"""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor


class AccelerateProcesses:
    """The processes that `accelerate launch` started; alone without it."""

    def __init__(self, accelerator: Any = None) -> None:
        self._accelerator: Any = accelerator or Accelerator()
        self.rank = int(self._accelerator.process_index)
        self.count = int(self._accelerator.num_processes)

    @property
    def device(self) -> torch.device:
        """Where this process computes."""
        found: torch.device = self._accelerator.device
        return found

    def total(self, gradients: Sequence[Tensor]) -> Sequence[Tensor]:
        """Each gradient summed over the processes: one exchange for all of them."""
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        summed: Tensor = self._accelerator.reduce(flat, reduction="sum")
        ends = accumulate(gradient.numel() for gradient in gradients)
        return [
            summed[end - own.numel() : end].view_as(own)
            for end, own in zip(ends, gradients, strict=True)
        ]

    def everyone(self, terms: Mapping[str, float]) -> Sequence[Mapping[str, float]]:
        """What every process has, by rank."""
        found: list[Mapping[str, float]] = gather_object([dict(terms)])
        return found

    def wait(self) -> None:
        """Until all are here."""
        self._accelerator.wait_for_everyone()
