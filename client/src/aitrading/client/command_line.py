"""What every command of the client shares: where its home is, how it refuses, how it prints."""

import json
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Final, ParamSpec

import click

from aitrading.core.kit.errors import AitradingError, Category

EXIT_NO: Final = 1
EXIT_UNAVAILABLE: Final = 3
HOME_VARIABLE: Final = "AITRADING_CLIENT_HOME"
DEFAULT_HOME: Final = Path("~/.aitrading-client")

P = ParamSpec("P")


def told(command: Callable[P, None]) -> Callable[P, None]:
    """Tell a refusal to a person, never as a traceback."""

    @wraps(command)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except AitradingError as exc:
            explain(exc, as_json=bool(kwargs.get("as_json")))
            retryable = exc.spec.category is Category.RETRYABLE
            sys.exit(EXIT_UNAVAILABLE if retryable else EXIT_NO)

    return wrapper


home_option = click.option(
    "--home",
    type=click.Path(file_okay=False, path_type=Path),
    envvar=HOME_VARIABLE,
    default=DEFAULT_HOME,
    show_default=True,
    help="Folder of this client: identity, unsent ticks, settings.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def show(answer: Any, *, as_json: bool) -> None:
    """Data on standard output."""
    if as_json:
        click.echo(json.dumps(answer, indent=2))
    else:
        for name, value in answer.items():
            click.echo(f"{name.replace('_', ' '):<18} {value}")


def explain(exc: AitradingError, *, as_json: bool) -> None:
    """A refusal: what, why, what to do."""
    if as_json:
        body = {"code": exc.code, "message": exc.message, "remedy": exc.spec.remedy}
        click.echo(json.dumps({"error": body}, indent=2))
    click.echo(f"{exc.message}\n  why:    {exc.spec.why}\n  remedy: {exc.spec.remedy}", err=True)
    click.echo(f"  code:   {exc.code}", err=True)
