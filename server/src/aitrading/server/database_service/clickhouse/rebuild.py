"""Make an embedded ClickHouse from frozen parts: `python -m …rebuild HOME_FOLDER FROZEN_FOLDER`.

A process of its own, because the engine opens one folder per process. Answers with JSON: how many
rows each table has. The definitions come from the backup, so that later migrations find exactly
what they were written for.
"""

import sys
from pathlib import Path
from typing import Any, Final

import msgspec

from aitrading.server.database_service.clickhouse.chdb_module import load_engine
from aitrading.server.database_service.clickhouse.embedded import DATA_FOLDER
from aitrading.server.kit.backup_api import FrozenStore, FrozenTable

STORE_FILE: Final = "store.json"
_MERGES: Final = "SYSTEM {} MERGES"


class TableRows(msgspec.Struct, frozen=True, kw_only=True):
    """One table after its parts were put back."""

    table: str
    rows: int
    expected: int


def rebuild(folder: Path, frozen: Path) -> list[TableRows]:
    """Create what was frozen in an empty folder; parts are moved, not copied."""
    store = msgspec.json.decode((frozen / STORE_FILE).read_bytes(), type=FrozenStore)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    connection = load_engine().connect(str(folder / DATA_FOLDER))
    try:
        for database in store.databases:
            _run(connection, f"CREATE DATABASE IF NOT EXISTS `{database}` ENGINE = Atomic")
        for table in sorted(store.tables, key=lambda one: not one.folder):
            _run(connection, table.ddl)
        _run(connection, _MERGES.format("STOP"))
        return [_attach(connection, table, frozen) for table in store.tables if table.folder]
    finally:
        connection.close()


def _attach(connection: Any, table: FrozenTable, frozen: Path) -> TableRows:
    name = f"`{table.database}`.`{table.name}`"
    place = _run(
        connection,
        f"SELECT data_paths[1] FROM system.tables WHERE database = '{table.database}'"  # noqa: S608 - names of our own tables
        f" AND name = '{table.name}'",
    ).strip()
    parts = frozen / table.folder
    if parts.is_dir():
        for part in sorted(parts.iterdir()):
            part.rename(Path(place) / "detached" / part.name)
        _run(connection, f"ALTER TABLE {name} ATTACH PARTITION ALL")
    rows = int(_run(connection, f"SELECT count() FROM {name}"))  # noqa: S608 - names of our own tables
    return TableRows(table=f"{table.database}.{table.name}", rows=rows, expected=table.rows)


def _run(connection: Any, sql: str) -> str:
    return bytes(connection.query(sql, "TSVRaw").bytes()).decode()


if __name__ == "__main__":
    try:
        answer = rebuild(Path(sys.argv[1]), Path(sys.argv[2]))
    except (RuntimeError, OSError, msgspec.MsgspecError) as exc:
        sys.exit(f"ClickHouse refused: {exc}")
    sys.stdout.write(msgspec.json.encode(answer).decode())
