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
FEEDS: Final = "/api/v1/feeds"
LIVE: Final = "LIVE"
EXPECTED: Final = ("LIVE", "CLOSED")
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


class Bounds(msgspec.Struct, kw_only=True):
    """From which silence a feed counts as late."""

    delayed_after_s: float
    learned: bool


class FeedView(msgspec.Struct, kw_only=True):
    """One feed and how far it can be trusted."""

    symbol: str
    state: str
    reason: str
    account: str
    market: str
    deadline: str | None
    last_tick: str | None
    canonical: str | None
    instrument_class: str | None
    market_changes: str | None
    calendar_mismatch: bool
    bounds: Bounds


class FeedViews(msgspec.Struct, kw_only=True):
    """Every feed."""

    items: list[FeedView] = []
    next_cursor: str | None = None


@click.group(invoke_without_command=True)
@click.option("--watch", is_flag=True, help="Show again every second until Ctrl-C.")
@json_option
@person_option
@click.pass_context
def feed(
    ctx: click.Context, *, watch: bool, as_json: bool, person: str | None, home: Path
) -> None:
    """Show the last quote and the feed state of each symbol; exit code 1 unless all are LIVE."""
    if ctx.invoked_subcommand is not None:
        return
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


@feed.command()
@json_option
@person_option
@click.pass_context
def states(ctx: click.Context, *, as_json: bool, person: str | None, home: Path) -> None:
    """Show why each feed is what it is and until when; exit code 1 unless all are LIVE or CLOSED."""
    web = web_for(home, person)
    found, page = list[FeedView](), web.get(FEEDS, FeedViews)
    found += page.items
    while page.next_cursor is not None:
        page = web.get(f"{FEEDS}?cursor={page.next_cursor}", FeedViews)
        found += page.items
    if as_json:
        show_json(found)
    else:
        rows = [
            (
                one.symbol,
                one.canonical or "?",
                one.state,
                (one.deadline or "")[:19],
                f"{one.bounds.delayed_after_s:g} s{' learned' if one.bounds.learned else ''}",
                f"{one.market}{' (ticks all the same)' if one.calendar_mismatch else ''}",
                one.reason,
            )
            for one in found
        ]
        heads = ("symbol", "is", "feed", "holds until", "late after", "market", "why")
        show_table(heads, rows)
    ctx.exit(0 if found and all(one.state in EXPECTED for one in found) else 1)
