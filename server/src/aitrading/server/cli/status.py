"""`aitrading status`: what runs, how it is, where it answers."""

import sys
from pathlib import Path

import click
import msgspec

from aitrading.core.kit.errors import AitradingError
from aitrading.server.cli.home_option import home_option
from aitrading.server.supervisor.admin_client import AdminClient
from aitrading.server.supervisor.home import Home
from aitrading.server.supervisor.state import ChildState, PlatformState

NOT_READY = 1
UNAVAILABLE = 3
_HEADINGS = ("part", "state", "port", "pid", "memory", "restarts", "note")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
@home_option
def status(*, as_json: bool, home: Path) -> None:
    """Show engines and services; exit code 0 when all work, 1 when not, 3 when nothing runs."""
    try:
        state = AdminClient(Home(home)).request("status", PlatformState)
    except AitradingError as exc:
        if as_json:
            stopped = PlatformState(ready=False, started_in_s=None, services={}, engines={})
            click.echo(msgspec.json.encode(stopped).decode())
        click.echo(str(exc), err=True)
        sys.exit(UNAVAILABLE)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(state)).decode())
    else:
        click.echo(_table(state))
    sys.exit(0 if state.ready else NOT_READY)


def _table(state: PlatformState) -> str:
    rows: list[tuple[str, ...]] = [_HEADINGS]
    for parts in (state.engines, state.services, state.clients):
        rows.extend(_row(name, child) for name, child in parts.items())
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    word = "ready" if state.ready else "not ready"
    return "\n".join([f"{state.url}  {word}, since {state.since}", "", *lines])


def _row(name: str, child: ChildState) -> tuple[str, ...]:
    return (
        name,
        child.state.value,
        str(child.port or ""),
        str(child.pid or ""),
        f"{child.rss_mb:.1f} MB" if child.rss_mb else "",
        str(child.restarts or ""),
        child.message.partition("\n")[0],
    )
