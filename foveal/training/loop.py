"""The training loop: AdamW, warm-up and cosine, a CSV of curves, and checkpoints to go on from.

A step's data and dropout are drawn from (seed, step, part), so a run that was killed and goes on
from its checkpoint ends with the same weights as one that was not, and several processes that share
a step's parts out among them end with the weights of one that makes them all.
"""

import csv
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from stream.errors import ConfigError, SourceError

CURVES, CHECKPOINT = "curves.csv", "checkpoint.pt"
Rng = np.random.Generator
StepLosses = Callable[[Rng, int], Mapping[str, Tensor]]  # -> terms, "loss" among them
Evaluate = Callable[[int], Mapping[str, float]]


class ProcessGroup(Protocol):
    """Processes that train one model together (see foveal.training.processes)."""

    rank: int
    count: int

    def total(self, gradients: Sequence[Tensor]) -> Sequence[Tensor]:
        """Each gradient summed over the processes."""

    def everyone(self, terms: Mapping[str, float]) -> Sequence[Mapping[str, float]]:
        """What every process has, by rank."""

    def wait(self) -> None:
        """Until all are here."""


class SingleProcess:
    """One process."""

    rank, count = 0, 1

    def total(self, gradients: Sequence[Tensor]) -> Sequence[Tensor]:
        """Its own."""
        return gradients

    def everyone(self, terms: Mapping[str, float]) -> Sequence[Mapping[str, float]]:
        """Its own."""
        return [terms]

    def wait(self) -> None:
        """Nobody to wait for."""


@dataclass(frozen=True, slots=True)
class LoopConfig:
    """How long and how fast; PixSearch's betas and no weight decay (Table 9)."""

    steps: int = 1000
    learning_rate: float = 2e-4
    warmup_steps: int = 50
    gradient_accumulation: int = 1  # batches (parts) per step, shared out among the processes
    max_grad_norm: float = 1.0
    weight_decay: float = 0.0
    eval_every: int = 200  # steps between evaluations and checkpoints
    seed: int = 0

    def __post_init__(self) -> None:
        if (
            min(self.steps, self.gradient_accumulation, self.eval_every) < 1
            or self.learning_rate <= 0
        ):
            raise ConfigError(
                "expected steps, gradient_accumulation and eval_every of at least 1 and a positive "
                f"learning_rate, got {self.steps}, {self.gradient_accumulation}, "
                f"{self.eval_every}, {self.learning_rate}"
            )


def run_loop(
    modules: nn.Module,
    losses: StepLosses,
    config: LoopConfig,
    folder: Path,
    evaluate: Evaluate | None = None,
    stop_after: int | None = None,
    processes: ProcessGroup | None = None,
    parts: Sequence[str] = (),
) -> int:
    """Train what requires a gradient; goes on from `folder`'s checkpoint. Returns the steps done.

    `stop_after` ends the run early at a step, as a kill would after its checkpoint. Of several
    processes the first one evaluates and writes. `parts` ("lm", "tagger" …) are all that learns
    where they are given. Raises ConfigError when one has nothing to do.
    """
    processes = processes or SingleProcess()
    if config.gradient_accumulation % processes.count:
        raise ConfigError(
            f"expected gradient_accumulation to be a multiple of the {processes.count} processes, "
            f"got {config.gradient_accumulation}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    learning = {
        name: p
        for name, p in modules.named_parameters()
        if p.requires_grad and (not parts or name.split(".")[0] in parts)
    }
    optimiser = torch.optim.AdamW(
        learning.values(), config.learning_rate, betas=(0.9, 0.95), weight_decay=config.weight_decay
    )
    first = _resume(folder, config, learning, optimiser)
    curves = _Curves(folder / CURVES, first)
    modules.train()
    for step in range(first, config.steps):
        terms = _step(learning.values(), optimiser, losses, config, step, processes)
        done = step + 1
        curves.add(terms)
        if done % config.eval_every == 0 or done == config.steps or done == stop_after:
            if processes.rank == 0:
                figures = dict(evaluate(done)) if evaluate is not None else {}
                curves.write(done, figures)
                _save(folder, config, learning, optimiser, done)
                modules.train()
            processes.wait()
        if done == stop_after:
            return done
    return config.steps


