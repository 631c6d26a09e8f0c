"""Which migrations this release knows: what a marker records, and what a restore demands."""

from importlib.resources import as_file, files
from typing import Final

from aitrading.server.kit.backup_api import AppliedMigration
from aitrading.server.kit.migrations import load_migrations

ENGINES: Final = ("postgres", "clickhouse")


def known_migrations() -> tuple[AppliedMigration, ...]:
    """Every file of every engine; a running service has applied them all."""
    found: list[AppliedMigration] = []
    for engine in ENGINES:
        place = files("aitrading.server.database_service").joinpath("migrations", engine)
        with as_file(place) as folder:
            found += [
                AppliedMigration(engine=engine, file=one.file, checksum=one.checksum)
                for one in load_migrations(folder)
            ]
    return tuple(found)
