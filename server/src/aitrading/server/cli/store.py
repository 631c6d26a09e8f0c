"""`aitrading store`: the records of the relational store, page by page."""

from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import click
import msgspec

from aitrading.server.cli.home_option import home_option
from aitrading.server.cli.host import Host
from aitrading.server.cli.output import json_option, printable, show_json, show_table

DATABASE: Final = "database-service"


class Column(msgspec.Struct):
    """One column."""

    name: str
    type: str


class Kind(msgspec.Struct):
    """One kind of record."""

    name: str
    meaning: str
    operators_only: bool
    columns: list[Column]


class Kinds(msgspec.Struct):
    """Every kind."""

    items: list[Kind]


class Records(msgspec.Struct):
    """One page."""

    columns: list[str]
    items: list[dict[str, Any]]
    next_cursor: str | None = None


@click.group()
def store() -> None:
    """Records of people, devices, streams, errors, backups, …: read them."""


@store.command("list")
@json_option
@home_option
def list_kinds(*, as_json: bool, home: Path) -> None:
    """List the kinds of records with their columns."""
    found = Host(home).get("store", Kinds, peer=DATABASE).items
    if as_json:
        show_json(found)
        return
    rows = [
        (
            each.name,
            "installation" if each.operators_only else "organisation",
            each.meaning,
            ", ".join(column.name for column in each.columns),
        )
        for each in found
    ]
    show_table(("records", "of the", "meaning", "columns"), rows)


@store.command()
@click.argument("kind")
@click.option("--tenant", help="The organisation, by name or id; without it the platform's own.")
@click.option("--where", default="", help="Values of columns: state:active,role:owner.")
@click.option(
    "--limit", type=click.IntRange(1, 500), default=50, show_default=True, help="How many."
)
@click.option("--cursor", default="", help="Where the page before ended.")
@json_option
@home_option
def show(
    *,
    kind: str,
    tenant: str | None,
    where: str,
    limit: int,
    cursor: str,
    as_json: bool,
    home: Path,
) -> None:
    """Show records of KIND, one page of them."""
    query = {"limit": str(limit), "where": where, "cursor": cursor}
    if tenant is not None:
        query["tenant"] = tenant
    page = Host(home).get(f"store/{quote(kind, safe='')}", Records, peer=DATABASE, **query)
    if as_json:
        show_json(page)
        return
    rows = [[_cell(each[name]) for name in page.columns] for each in page.items]
    show_table(page.columns, rows)
    if page.next_cursor is not None:
        click.echo(f"More follow: --cursor {page.next_cursor}", err=True)


def _cell(value: Any) -> object:
    if isinstance(value, str | int | float | bool) or value is None:
        return printable(str(value)) if isinstance(value, str) else value
    return printable(msgspec.json.encode(value).decode())
