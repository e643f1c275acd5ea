"""One module per sub-command, each with `add_parser(subparsers)` and a `run(args) -> int`."""
