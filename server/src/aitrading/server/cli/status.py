"""`aitrading status`: what runs, how it is, where it answers."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.kit.errors import AitradingError
from aitrading.server.cli.home_option import home_option
from aitrading.server.cli.output import (
    ANSWER_IS_NO,
    UNAVAILABLE,
    json_option,
    show_error,
    show_json,
    show_table,
)
from aitrading.server.supervisor.admin_client import AdminClient
from aitrading.server.supervisor.home import Home
from aitrading.server.supervisor.state import PlatformState

_HEADINGS = ("part", "state", "port", "pid", "memory", "restarts", "note")
_NOTHING = PlatformState(
    ready=False,
    started_in_s=None,
    services={},
    engines={},
    status=ComponentState.STOPPED,
)
_HEALTHY: Final = "ready"
_LESS: Final = "ready, but not everything works"
_NOT_READY: Final = "not ready"


@click.command()
@json_option
@home_option
def status(*, as_json: bool, home: Path) -> None:
    """Show engines and services; exit code 0 when all work, 1 when not, 3 when nothing runs.

    Every part is asked now, and the api-gateway how the platform is; the worst word counts.
    """
    try:
        state = AdminClient(Home(home)).request("health", PlatformState)
    except AitradingError as exc:
        if as_json:
            show_json(_NOTHING)
        show_error(exc, as_json=as_json)
        sys.exit(UNAVAILABLE)
    if as_json:
        show_json(state)
    else:
        _show(state)
    sys.exit(0 if state.status is ComponentState.HEALTHY and state.ready else ANSWER_IS_NO)


def _show(state: PlatformState) -> None:
    well = state.status is ComponentState.HEALTHY
    word = _NOT_READY if not state.ready else _HEALTHY if well else _LESS
    click.echo(f"{state.url}  {word}, since {state.since}\n")
    show_table(_HEADINGS, list(_rows(state)))
    for problem in state.problems:
        click.echo(f"problem: {problem}", err=True)
    for warning in state.warnings:
        click.echo(f"warning: {warning}", err=True)


def _rows(state: PlatformState) -> Iterator[tuple[object, ...]]:
    for parts in (state.engines, state.services, state.clients):
        for name, child in parts.items():
            memory = f"{child.rss_mb:.1f} MB" if child.rss_mb else ""
            note = child.message.partition("\n")[0]
            yield (
                name,
                child.state.value,
                child.port or "",
                child.pid or "",
                memory,
                child.restarts or "",
                note,
            )
    for name, chain in state.chains.items():
        since = f"since {chain.since}" if chain.since else ""
        note = ": ".join(part for part in (since, chain.fault) if part)
        yield (f"chain {name}", chain.state, "", "", "", "", note)
