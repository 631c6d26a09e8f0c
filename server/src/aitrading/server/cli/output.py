"""What every command says: data on stdout (a table, or JSON), everything else on stderr."""

import re
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NoReturn

import click
import msgspec

from aitrading.core.kit.errors import AitradingError, Category
from aitrading.server.cli.errors import ARGUMENT_NOT_TEXT, CLI_FAILED

ANSWER_IS_NO: Final = 1
USAGE: Final = 2
UNAVAILABLE: Final = 3

_GOOD: Final = frozenset({"HEALTHY", "LIVE", "CLOSED", "OK", "active", "ENABLED"})
_MIDDLE: Final = frozenset(
    {"DEGRADED", "DELAYED", "STALE", "HALTED", "STARTING", "STOPPING", "HALF_OPEN", "BUSY"}
)
_BAD: Final = frozenset({"FAILED", "DEAD", "OPEN", "UNKNOWN", "revoked", "suspended"})

_ESCAPES: Final = {
    code: chr(code).encode("unicode_escape").decode()
    for code in (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029)
}

_TRACE_ID: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)

Command = Callable[..., Any]


def json_option(command: Command) -> Command:
    """Add `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")(command)


def show_json(data: object) -> None:
    """Print data for a program."""
    click.echo(msgspec.json.format(msgspec.json.encode(data, enc_hook=str)).decode())


def show_table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print data for a person; numbers stand right, states have a colour as well."""
    cells = [[_text(cell) for cell in row] for row in rows]
    widths = [
        max(len(heading), *(len(row[column]) for row in cells), 0)
        for column, heading in enumerate(headings)
    ]
    click.echo(_line(headings, widths, style=lambda text: click.style(text, dim=True)))
    for row in cells:
        click.echo(_line(row, widths, style=state_style))


def printable(text: str) -> str:
    """Text of strangers as one line that cannot steer a terminal or look like several lines."""
    return text.translate(_ESCAPES)


def state_style(text: str) -> str:
    """Colour a word that is a state; its meaning is in the word."""
    word = text.strip()
    if word in _GOOD:
        return click.style(text, fg="green")
    if word in _BAD:
        return click.style(text, fg="red")
    return click.style(text, fg="yellow") if word in _MIDDLE else text


def show_error(error: AitradingError, *, as_json: bool) -> None:
    """Say what happened and what to do, on stderr."""
    if as_json:
        shape = {
            "code": error.code,
            "message": error.message,
            "category": error.spec.category.value,
            "fields": error.fields,
            "remedy": error.spec.remedy,
        }
        click.echo(msgspec.json.encode({"error": shape}).decode(), err=True)
        return
    click.echo(click.style(error.message, bold=True), err=True)
    for name, text in (("Why", error.spec.why), ("Remedy", error.spec.remedy)):
        if text:
            click.echo(f"  {name}: {text}", err=True)
    click.echo(f"  Code: {error.code}", err=True)
    trace_id = error.fields.get("trace_id")
    if isinstance(trace_id, str) and _TRACE_ID.fullmatch(trace_id):
        click.echo(f"  What happened: aitrading trace {trace_id}", err=True)


def end_with(exc: Exception, *, as_json: bool) -> NoReturn:
    """Say it and leave; whatever is not a refusal of ours is a defect and says so."""
    error = (
        exc
        if isinstance(exc, AitradingError)
        else CLI_FAILED.error(kind=type(exc).__name__, detail=str(exc))
    )
    show_error(error, as_json=as_json)
    sys.exit(exit_code_of(error))


def refuse_odd_bytes(given: Sequence[str], *, as_json: bool) -> None:
    """Say which of what was given is no text, and leave with the code of wrong usage."""
    for argument in given:
        shown = argument.encode(errors="replace").decode()
        if shown != argument:
            show_error(ARGUMENT_NOT_TEXT.error(given=shown), as_json=as_json)
            sys.exit(USAGE)


def exit_code_of(error: AitradingError) -> int:
    """A refusal is an answer (1); anything else means that nobody could answer (3)."""
    return ANSWER_IS_NO if error.spec.category is Category.DENIED else UNAVAILABLE


def _line(cells: Sequence[str], widths: Sequence[int], *, style: Callable[[str], str]) -> str:
    padded = [
        cell.rjust(width) if _is_number(cell) else cell.ljust(width)
        for cell, width in zip(cells, widths, strict=True)
    ]
    return "  ".join([*map(style, padded[:-1]), style(padded[-1].rstrip())]).rstrip()


def _text(cell: object) -> str:
    return "" if cell is None else str(cell)


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).replace("-", "", 1).isdigit()