def learning_rate_at(config: LoopConfig, step: int) -> float:
    """Linear warm-up, then a cosine down to a twentieth."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    share = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    return config.learning_rate * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * share)))


def step_rng(seed: int, step: int, part: int) -> Rng:
    """The randomness of one batch; torch's is set from it too."""
    rng = np.random.default_rng((seed, step, part))
    torch.manual_seed(int(rng.integers(1 << 62)))
    return rng


def _step(
    parameters: Iterable[nn.Parameter],
    optimiser: torch.optim.Optimizer,
    losses: StepLosses,
    config: LoopConfig,
    step: int,
    processes: ProcessGroup,
) -> dict[str, float]:
    for group in optimiser.param_groups:
        group["lr"] = learning_rate_at(config, step)
    optimiser.zero_grad(set_to_none=True)
    sums: dict[str, float] = {}
    for part in range(processes.rank, config.gradient_accumulation, processes.count):
        terms = losses(step_rng(config.seed, step, part), step)
        torch.autograd.backward(terms["loss"] / config.gradient_accumulation)
        for name, value in terms.items():
            sums[name] = sums.get(name, 0.0) + float(value.detach()) / config.gradient_accumulation
    _share(parameters, processes)
    torch.nn.utils.clip_grad_norm_(list(parameters), config.max_grad_norm)
    optimiser.step()
    return _added(processes.everyone(sums))


def _share(parameters: Iterable[nn.Parameter], processes: ProcessGroup) -> None:
    """Sum the processes' gradients; a part of the model that none of them used has none."""
    if processes.count == 1:
        return
    learning = list(parameters)
    own = [torch.zeros_like(p) if p.grad is None else p.grad for p in learning]
    used = torch.tensor([float(p.grad is not None) for p in learning])
    *totals, users = processes.total([*own, used])
    for parameter, total, count in zip(learning, totals, users.tolist(), strict=True):
        parameter.grad = total if count else None


def _added(parts: Iterable[Mapping[str, float]]) -> dict[str, float]:
    sums: dict[str, float] = {}
    for terms in parts:
        for name, value in terms.items():
            sums[name] = sums.get(name, 0.0) + value
    return sums


def _save(
    folder: Path,
    config: LoopConfig,
    learning: Mapping[str, nn.Parameter],
    optimiser: torch.optim.Optimizer,
    done: int,
) -> None:
    state = {
        "step": done,
        "config": asdict(config),
        "weights": {name: p.detach() for name, p in learning.items()},
        "optimiser": optimiser.state_dict(),
    }
    part = folder / f"{CHECKPOINT}.part"
    torch.save(state, part)
    part.replace(folder / CHECKPOINT)  # a kill while writing leaves the last one whole


def _resume(
    folder: Path,
    config: LoopConfig,
    learning: Mapping[str, nn.Parameter],
    optimiser: torch.optim.Optimizer,
) -> int:
    path = folder / CHECKPOINT
    if not path.is_file():
        return 0
    state: dict[str, Any] = torch.load(path, weights_only=True)
    if state["config"] != asdict(config) or set(state["weights"]) != set(learning):
        raise SourceError(
            f"expected {path} to be of this configuration and model, got another one; "
            "give another folder or remove it"
        )
    with torch.no_grad():
        for name, parameter in learning.items():
            parameter.copy_(state["weights"][name])
    optimiser.load_state_dict(state["optimiser"])
    return int(state["step"])


class _Curves:
    """Means of the terms between evaluations, as rows of a CSV."""

    def __init__(self, path: Path, first: int) -> None:
        self._path = path
        self._rows = _rows_until(path, first)
        self._sums: dict[str, float] = {}
        self._count = 0

    def add(self, terms: Mapping[str, float]) -> None:
        for name, value in terms.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._count += 1

    def write(self, step: int, figures: Mapping[str, float]) -> None:
        means = {name: total / self._count for name, total in self._sums.items()}
        row = {"step": step, **means, **figures}
        self._rows.append({name: f"{value:.6g}" for name, value in row.items()})
        self._sums, self._count = {}, 0
        names = list(dict.fromkeys(name for row in self._rows for name in row))
        with self._path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(self._rows)
        print(" ".join(f"{name}={value}" for name, value in self._rows[-1].items()), flush=True)


def _rows_until(path: Path, step: int) -> list[dict[str, str]]:
    if not step or not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        rows: Sequence[dict[str, str]] = list(csv.DictReader(file))
    return [{k: v for k, v in row.items() if v} for row in rows if int(row["step"]) <= step]
