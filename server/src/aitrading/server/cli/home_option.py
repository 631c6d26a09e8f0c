"""The option every command of the host has in common."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click


def home_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--home`, which defaults to AITRADING_HOME and then to `./var`."""
    return click.option(
        "--home",
        type=click.Path(path_type=Path),
        envvar="AITRADING_HOME",
        default=Path("var"),
        show_default="./var",
        help="The folder with everything of one installation (AITRADING_HOME).",
    )(command)
