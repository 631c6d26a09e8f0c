"""`aitrading usage`: what an organisation used, by day, as one bills it."""

from pathlib import Path
from typing import Final

import click
import msgspec

from aitrading.server.cli.administration import tenant_option
from aitrading.server.cli.home_option import home_option
from aitrading.server.cli.host import Host
from aitrading.server.cli.output import json_option, show_json, show_table

DATABASE: Final = "database-service"


class Used(msgspec.Struct, kw_only=True):
    """What was used on a day or in several."""

    ticks: int
    streams: int
    symbols: int
    devices: int
    is_final: bool


class UsedOnDay(Used, kw_only=True):
    """The same of one day."""

    day: str


class Usage(msgspec.Struct, kw_only=True):
    """From a day to another."""

    first_day: str
    last_day: str
    total: Used
    days: list[UsedOnDay]
    ticks_stored: int


@click.command()
@tenant_option
@click.option("--from", "first", help="First day in UTC; default: the first of the last's month.")
@click.option("--to", "last", help="Last day in UTC; default: today.")
@json_option
@home_option
def usage(*, tenant: str, first: str | None, last: str | None, as_json: bool, home: Path) -> None:
    """Show ticks, streams, symbols and devices of an organisation for each day."""
    asked = {"tenant": tenant, "from": first, "to": last}
    given = {name: value for name, value in asked.items() if value is not None}
    found = Host(home).get("usage", Usage, peer=DATABASE, **given)
    if as_json:
        show_json(found)
        return
    rows = [(day.day, *_figures(day)) for day in found.days]
    rows.append(("together", *_figures(found.total)))
    show_table(("day", "ticks", "streams", "symbols", "devices", ""), rows)
    click.echo(f"{found.ticks_stored:,} ticks are stored of all days.", err=True)


def _figures(used: Used) -> tuple[object, ...]:
    return (
        used.ticks,
        used.streams,
        used.symbols,
        used.devices,
        "" if used.is_final else "counting" if used.devices else "nothing counted",
    )
