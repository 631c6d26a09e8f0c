"""`aitrading feed`: the quotes and the state of each feed, as risk would see them."""

import time
from pathlib import Path
from typing import Final

import click
import msgspec

from aitrading.server.cli.output import json_option, show_json, show_table
from aitrading.server.cli.session import person_option, web_for
from aitrading.server.cli.web import Web

QUOTES: Final = "/api/v1/quotes"
LIVE: Final = "LIVE"
WATCH_PERIOD_S: Final = 1.0


class Quote(msgspec.Struct, kw_only=True):
    """One symbol's last quote."""

    symbol: str
    bid: str | None
    ask: str | None
    time: str
    state: str = ""
    provisional: bool = False
    sequence: int | None = None


class Quotes(msgspec.Struct, kw_only=True):
    """Every symbol's last quote."""

    items: list[Quote] = []


@click.command()
@click.option("--watch", is_flag=True, help="Show again every second until Ctrl-C.")
@json_option
@person_option
@click.pass_context
def feed(
    ctx: click.Context, *, watch: bool, as_json: bool, person: str | None, home: Path
) -> None:
    """Show the last quote and the feed state of each symbol; exit code 1 unless all are LIVE."""
    web = web_for(home, person)
    quotes = _once(web, as_json=as_json)
    while watch:
        time.sleep(WATCH_PERIOD_S)
        click.clear()
        quotes = _once(web, as_json=as_json)
    all_live = bool(quotes) and all(quote.state == LIVE for quote in quotes)
    ctx.exit(0 if all_live else 1)


def _once(web: Web, *, as_json: bool) -> list[Quote]:
    quotes = web.get(QUOTES, Quotes).items
    if as_json:
        show_json(quotes)
    else:
        rows = [
            (
                q.symbol,
                q.bid,
                q.ask,
                q.state,
                q.time[11:23],
                "provisional" if q.provisional else "",
            )
            for q in sorted(quotes, key=lambda quote: quote.symbol)
        ]
        show_table(("symbol", "bid", "ask", "feed", "time", ""), rows)
    return quotes
