"""The doctor's findings as text."""

from foveal.doctor.advice import Advice
from foveal.doctor.machine import PACKAGES, Machine
from foveal.doctor.selftest import StageResult


def machine_lines(machine: Machine) -> list[str]:
    """One fact a line."""
    gpus = [f"{gpu.name}, {gpu.memory_gb:g} GB, driver {gpu.driver}" for gpu in machine.gpus]
    memory = "unknown" if machine.memory_gb is None else f"{machine.memory_gb:g} GB"
    half = "" if machine.bfloat16 else "not "
    missing = ", ".join(machine.missing_assets)
    return [
        f"system      {machine.system}",
        f"processor   {machine.cpu}, {machine.cores} cores, bfloat16 {half}multiplied",
        f"memory      {memory}",
        f"gpu         {'; '.join(gpus) or ('Apple GPU (mps)' if machine.mps else 'none')}",
        f"torch       {machine.torch}",
        f"onnx        {', '.join(machine.onnx_providers)}",
        f"codecs      {', '.join(machine.decoders)}; FFmpeg built for {_listed(machine)}",
        *(f"package     {_package(what, found)}" for what, found in machine.packages.items()),
        f"assets      {f'missing: {missing}' if missing else 'all here'} ({machine.cache})",
        f"index       {'here' if machine.index else 'missing: `foveal index build`'}",
        f"disk        {machine.free_gb:g} GB free",
        f"hub         {machine.hub}",
    ]


def advice_lines(advice: Advice) -> list[str]:
    """The profile and its commands."""
    return [f"fits        {advice.profile}: {advice.why}", *(f"    {c}" for c in advice.commands)]


def stage_line(result: StageResult) -> str:
    """One stage."""
    return f"{result.state:<8}{result.name:<15}{result.seconds:6.2f} s  {result.told}"


def _package(what: str, found: str | None) -> str:
    package, how = PACKAGES[what]
    return f"{package} {found} ({what})" if found else f"{package} absent ({what}): {how}"


def _listed(machine: Machine) -> str:
    return ", ".join(machine.hardware_codecs) or "no hardware codecs"
