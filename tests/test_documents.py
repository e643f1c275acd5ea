"""What the documents name is there: files, modules, links and the names said to be in them."""

import re
from pathlib import Path
from typing import get_args

import pytest

from foveal.config.load import settings
from foveal.config.schema import Config
from stream.extensions import Group

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(path for path in (ROOT / "docs").glob("*.md") if not path.name.startswith("log")),
]
PACKAGES = "stream|perception|retrieval|reasoning|devices|foveal|benchmarks|tests|configs|examples"
FILE = re.compile(rf"(?<![\w/.-])((?:{PACKAGES})/[\w/.-]*\w\.(?:py|yaml|md|safetensors|css|js))\b")
MODULE = re.compile(r"`((?:stream|perception|retrieval|reasoning|devices|foveal)(?:\.\w+)+)")
BENCHMARK = re.compile(r"python -m (benchmarks\.\w+|foveal(?:\.\w+)+)")
LINK = re.compile(r"\]\((?!https?:|#)([\w./-]+)\)")
NO_MODULES = {"benchmarks.NAME", "foveal.v1", "foveal.run"}  # a form, a protocol, a method
NAMED = re.compile(r"`([\w/]+\.py)` `(\w+)(?:\.(\w+))?`")
SETTINGS = {
    ".".join(key.split(".")[:length]) for key in settings(Config()) for length in (1, 2, 3, 4)
}
GROUPS = {f"foveal.{group}" for group in get_args(Group)}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_what_a_document_names_is_there(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    absent = [name for name in FILE.findall(text) if not (ROOT / name).is_file()]
    absent += [link for link in LINK.findall(text) if not (path.parent / link).exists()]
    absent += [name for name in MODULE.findall(text) + BENCHMARK.findall(text) if not _is(name)]
    for file, name, member in NAMED.findall(text):
        code = (ROOT / file).read_text(encoding="utf-8") if (ROOT / file).is_file() else ""
        for one in (name, member):
            if one and not re.search(rf"(?:class|def) {one}\b|^{one}\b", code, re.MULTILINE):
                absent.append(f"{file} {one}")
    assert not absent, f"{path.name} names what is not there: {sorted(set(absent))}"


def _is(dotted: str) -> bool:
    """Whether a dotted name is a module, something that one defines, a setting or a group."""
    if dotted in NO_MODULES or dotted in SETTINGS or dotted in GROUPS:
        return True
    parts = dotted.split(".")
    for length in range(len(parts), 0, -1):
        home = ROOT.joinpath(*parts[:length])
        file = (
            home.with_suffix(".py") if home.with_suffix(".py").is_file() else home / "__init__.py"
        )
        if not file.is_file():
            continue
        rest = parts[length:]
        return not rest or bool(re.search(rf"\b{rest[0]}\b", file.read_text(encoding="utf-8")))
    return False
