"""Settings: defaults, profiles, and what is refused."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from foveal.cli import main
from foveal.config.load import config_dict, load_config, parse_config, settings
from foveal.config.schema import PROFILES, Config, ProfileName, SessionConfig
from stream.errors import ConfigError


def _bounds(node: dict[str, Any], named: dict[str, Any], key: str) -> dict[str, Any]:
    """Least and greatest value of every number that has both, by its key."""
    found: dict[str, Any] = {}
    for name, one in node["properties"].items():
        if "$ref" in one:
            found |= _bounds(named[one["$ref"].rpartition("/")[2]], named, f"{key}{name}.")
        elif "minimum" in one and "maximum" in one:
            found[f"{key}{name}"] = one["minimum"], one["maximum"]
    return found


SCHEMA = TypeAdapter(Config).json_schema()
BOUNDS = _bounds(SCHEMA, SCHEMA["$defs"], "")
CONFIGS = Path(__file__).resolve().parents[3] / "configs"
NUMBERS = {
    key: value
    for key, value in settings(Config()).items()
    if isinstance(value, int | float) and not isinstance(value, bool)
}


def _nested(key: str, value: object) -> dict[str, Any]:
    head, _, rest = key.partition(".")
    return {head: _nested(rest, value) if rest else value}


def test_the_defaults_are_the_embedded_profile() -> None:
    assert load_config() == load_config("embedded") == parse_config({}) == Config()


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_the_files_in_configs_say_what_the_profiles_say(name: str) -> None:
    path = CONFIGS / f"{name}.yaml"
    written = yaml.safe_load(path.read_text())
    assert written.pop("profile") == name
    assert parse_config(written) == load_config(name) == load_config(path)


def test_every_profile_has_a_file_and_a_name() -> None:
    assert {path.stem for path in CONFIGS.glob("*.yaml")} == set(PROFILES)
    assert set(get_args(ProfileName)) == set(PROFILES)


def test_every_number_has_bounds_that_hold_its_default() -> None:
    assert set(NUMBERS) == set(BOUNDS)
    for key, value in NUMBERS.items():
        assert BOUNDS[key][0] <= value <= BOUNDS[key][1], key


@pytest.mark.parametrize("key", sorted(NUMBERS))
def test_numbers_out_of_bounds_are_refused_by_key(key: str) -> None:
    low, high = BOUNDS[key]
    wrong: list[object] = [low - 1, high + 1, "7", True, None, [1], float("nan"), float("inf")]
    for value in wrong:
        with pytest.raises(ConfigError, match=f"^{key}: expected"):
            parse_config(_nested(key, value))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"sesion": {}}, "sesion: no such setting; did you mean 'session'"),
        ({"session": {"max_track": 3}}, "session.max_track: .*did you mean 'max_tracks'"),
        ({"session": {"zzz": 3}}, "session.zzz: no such setting; known in session: max_tracks"),
        ({"session": 3}, "session: expected a mapping of settings, got int 3"),
        ({"session": None}, "session: expected a mapping"),
        ({"keyframes": {"scene": {"priro": 1}}}, "keyframes.scene.priro: .*'prior'"),
        ({"keyframes": {"scene": {"floor": 0.9}}}, "keyframes.scene: expected 0 < floor"),
        ({"keyframes": {"min_gap_ns": 20_000_000_000}}, "keyframes: expected 0 < min_gap_ns"),
        ({"session": {"seed_tracks": 1}}, "session.seed_tracks: expected true or false"),
        ({"session": {"max_tracks": 17}}, "at most tracker.max_tracks"),
        ({"reasoning": {"decode": {"k": 2.5}}}, "decode.k: expected a whole number, got float 2.5"),
        (
            {"reasoning": {"policy": {"sight_gate": "1e-3"}}},
            r"sight_gate: expected a number \(1.0e-3",
        ),
        ({"speech": {"backend": "espaek"}}, "speech.backend: .*did you mean 'espeak'"),
        ({"speech": {"backend": "piper"}}, "expected one of hibari, espeak, none, got 'piper'"),
        ({"speech": {"backend": ["hibari"]}}, "speech.backend: expected one of"),
        ({"index": {"path": 3}}, "index.path: expected a path"),
        ({"index": {"path": " "}}, "index.path: expected a path"),
        ({"models": {"backbone_height": 257}}, "models: expected .*multiple of 32"),
        ({"profile": "egde"}, "profile: .*did you mean 'edge'"),
        ({"profile": ["edge"]}, "profile: expected one of"),
        ({3: 4}, "3: no such setting"),
    ],
)
def test_bad_settings_are_refused_by_key(data: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_config(data)


def test_all_wrong_keys_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config({"session": {"max_tracks": -1}, "speech": {"backend": 3}, "indx": {}})
    assert [line.partition(":")[0] for line in str(caught.value).splitlines()] == [
        "session.max_tracks",
        "speech.backend",
        "indx",
    ]


def test_a_file_is_laid_over_the_profile_that_it_names(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("profile: server\nsession:\n  seed_tracks: false\nindex:\n  path: ~/notes\n")
    config = load_config(path)
    assert config.session == SessionConfig(max_tracks=16, seed_tracks=False)
    assert config.index.path == Path.home() / "notes"
    assert config.reasoning == load_config("server").reasoning


def test_sections_that_depend_on_each_other_are_judged_together() -> None:
    config = parse_config({"session": {"max_tracks": 40}, "tracker": {"max_tracks": 40}})
    assert config.session.max_tracks == 40


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"session: [", "readable YAML"),
        (b"- a\n- b\n", "expected a mapping of settings, got list"),
        (b"\xff\xfe\x00", "readable YAML"),
        (b"session:\n  max_tracks: 2\n  max_tracks: 3\n", r"max_tracks: given twice \(line 3\)"),
        (b"session: !!python/object/apply:os.system ['true']\n", "readable YAML"),
        (b"[" * 5000, "readable YAML"),
        (b"a: 2020-99-99\n", "readable YAML|no such setting"),
        (b"#" * (1 << 21), "at most"),
    ],
)
def test_bad_files_are_refused_with_their_name(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=message) as caught:
        load_config(path)
    assert str(caught.value).startswith(str(path))


def test_an_empty_file_is_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "empty.yaml"
    path.write_text("# nothing\n")
    assert load_config(path) == Config()


def test_neither_a_profile_nor_a_file() -> None:
    with pytest.raises(ConfigError, match="did you mean 'server'"):
        load_config("sever")


@given(st.text(max_size=300))
def test_any_text_is_a_config_or_refused(text: str) -> None:
    try:
        data = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        return
    try:
        assert isinstance(parse_config(data if isinstance(data, dict) else {}), Config)
    except ConfigError as error:
        assert str(error)


def test_what_is_shown_can_be_read_back(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for name in PROFILES:
        assert main(["config", "show", name]) == 0
        path = tmp_path / f"{name}.yaml"
        path.write_text(capsys.readouterr().out)
        assert load_config(path) == load_config(name)
        assert main(["config", "show", str(path), "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == config_dict(load_config(name))


def test_check_says_what_differs(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("models:\n  backbone_height: 320\n")
    assert main(["config", "check", str(path)]) == 0
    assert "models.backbone_height: 320 (default 256)" in capsys.readouterr().out
    assert main(["config", "check", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "ok": True,
        "differs": {"models.backbone_height": 320},
    }
    path.write_text("speech:\n  backend_: none\n")
    assert main(["config", "check", str(path)]) == 1
    assert "did you mean 'backend'" in capsys.readouterr().err
    assert main(["config", "check", str(tmp_path / "none.yaml")]) == 1


def test_contradictions_are_refused_in_code_too() -> None:
    config = Config()
    with pytest.raises(ConfigError, match=r"tracker\.max_tracks"):
        replace(config, session=SessionConfig(max_tracks=config.tracker.max_tracks + 1))


def test_settings_are_read_without_the_models_libraries() -> None:
    """Importing torch takes seconds, which `foveal config` has no use for."""
    code = "import sys, foveal.config.load; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
