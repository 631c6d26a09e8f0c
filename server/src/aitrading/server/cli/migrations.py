"""`aitrading migrations`: how far each schema is, and what the next start would change."""

import asyncio
import sys
from pathlib import Path
from typing import Final

import click

from aitrading.core.kit.clock import SystemClock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.server.cli.clickhouse_status import status_of_stopped
from aitrading.server.cli.home_option import home_option
from aitrading.server.cli.host import Host
from aitrading.server.cli.output import ANSWER_IS_NO, json_option, show_json, show_table
from aitrading.server.engines.passwords import PasswordStore
from aitrading.server.engines.postgres import roles_sql
from aitrading.server.kit.bundle import ServiceBundle, load_bundle
from aitrading.server.kit.migrations import MigrationRunner, Rehearsed, load_migrations
from aitrading.server.kit.migrations_api import POSTGRES, StoreMigration
from aitrading.server.supervisor.errors import NOT_RUNNING
from aitrading.server.supervisor.home import Home

OWNER: Final = "database-service"
CHECKSUM_SHOWN: Final = 12
_NOBODY_ANSWERS: Final = frozenset({"NOT_RUNNING", "PEER_UNREACHABLE"})


@click.group()
def migrations() -> None:
    """The schemas of PostgreSQL and ClickHouse: what is applied, what waits."""


@migrations.command()
@json_option
@home_option
def roles(*, as_json: bool, home: Path) -> None:
    """Print what makes the platform's roles and database on a PostgreSQL of yours.

    It is for psql as a superuser and contains the roles' passwords, which are kept in the home:
    pipe it, and look at it on no shared screen. Repeating it changes nothing but the passwords.
    """
    store = PasswordStore(Home(home).passwords, SystemRandomness())
    sql = roles_sql(lambda role: store.get(POSTGRES, role)).reveal()
    if as_json:
        show_json({"sql": sql})
    else:
        click.echo(sql, nl=False)


@migrations.command()
@json_option
@home_option
def status(*, as_json: bool, home: Path) -> None:
    """List every migration; exit code 1 when one is pending.

    Says `MIGRATION_UNKNOWN` for a store that a newer release has used, and `MIGRATION_CHANGED`
    for a file that is not as it was when it was applied.
    """
    bundle = _bundle(Home(home))
    found = [*asyncio.run(_postgres(bundle)), *_clickhouse(bundle, home)]
    if as_json:
        show_json(found)
    else:
        show_table(
            ("STORE", "FILE", "CHECKSUM", "STATE"),
            [
                (
                    each.store,
                    each.file,
                    each.checksum[:CHECKSUM_SHOWN],
                    "applied" if each.applied else "pending",
                )
                for each in found
            ],
        )
    sys.exit(0 if all(each.applied for each in found) else ANSWER_IS_NO)


@migrations.command()
@json_option
@home_option
def rehearse(*, as_json: bool, home: Path) -> None:
    """Run what is pending and undo it: how long each takes, and which tables it locks.

    Locks are real while it runs, and are waited for as briefly as at a start. ClickHouse cannot
    undo: what is pending there is listed and not run.
    """
    bundle = _bundle(Home(home))
    waiting = [each for each in _clickhouse(bundle, home) if not each.applied]
    found = [
        *asyncio.run(_runner(bundle).rehearse()),
        *(Rehearsed(file=each.file, took_ms=None, locked=()) for each in waiting),
    ]
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


async def _postgres(bundle: ServiceBundle) -> list[StoreMigration]:
    files = {each.file: each for each in load_migrations(_folder(POSTGRES))}
    return [
        StoreMigration(
            store=POSTGRES,
            number=files[each.file].number,
            file=each.file,
            checksum=files[each.file].checksum,
            applied=each.applied,
        )
        for each in await _runner(bundle).status()
    ]


def _clickhouse(bundle: ServiceBundle, home: Path) -> list[StoreMigration]:
    """Of the service that has it open; where nobody has, from the store itself."""
    try:
        return Host(home).get("migrations", list[StoreMigration], peer=OWNER)
    except AitradingError as exc:
        if exc.code not in _NOBODY_ANSWERS:
            raise
    return asyncio.run(status_of_stopped(bundle, _folder("clickhouse")))


def _runner(bundle: ServiceBundle) -> MigrationRunner:
    """Logs in as the migrator, like the service that migrates when it starts."""
    from aitrading.server.database_service.postgres_schema import runner_of  # noqa: PLC0415 - heavy

    return runner_of(bundle, SystemClock())


def _folder(engine: str) -> Path:
    from aitrading.server.database_service.postgres_schema import migrations as folder  # noqa: PLC0415 - heavy

    return folder(engine)


def _bundle(place: Home) -> ServiceBundle:
    try:
        return load_bundle(place.bundles / f"{OWNER}.json")
    except OSError as exc:
        raise NOT_RUNNING.error(home=str(place.root)) from exc
