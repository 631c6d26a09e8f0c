"""`aitrading migrations`: how far PostgreSQL's schema is, and what the next start would change."""

import asyncio
import sys
from pathlib import Path

import click

from aitrading.core.kit.clock import SystemClock
from aitrading.server.cli.home_option import home_option
from aitrading.server.cli.output import ANSWER_IS_NO, json_option, show_json, show_table
from aitrading.server.kit.bundle import load_bundle
from aitrading.server.kit.migrations import MigrationRunner
from aitrading.server.supervisor.errors import NOT_RUNNING
from aitrading.server.supervisor.home import Home

OWNER = "database-service"


@click.group()
def migrations() -> None:
    """The schema of PostgreSQL: what is applied, what waits."""


@migrations.command()
@json_option
@home_option
def status(*, as_json: bool, home: Path) -> None:
    """List every migration; exit code 1 when one is pending.

    Says `MIGRATION_UNKNOWN` for a database that a newer release has used.
    """
    found = asyncio.run(_runner(Home(home)).status())
    if as_json:
        show_json(found)
    else:
        show_table(
            ("FILE", "STATE"),
            [(each.file, "applied" if each.applied else "pending") for each in found],
        )
    sys.exit(0 if all(each.applied for each in found) else ANSWER_IS_NO)


@migrations.command()
@json_option
@home_option
def rehearse(*, as_json: bool, home: Path) -> None:
    """Run what is pending and undo it: how long each takes, and which tables it locks.

    Locks are real while it runs, and are waited for as briefly as at a start.
    """
    found = asyncio.run(_runner(Home(home)).rehearse())
    if as_json:
        show_json(found)
        return
    if not found:
        click.echo("Nothing is pending.", err=True)
    show_table(
        ("FILE", "TOOK", "LOCKS"),
        [
            (
                each.file,
                "not run" if each.took_ms is None else f"{each.took_ms} ms",
                ", ".join(each.locked) or "-",
            )
            for each in found
        ],
    )


def _runner(place: Home) -> MigrationRunner:
    """Logs in as the migrator, like the service that migrates when it starts."""
    from aitrading.server.database_service.postgres_schema import runner_of  # noqa: PLC0415 - heavy

    try:
        bundle = load_bundle(place.bundles / f"{OWNER}.json")
    except OSError as exc:
        raise NOT_RUNNING.error(home=str(place.root)) from exc
    return runner_of(bundle, SystemClock())
