"""What a fresh machine installs: pinned versions of all that is declared, with or without pip."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
PINNED = re.compile(r"[a-z0-9-]+==[\w.+!]+( ; [^;@:#]+)?")  # a name, a version, a marker
UNIX_ONLY = {"crypt", "fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"}
needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


def constraints() -> list[str]:
    return (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()


def declared() -> list[Requirement]:
    """Everything of pyproject.toml that `make` or an extra without a compiler may install."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    lists = [
        project["dependencies"],
        *(extras[name] for name in extras.keys() - {"gpu", "sam2", "emem"}),
    ]
    found = [Requirement(text) for lines in lists for text in lines]
    return [one for one in found if one.name != "foveal"]


def test_constraints_are_names_and_versions() -> None:
    assert all(PINNED.fullmatch(line) for line in constraints())


def test_constraints_pin_all_that_is_declared() -> None:
    """Where this fails, run `make constraints`."""
    pinned: dict[str, list[str]] = {}
    for line in constraints():
        name, _, version = line.partition(" ;")[0].partition("==")
        pinned.setdefault(name, []).append(version)
    for one in declared():
        versions = pinned.get(one.name.lower().replace("_", "-"))
        assert versions, f"{one.name} is not in constraints.txt"
        assert all(one.specifier.contains(version) for version in versions), (one, versions)


def test_what_only_unix_has_is_imported_with_a_guard() -> None:
    folders = ("stream", "perception", "retrieval", "reasoning", "devices", "foveal", "benchmarks")
    for path in (path for folder in folders for path in (ROOT / folder).rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        guarded = [node for node in ast.walk(tree) if isinstance(node, ast.Try)]
        safe = {id(one) for node in guarded for part in node.body for one in ast.walk(part)}
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert id(node) in safe or not UNIX_ONLY & set(names), f"{path}: {names}"


def make_environment(folder: Path, programs: Path, python: Path | str) -> int:
    """`make .venv/bin/python` with nothing but those programs on the path; its exit code."""
    shutil.copy(ROOT / "Makefile", folder)
    for name in ("make", "sh", "rm", "test", "touch"):
        place = shutil.which(name)
        assert place is not None
        (programs / name).symlink_to(place)
    command = [str(programs / "make"), f"PYTHON={python}", ".venv/bin/python"]
    env = {**os.environ, "PATH": str(programs)}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    print(done.stdout, done.stderr)
    return done.returncode


@needs_make
def test_without_uv_and_pip_make_says_what_to_install(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    python = programs / "python3"  # as Debian's without python3-venv: it leaves half of one behind
    python.write_text("#!/bin/sh\n: > half; exit 1\n")
    python.chmod(0o755)
    assert make_environment(tmp_path, programs, "python3") == 2
    assert "apt install python3-venv" in capsys.readouterr().out
    assert (tmp_path / "half").exists() and not (tmp_path / ".venv").exists()


@needs_make
def test_with_uv_make_needs_no_pip(tmp_path: Path) -> None:
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    if uv is None:
        pytest.skip("needs uv")
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "uv").symlink_to(uv)
    assert make_environment(tmp_path, programs, sys.executable) == 0
    made = tmp_path / ".venv" / "bin"
    assert (made / "python").exists() and not (made / "pip").exists()
