"""`aitrading errors`: what a code means and what to do; what happened, and what is like it."""

import difflib
from pathlib import Path
from typing import Final

import click
import msgspec

from aitrading.server.cli.errors import CODE_NOT_KNOWN
from aitrading.server.cli.known_errors import recent, resolve, show_similar
from aitrading.server.cli.output import json_option, show_json, show_table
from aitrading.server.cli.session import person_option

CATALOGUE: Final = Path(__file__).parent / "error_codes.json"
"""Written by `make docs` from every declared error, so that a look-up imports nothing."""


class ErrorEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One code as people need it."""

    code: str
    category: str
    severity: str
    impact: str
    http_status: int
    origin: str
    message: str
    why: str
    remedy: str


def catalogue() -> dict[str, ErrorEntry]:
    """Every code of this release."""
    entries = msgspec.json.decode(CATALOGUE.read_bytes(), type=list[ErrorEntry])
    return {entry.code: entry for entry in entries}


@click.group()
def errors() -> None:
    """Error codes: meaning, cause, remedy."""


@errors.command()
@click.argument("code")
@click.option("--similar", is_flag=True, help="Find earlier errors like it that happened here.")
@json_option
@person_option
def lookup(*, code: str, similar: bool, as_json: bool, person: str | None, home: Path) -> None:
    """Tell what CODE means and what to do.

    With --similar, CODE may also be a fingerprint or the text of a message; without --for, the
    platform's own errors are searched.
    """
    if similar:
        show_similar(home, person, code, as_json=as_json)
        return
    known, wanted = catalogue(), code.strip().upper()
    entry = known.get(wanted)
    if entry is None:
        raise CODE_NOT_KNOWN.error(wanted=wanted, suggestion=_suggestion(wanted, known))
    if as_json:
        show_json(entry)
        return
    click.echo(click.style(entry.code, bold=True))
    for name, text in (
        ("What happened", entry.message),
        ("Why", entry.why),
        ("What to do", entry.remedy),
        ("Kind", f"{entry.category}, {entry.severity}, HTTP {entry.http_status}"),
        ("Impact", entry.impact),
        ("From", entry.origin),
    ):
        click.echo(f"  {name:<14}{text}")


@errors.command("list")
@json_option
def list_codes(*, as_json: bool) -> None:
    """List every code."""
    known = catalogue()
    if as_json:
        show_json(list(known.values()))
    else:
        rows = [
            (entry.code, entry.category, entry.origin, entry.message) for entry in known.values()
        ]
        show_table(("code", "category", "from", "what happened"), rows)


errors.add_command(recent)
errors.add_command(resolve)


def _suggestion(wanted: str, known: dict[str, ErrorEntry]) -> str:
    close = difflib.get_close_matches(wanted, known, n=1)
    return f"; did you mean {close[0]}?" if close else "."
