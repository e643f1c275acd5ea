"""The doctor: facts of this machine, the profile that fits, stages that work, lack or fail."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from foveal.cli import main
from foveal.config.load import load_config, parse_config
from foveal.config.schema import PROFILES
from foveal.doctor import selftest
from foveal.doctor.advice import advise
from foveal.doctor.machine import Gpu, Machine, examine
from foveal.doctor.report import machine_lines
from foveal.doctor.selftest import STAGES, Bench, StageResult, run_stages
from stream.errors import AssetError


@pytest.fixture(scope="module")
def machine() -> Machine:
    return examine()


def test_the_facts_are_this_machines(machine: Machine) -> None:
    assert machine.cores >= 1 and torch.__version__ in machine.torch
    assert {"h264", "vp8", "opus"} <= set(machine.decoders)
    assert machine.hub.startswith("not asked")
    assert len(machine_lines(machine)) == 11 + len(machine.packages)
    assert bool(machine.gpus) == torch.cuda.is_available()


def test_the_hub_is_told_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert examine(online=True).hub.startswith("out of reach: http://127.0.0.1:9")


@pytest.mark.parametrize(
    ("gpu_gb", "memory_gb", "cores", "mps", "profile"),
    [
        (139.0, 128.0, 16, False, "server"),
        (8.2, 32.0, 8, False, "edge"),
        (4.0, 16.0, 8, False, "laptop"),
        (0.0, 16.0, 8, True, "laptop"),
        (0.0, 32.0, 8, False, "laptop"),
        (0.0, 32.0, 2, False, "embedded"),
        (0.0, 4.0, 8, False, "embedded"),
        (2.0, None, 4, False, "embedded"),
    ],
)
def test_the_largest_profile_that_fits_with_its_commands(
    machine: Machine,
    gpu_gb: float,
    memory_gb: float | None,
    cores: int,
    mps: bool,
    profile: str,
) -> None:
    gpus = (Gpu("GPU", gpu_gb, "1"),) if gpu_gb else ()
    one = replace(machine, gpus=gpus, memory_gb=memory_gb, cores=cores, mps=mps)
    advice = advise(one)
    assert advice.profile == profile in PROFILES
    named = profile != "embedded"
    assert [(f"--config {profile}" in command) for command in advice.commands] == [
        named, False, named,
    ]  # fmt: skip


def test_facts_come_as_json_and_no_stage_is_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--no-test", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert set(told) == {"machine", "advice", "stages"} and told["stages"] == []


def outcomes(names: set[str], monkeypatch: pytest.MonkeyPatch, config: str) -> list[StageResult]:
    monkeypatch.setattr(selftest, "STAGES", {n: s for n, s in STAGES.items() if n in names})
    return list(run_stages(load_config(config)))


def test_what_was_never_pulled_is_missing_with_its_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOVEAL_CACHE", str(tmp_path))
    names = {"backbone", "text encoder", "search", "language model", "hearing"}
    for result in outcomes(names, monkeypatch, "embedded"):
        assert result.state == "missing" and "`foveal models pull" in result.told, result


@pytest.mark.assets
def test_models_of_a_profile_are_never_fetched_by_the_doctor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    results = outcomes({"tracker step", "language model", "hearing"}, monkeypatch, "edge")
    for result, name in zip(results, ("EdgeTAM", "Qwen3-VL", "whisper-small"), strict=True):
        assert result.state == "missing" and name in result.told and "--config" in result.told
    assert not list(tmp_path.iterdir())


def test_a_stage_that_breaks_is_told_and_leaves_the_others_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(bench: Bench) -> str:
        raise RuntimeError("no such kernel")

    def damaged(bench: Bench) -> str:
        raise AssetError("expected a whole file")

    stages = {"broken": broken, "damaged": damaged, "keyframes": STAGES["keyframes"]}
    monkeypatch.setattr(selftest, "STAGES", stages)
    results = list(run_stages(parse_config({})))
    assert [result.state for result in results] == ["failed", "failed", "ok"]
    assert results[0].told == "RuntimeError: no such kernel"
    monkeypatch.setattr(selftest, "STAGES", {"broken": broken})
    assert main(["doctor"]) == 1


@pytest.mark.assets
@pytest.mark.usefixtures("models")  # skips with the reason where they are absent
def test_the_stages_of_a_session_work_here(capsys: pytest.CaptureFixture[str]) -> None:
    main(["doctor", "--json"])
    stages = json.loads(capsys.readouterr().out)["stages"]
    assert [stage["name"] for stage in stages] == list(STAGES)
    optional = {"hearing", "speech out", "detector", "small SAM"}
    for stage in stages:
        assert stage["state"] == "ok" or stage["name"] in optional, stage
    told = {stage["name"]: stage["told"] for stage in stages}
    assert told["OCR"] == "COFFEE" and told["decode"].startswith("6")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
@pytest.mark.parametrize("command", ["doctor --config", "replay clip.mp4 --config"])
def test_cuda_without_cuda_is_said_and_is_wrong_usage(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = tmp_path / "mine.yaml"
    settings.write_text("models: {device: cuda}\nhearing: {model: embedded}\n")
    (tmp_path / "clip.mp4").write_bytes(b"")
    words = command.replace("clip.mp4", str(tmp_path / "clip.mp4")).split()
    if words[0] == "replay":
        words = [*words, str(settings), "--ask-audio"]
    else:
        words.append(str(settings))
    assert main(words) == 2
    line = capsys.readouterr().err.strip()
    assert line.startswith("foveal: MissingDeviceError: expected a GPU") and "use auto" in line


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("models: {device: gpu}", "models.device: expected one of auto, cpu, cuda, mps"),
        ("models: {precision: int8}", "models.precision: expected one of auto, float32"),
        ("profile: lapto", "did you mean 'laptop'"),
    ],
)
def test_wrong_names_are_refused_by_key(
    text: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    assert main(["doctor", "--config", str(path)]) == 1
    assert told in capsys.readouterr().err
