"""`foveal config`: show what is in force, check a file."""

import argparse
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from foveal.config.schema import Config

HELP = "show settings, check a settings file"
EPILOG = """examples:
  foveal config show                      # the defaults: the embedded profile
  foveal config show edge
  foveal config show mine.yaml --json
  foveal config check mine.yaml

A file holds only what differs: sections as in `foveal config show`, and `profile: NAME` if it
starts from another profile than embedded. Profiles: embedded, laptop, edge, server, replay.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Of the sub-command."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    show = actions.add_parser("show", help="print every setting in force")
    show.add_argument("what", nargs="?", default="embedded", metavar="PROFILE|FILE")
    check = actions.add_parser("check", help="check a file; 0 when it may be used")
    check.add_argument("what", metavar="FILE")
    for action in (show, check):
        action.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """0 when the settings are good."""
    from foveal.config.load import load_config

    config = load_config(args.what)
    if args.action == "show":
        return _show(config, args.json)
    return _check(config, args.what, args.json)


def _show(config: "Config", as_json: bool) -> int:
    import yaml

    from foveal.config.load import config_dict

    data = config_dict(config)
    if as_json:
        print(json.dumps(data))
    else:
        print(yaml.safe_dump(data, sort_keys=False, allow_unicode=True), end="")
    return 0


def _check(config: "Config", name: str, as_json: bool) -> int:
    from foveal.config.load import settings
    from foveal.config.schema import Config

    default, changed = settings(Config()), settings(config)
    differs = {key: value for key, value in changed.items() if value != default[key]}
    if as_json:
        print(json.dumps({"ok": True, "differs": differs}))
        return 0
    print(f"{name}: ok; {len(differs)} of {len(changed)} settings differ from the defaults")
    for key, value in differs.items():
        print(f"  {key}: {value} (default {default[key]})")
    return 0
