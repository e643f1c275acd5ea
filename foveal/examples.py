"""The examples of one action out of its command's."""

from argparse import RawDescriptionHelpFormatter
from typing import Any


def examples(epilog: str, action: str) -> dict[str, Any]:
    """What `add_parser` needs to show a command's examples of one action, such as "index build".

    `epilog`: the command's; a line that ends in a backslash goes on in the next.
    """
    found, wanted = list[str](), False
    for line in epilog.splitlines():
        goes_on = bool(found) and wanted and found[-1].endswith("\\")
        wanted = goes_on or f"{line.strip()} ".startswith(f"foveal {action} ")
        if wanted:
            found.append(line)
    if not found:
        return {}
    text = "\n".join(["examples:", *found])
    return {"epilog": text, "formatter_class": RawDescriptionHelpFormatter}
