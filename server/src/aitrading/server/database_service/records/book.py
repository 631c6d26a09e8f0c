"""Reads the views of the schemas `records` and `operations`; nothing else can be named."""

from dataclasses import dataclass
from typing import Any, Final

import msgspec

from aitrading.core.kit.errors import Category, ErrorSpec, Severity
from aitrading.core.kit.ids import TenantId
from aitrading.server.database_service.guards import Guards
from aitrading.server.database_service.records.shapes import (
    RecordColumn,
    RecordKind,
    RecordsPage,
)
from aitrading.server.kit.http_errors import REQUEST_INVALID
from aitrading.server.kit.postgres import PostgresPool
from aitrading.server.kit.queries import Queries

OWN: Final = "records"
INSTALLATION: Final = "operations"
MAX_LIMIT: Final = 500
MAX_CONDITIONS: Final = 8
_SQL: Final = Queries.load(__package__ or "", "records.sql")

RECORD_KIND_UNKNOWN: Final = ErrorSpec(
    code="RECORD_KIND_UNKNOWN",
    category=Category.DENIED,
    message="There are no records called `{name}` for you.",
    why="It is misspelt, or concerns the installation and you are not one of its operators.",
    remedy="List what you may read: `aitrading store list`, or GET /api/v1/store.",
    http_status=404,
    severity=Severity.INFO,
)


@dataclass(frozen=True, kw_only=True)
class RecordsQuestion:
    """One page: of which kind, after which key, with which values of columns."""

    kind: str
    where: dict[str, str]
    after: str
    limit: int


class RecordBook:
    """An organisation's own records, and for operators those of the installation."""

    def __init__(self, pool: PostgresPool, guards: Guards) -> None:
        self._pool = pool
        self._guards = guards

    async def kinds(self, *, operator: bool) -> tuple[RecordKind, ...]:
        """Every kind the caller may read, as the database describes it."""
        schemas = [OWN, INSTALLATION] if operator else [OWN]
        with self._guards.postgres.guard():
            async with self._pool.platform_read() as tx:
                rows = await tx.fetch(_SQL["kinds"], schemas)
        return tuple(_kind(row) for row in rows)

    async def page(
        self, tenant: TenantId, question: RecordsQuestion, *, operator: bool
    ) -> RecordsPage:
        """One page; raises `RECORD_KIND_UNKNOWN`, or `REQUEST_INVALID` for an unknown column."""
        known = {each.name: each for each in await self.kinds(operator=operator)}
        if question.kind not in known:
            raise RECORD_KIND_UNKNOWN.error(name=question.kind[:64])
        kind = known[question.kind]
        _require_columns(kind, question.where)
        with self._guards.postgres.guard():
            async with self._pool.read_tx(tenant) as tx:
                rows = await tx.fetch(
                    _SQL["page"],
                    INSTALLATION if kind.operators_only else OWN,
                    kind.name,
                    question.after,
                    msgspec.json.encode(question.where).decode(),
                    question.limit + 1,
                )
        shown = rows[: question.limit]
        return RecordsPage(
            kind=kind.name,
            columns=tuple(column.name for column in kind.columns),
            items=tuple(msgspec.Raw(row["record"].encode()) for row in shown),
            next_cursor=shown[-1]["key"] if len(rows) > question.limit else None,
        )


def _kind(row: Any) -> RecordKind:
    columns = zip(row["columns"], row["types"], strict=True)
    return RecordKind(
        name=row["name"],
        meaning=row["meaning"],
        operators_only=row["schema"] == INSTALLATION,
        columns=tuple(RecordColumn(name=name, type=kind) for name, kind in columns),
    )


def _require_columns(kind: RecordKind, where: dict[str, str]) -> None:
    columns = [column.name for column in kind.columns]
    for name in where:
        if name not in columns:
            raise REQUEST_INVALID.error(
                reason=f"`where` names {name[:64]!r}; {kind.name} has {', '.join(columns)}"
            )
