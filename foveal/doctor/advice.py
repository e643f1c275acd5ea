"""Which profile fits a machine, why, and the commands that bring it up."""

from dataclasses import dataclass

from foveal.config.schema import ProfileName
from foveal.doctor.machine import Machine

SERVER_GB, EDGE_GB, SMALL_GB = 22.0, 7.5, 3.5  # of the largest GPU
LAPTOP_MEMORY_GB, LAPTOP_CORES = 12.0, 4  # without a GPU: half a billion parameters beside the rest


@dataclass(frozen=True, slots=True)
class Advice:
    """The largest profile that fits."""

    profile: ProfileName
    why: str
    commands: tuple[str, ...]


def advise(machine: Machine) -> Advice:
    """By the memory of the largest GPU; without one, by memory and cores."""
    largest = max((gpu.memory_gb for gpu in machine.gpus), default=0.0)
    memory = machine.memory_gb or 0.0
    if largest >= SERVER_GB:
        return _advice("server", f"a GPU of {largest:g} GB holds SAM 2.1-large and eight billion")
    if largest >= EDGE_GB:
        return _advice("edge", f"a GPU of {largest:g} GB holds EdgeTAM and two billion parameters")
    if largest >= SMALL_GB or machine.mps:
        kind = f"a GPU of {largest:g} GB" if largest else "an Apple GPU"
        return _advice("laptop", f"{kind} holds EdgeTAM and half a billion parameters")
    if memory >= LAPTOP_MEMORY_GB and machine.cores >= LAPTOP_CORES:
        why = f"no GPU, but {machine.cores} cores and {memory:g} GB of memory; answers are slow"
        return _advice("laptop", why)
    why = f"no GPU, {machine.cores} cores and {memory:g} GB of memory"
    return _advice("embedded", why)


def _advice(profile: ProfileName, why: str) -> Advice:
    settings = "" if profile == "embedded" else f" --config {profile}"
    pull, serve = f"foveal models pull{settings}", f"foveal serve{settings}"
    return Advice(profile, why, (pull, "foveal index build --if-missing", serve))
