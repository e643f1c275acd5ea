"""Private names of other packages stand in one module each, which says the versions it fits."""

import ast
import importlib
import re
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("stream", "perception", "retrieval", "reasoning", "devices", "foveal")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
COMPAT = [path for path in SOURCES if path.stem.endswith("_compat")]
WRITTEN_FOR: dict[str, tuple[Path, str, str]] = {
    name: (path.relative_to(ROOT), *bounds)
    for path in COMPAT
    for name, bounds in importlib.import_module(
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
    ).WRITTEN_FOR.items()
}


def numbers(text: str) -> tuple[int, ...]:
    """1.16.0rc1 -> (1, 16, 0)."""
    return tuple(int(re.match(r"\d*", part)[0] or 0) for part in text.split("."))  # type: ignore[index]


def trouble(name: str, installed: str) -> str | None:
    """What to do when that version is none that the compatibility module was written for."""
    path, low, high = WRITTEN_FOR[name]
    if numbers(low) <= numbers(installed) < numbers(high):
        return None
    return (
        f"{path} was written for {name} >={low},<{high}; {installed} is installed. Install one of "
        f"those; or look whether the private names in {path} still are what they were, run the "
        f"tests of {path.parent}/, and raise WRITTEN_FOR there and the bound in pyproject.toml"
    )


@pytest.mark.parametrize("name", sorted(WRITTEN_FOR))
def test_what_is_installed_is_what_the_private_names_were_taken_from(name: str) -> None:
    problem = trouble(name, version(name))
    assert problem is None, problem


@pytest.mark.parametrize("name", sorted(WRITTEN_FOR))
def test_installation_keeps_to_the_same_versions(name: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    _, low, high = WRITTEN_FOR[name]
    assert f"{name}>={low},<{high}" in project["dependencies"]


def test_another_version_is_told_with_what_to_do() -> None:
    assert {"aioice", "aiomqtt", "aiortc", "torch", "transformers"} <= set(WRITTEN_FOR)
    assert trouble("aiortc", "1.16.3") is None
    for installed in ("1.15.9", "1.17.0", "2.0"):
        told = trouble("aiortc", installed)
        assert told is not None and f"written for aiortc >=1.16,<1.17; {installed} is" in told
        assert "devices/webrtc/aiortc_compat.py" in told and "pyproject.toml" in told


def private_names(path: Path) -> list[str]:
    """Private names in a module that it does not make itself, and that are not the language's."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    own = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    accesses = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    of_self = {
        node.attr
        for node in accesses
        if isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
    }
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno} .{node.attr}"
        for node in accesses
        if re.match(r"_[a-zA-Z]", node.attr)
        and node.attr not in own | of_self
        and not (isinstance(node.value, ast.Name) and node.value.id in sys.stdlib_module_names)
    ]
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("getattr", "hasattr"):
            name = node.args[1]
            if isinstance(name, ast.Constant) and re.match(r"_[a-zA-Z]", str(name.value)):
                found.append(f"{path.relative_to(ROOT)}:{node.lineno} {name.value!r}")
        if isinstance(node, ast.ImportFrom) and node.module != "__future__":
            private = [one.name for one in node.names if re.match(r"_[a-zA-Z]", one.name)]
            found += [f"{path.relative_to(ROOT)}:{node.lineno} {one}" for one in private]
        if isinstance(node, ast.Constant) and re.match(r"_[A-Z]\w*[a-z]__\w+$", str(node.value)):
            found.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.value!r}")
    return found


def test_no_other_module_touches_a_private_name() -> None:
    assert all(private_names(path) for path in COMPAT)  # the search finds them
    assert not [one for path in SOURCES if path not in COMPAT for one in private_names(path)]
