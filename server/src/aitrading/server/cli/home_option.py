"""The option every command of the host has in common."""

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from aitrading.server.supervisor.errors import HOME_NOT_USABLE


def home_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--home`, which defaults to AITRADING_HOME and then to `./var`."""
    return click.option(
        "--home",
        type=click.Path(path_type=Path),
        envvar="AITRADING_HOME",
        callback=_readable,
        default=Path("var"),
        show_default="./var",
        help="The folder with everything of one installation (AITRADING_HOME).",
    )(command)


def _readable(_ctx: click.Context, _option: click.Parameter, home: Path) -> Path:
    """A folder, or nothing yet; raises HOME_NOT_USABLE rather than show a wrong home as empty."""
    try:
        is_folder = stat.S_ISDIR(home.stat().st_mode)
    except FileNotFoundError:
        return home
    except OSError as exc:
        raise HOME_NOT_USABLE.error(home=str(home), reason=exc.strerror or str(exc)) from exc
    if not is_folder:
        raise HOME_NOT_USABLE.error(home=str(home), reason="it is not a folder")
    if not os.access(home, os.R_OK | os.X_OK):
        raise HOME_NOT_USABLE.error(home=str(home), reason="you may not read it")
    return home
