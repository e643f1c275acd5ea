"""Each action's help shows its own examples."""

import pytest

from foveal.cli import build_parser
from foveal.examples import examples

EPILOG = """examples:
  foveal thing make --out a \\
      --from b
  foveal thing makes nothing
  foveal thing show
Words.
"""


def test_an_action_has_its_own_lines_whole() -> None:
    assert examples(EPILOG, "thing make")["epilog"] == (
        "examples:\n  foveal thing make --out a \\\n      --from b"
    )
    assert examples(EPILOG, "thing hide") == {}


@pytest.mark.parametrize("action", ["index build", "token add", "data build", "train stage1"])
def test_help_shows_how(action: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        build_parser().parse_args([*action.split(), "--help"])
    assert f"examples:\n  foveal {action}" in capsys.readouterr().out
