"""Schema migrations, format 1: SQL files that are applied once, in order, and never changed.

* `NNNN_what_it_does.sql` runs before the new release serves; it only adds what both releases
  can live with. `NNNN_what_it_does.post.sql` runs when no process of the old release is left;
  it may take away. Every pre file runs before any post file.
* A number belongs to one file per phase. Numbers may have gaps, and a number below an applied
  one is applied later: rooms of the house have ranges of their own.
* A file runs in one transaction together with its entry in `migrations.applied`, as the role
  `aitrading_owner`, with a lock timeout so that it never blocks a running service for long.
* Directives are comments at the top: `-- migrate: lock-timeout-ms=60000` for one that may wait,
  `-- migrate: no-transaction` for a file of exactly one statement that cannot run inside one
  (CREATE INDEX CONCURRENTLY); such a statement must be repeatable. `-- migrate: step=NAME` for
  one after whose statements the program changes rows in ways that SQL cannot, in the same
  transaction; the program gives the runner its steps by name.
* An applied file is part of history: a changed checksum, or an applied number that the folder
  does not have (a newer database than program), stops the start.
"""

from aitrading.server.kit.migrations.files import Migration, Phase, load_migrations
from aitrading.server.kit.migrations.runner import (
    MigrationRunner,
    MigrationStatus,
    Rehearsed,
    Step,
)

__all__ = [
    "Migration",
    "MigrationRunner",
    "MigrationStatus",
    "Phase",
    "Rehearsed",
    "Step",
    "load_migrations",
]
