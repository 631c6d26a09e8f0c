"""`aitrading alerts` and `aitrading news`: what the installed clients of an organisation told."""

from datetime import datetime
from pathlib import Path
from typing import Final
from uuid import UUID

import click
import msgspec

from aitrading.server.cli.output import json_option, printable, show_json, show_table
from aitrading.server.cli.session import person_option, web_for

ALERTS: Final = "/api/v1/alerts"
NEWS: Final = "/api/v1/news"
_IMPORTANCE: Final = ("", "low", "medium", "high")
_limit = click.option(
    "--limit",
    type=click.IntRange(1, 1_000),
    default=50,
    show_default=True,
    help="How many at most.",
)


class Alert(msgspec.Struct, kw_only=True):
    """A rule that was broken, and until when."""

    id: UUID
    device: UUID
    symbol: str
    rule: str
    what: str
    value: str
    raised_at: datetime
    cleared_at: datetime | None = None
    cleared_value: str | None = None


class Alerts(msgspec.Struct, kw_only=True):
    """The newest first."""

    items: list[Alert] = []


class Piece(msgspec.Struct, kw_only=True):
    """One piece of news, or one entry of an economic calendar."""

    id: UUID
    kind: str
    source: str
    happens_at: datetime
    title: str
    body: str = ""
    url: str = ""
    currency: str = ""
    importance: int = 0
    actual: str = ""
    forecast: str = ""
    previous: str = ""


class Pieces(msgspec.Struct, kw_only=True):
    """The latest first."""

    items: list[Piece] = []


@click.command()
@click.option("--symbol", help="Only this symbol, in the broker's spelling.")
@click.option("--all", "every", is_flag=True, help="Those that ended, too.")
@_limit
@json_option
@person_option
@click.pass_context
def alerts(
    ctx: click.Context,
    *,
    symbol: str | None,
    every: bool,
    limit: int,
    as_json: bool,
    person: str | None,
    home: Path,
) -> None:
    """List alerts about prices; exit code 1 when there are any that have not ended."""
    query = {"open": "false" if every else "true", "limit": str(limit)}
    if symbol is not None:
        query["symbol"] = symbol
    found = web_for(home, person).get(ALERTS, Alerts, **query).items
    if as_json:
        show_json(found)
    else:
        rows = [
            (
                _moment(one.raised_at), one.symbol, printable(one.rule), one.value,
                _moment(one.cleared_at) if one.cleared_at else "OPEN",
            )
            for one in found
        ]  # fmt: skip
        show_table(("since", "symbol", "rule", "value", "ended"), rows)
    ctx.exit(1 if any(one.cleared_at is None for one in found) else 0)


@click.command()
@click.option("--kind", type=click.Choice(["news", "economic_calendar"]), help="Only this kind.")
@click.option("--currency", help="Only what concerns this currency, for example USD.")
@_limit
@json_option
@person_option
def news(
    *,
    kind: str | None,
    currency: str | None,
    limit: int,
    as_json: bool,
    person: str | None,
    home: Path,
) -> None:
    """List news and the economic calendar that the clients collected, the latest first."""
    query = {"limit": str(limit)}
    if kind is not None:
        query["kind"] = kind
    if currency is not None:
        query["currency"] = currency
    found = web_for(home, person).get(NEWS, Pieces, **query).items
    if as_json:
        show_json(found)
        return
    rows = [
        (
            _moment(one.happens_at), one.currency, _IMPORTANCE[one.importance],
            printable(one.title), printable(one.actual), printable(one.forecast),
            printable(one.source),
        )
        for one in found
    ]  # fmt: skip
    show_table(("when", "for", "weight", "what", "actual", "forecast", "source"), rows)


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}Z"
