"""`aitrading audit`: what was done and refused, by whom."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from aitrading.core.kit.clock import SystemClock
from aitrading.server.cli.home_option import home_option
from aitrading.server.cli.host import Host
from aitrading.server.cli.metrics import Duration
from aitrading.server.cli.output import json_option, printable, show_json, show_table

DATABASE: Final = "database-service"


class Entry(msgspec.Struct):
    """One event."""

    id: str
    occurred_at: str
    actor: str
    action: str
    subject: str
    outcome: str
    security: bool
    trace_id: str | None
    details: dict[str, Any]


class Page(msgspec.Struct):
    """Events, the newest first."""

    items: list[Entry]
    next_cursor: str | None = None


@click.group()
def audit() -> None:
    """Audit events: everything that must be provable later, the newest first."""


def _options(command: Any) -> Any:
    for option in (
        home_option,
        json_option,
        click.option("--cursor", help="Where the page before ended."),
        click.option(
            "--limit", type=click.IntRange(1, 500), default=50, show_default=True, help="How many."
        ),
        click.option("--type", "kind", help="One type of event: identity.login.refused."),
        click.option("--since", type=Duration(), help="How far back: 15m, 24h, 7d."),
        click.option(
            "--tenant", help="The organisation, by name or id; without it the platform's own."
        ),
    ):
        command = option(command)
    return command


@audit.command("list")
@_options
def list_events(*, as_json: bool, home: Path, **asked: Any) -> None:
    """Show every audited event of an organisation, one page of them."""
    _show(home, "audit", asked, as_json=as_json)


@audit.command()
@_options
def security(*, as_json: bool, home: Path, **asked: Any) -> None:
    """Show who got in or was refused, and whose rights, keys and devices changed."""
    _show(home, "security-events", asked, as_json=as_json)


def _show(home: Path, what: str, asked: dict[str, Any], *, as_json: bool) -> None:
    query = {
        "tenant": asked["tenant"],
        "since": _moment(asked["since"]),
        "type": asked["kind"],
        "limit": str(asked["limit"]),
        "cursor": asked["cursor"],
    }
    given = {name: value for name, value in query.items() if value is not None}
    page = Host(home).get(what, Page, peer=DATABASE, **given)
    if as_json:
        show_json(page)
        return
    rows = [
        (each.occurred_at, each.outcome, each.action, each.actor, each.subject, _told(each))
        for each in page.items
    ]
    show_table(("time", "outcome", "event", "by", "of", "details"), rows)
    if page.next_cursor is not None:
        click.echo(f"Older ones follow: --cursor {page.next_cursor}", err=True)


def _moment(seconds: int | None) -> str | None:
    if seconds is None:
        return None
    now = datetime.fromtimestamp(SystemClock().now_ns() / 1e9, UTC)
    return (now - timedelta(seconds=seconds)).isoformat()


def _told(entry: Entry) -> str:
    return printable(" ".join(f"{name}={value}" for name, value in entry.details.items()))
