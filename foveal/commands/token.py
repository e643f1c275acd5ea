"""`foveal token`: who may connect to `foveal serve`."""

import argparse
import json
from pathlib import Path

from foveal.examples import examples
from foveal.server.auth.scopes import DEFAULT_SCOPES, SCOPES

HELP = "make, list and revoke the tokens of `foveal serve`"
EPILOG = """examples:
  foveal token add glasses --days 30
  foveal token add dashboard --scope view --scope ask
  foveal token list
  foveal token revoke glasses
  foveal serve --tokens ~/.config/foveal/tokens.json --host 0.0.0.0 --self-signed

A token is shown once, when it is made; the file keeps its SHA-256 only. A running server follows
the file.
"""
DEFAULT = Path("~/.config/foveal/tokens.json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Of the sub-command."""
    parser.add_argument("--file", type=Path, default=DEFAULT, help=f"default {DEFAULT}")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    add = actions.add_parser("add", help="make a token", **examples(EPILOG, "token add"))
    add.add_argument("name")
    shown = "; ".join(f"{name}: {text}" for name, text in SCOPES.items())
    add.add_argument(
        "--scope",
        action="append",
        choices=list(SCOPES),
        help=f"repeatable, default {' '.join(DEFAULT_SCOPES)}. {shown}",
    )
    add.add_argument("--days", type=float, help="until it expires (default never)")
    listing = actions.add_parser(
        "list", help="names, scopes and expiry", **examples(EPILOG, "token list")
    )
    listing.add_argument("--json", action="store_true")
    revoke = actions.add_parser("revoke", help="forget a token", **examples(EPILOG, "token revoke"))
    revoke.add_argument("name")


def run(args: argparse.Namespace) -> int:
    """Change or show the file."""
    from foveal.server.auth.tokens import DAY_NS, TokenFile, show_time
    from stream.clock import UnixClock
    from stream.errors import ConfigError

    file = TokenFile(args.file.expanduser())
    if args.action == "add":
        if args.days is not None and not 0 < args.days <= 36_500:
            raise ConfigError(f"expected --days above 0 and up to 36500, got {args.days}")
        expires = None if args.days is None else UnixClock().now_ns() + round(args.days * DAY_NS)
        print(file.add(args.name, args.scope or DEFAULT_SCOPES, expires))
        return 0
    if args.action == "revoke":
        file.revoke(args.name)
        return 0
    rows = [
        {
            "name": grant.name,
            "scopes": sorted(grant.scopes or ()),
            "expires": show_time(grant.expires_ns),
        }
        for grant in file.grants()
    ]
    if args.json:
        print(json.dumps(rows))
        return 0
    for row in rows:
        print(f"{row['name']:24} {','.join(row['scopes']):32} {row['expires']}")
    return 0
