"""What the database service tells about the migrations of a store that only it can ask."""

from typing import Final

import msgspec

MIGRATIONS_PATH: Final = "/internal/v1/admin/migrations"
CLICKHOUSE: Final = "clickhouse"
POSTGRES: Final = "postgres"


class StoreMigration(msgspec.Struct, frozen=True, kw_only=True):
    """One file and whether it is applied."""

    store: str
    number: int
    file: str
    checksum: str
    applied: bool
