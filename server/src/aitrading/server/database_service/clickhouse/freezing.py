"""All tables at one moment: hard links to the parts they consist of, and how to make them again.

Runs as one unit of work on the writer's thread, so that no insert comes between two tables.
"""

import json
import shutil
from pathlib import Path
from typing import Any, Final

from aitrading.server.database_service.clickhouse.errors import CLICKHOUSE_UNAVAILABLE
from aitrading.server.kit.backup_api import FrozenStore, FrozenTable

SHADOW: Final = "shadow"
ROWS_FILE: Final = "count.txt"
_TABLES: Final = """
SELECT database, name, engine, uuid, create_table_query AS ddl FROM system.tables
 WHERE database NOT IN ('system', 'INFORMATION_SCHEMA', 'information_schema', 'default')
   AND NOT is_temporary
 ORDER BY metadata_modification_time, database, name
"""


def freeze(connection: Any, data: Path, name: str) -> FrozenStore:
    """Link every part of every table below `data/shadow/<name>`."""
    thaw(data)
    found = [json.loads(line) for line in _text(connection, _TABLES).splitlines()]
    tables = tuple(_freeze_one(connection, data, name, row) for row in found)
    databases = tuple(dict.fromkeys(table.database for table in tables))
    return FrozenStore(folder=str(data / SHADOW / name), databases=databases, tables=tables)


def thaw(data: Path) -> None:
    """Let go of whatever is frozen, also of what a killed backup left."""
    shutil.rmtree(data / SHADOW, ignore_errors=True)


def _freeze_one(connection: Any, data: Path, name: str, row: dict[str, str]) -> FrozenTable:
    database, table = row["database"], row["name"]
    if table.startswith(".inner"):
        raise CLICKHOUSE_UNAVAILABLE.error(reason=f"{database}.{table} has no name of its own")
    entry = FrozenTable(database=database, name=table, engine=row["engine"], ddl=row["ddl"])
    if "MergeTree" not in row["engine"]:
        return entry
    _text(connection, f"ALTER TABLE `{database}`.`{table}` FREEZE WITH NAME '{name}'")
    folder = f"store/{row['uuid'][:3]}/{row['uuid']}"
    return FrozenTable(
        database=database,
        name=table,
        engine=row["engine"],
        ddl=row["ddl"],
        folder=folder,
        rows=rows_in(data / SHADOW / name / folder),
    )


def rows_in(folder: Path) -> int:
    """How many rows the parts in a folder have."""
    return sum(int(count.read_text()) for count in folder.glob(f"*/{ROWS_FILE}"))


def _text(connection: Any, sql: str) -> str:
    return bytes(connection.query(sql, "JSONEachRow").bytes()).decode()
