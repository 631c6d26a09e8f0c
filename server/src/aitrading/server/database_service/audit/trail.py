"""Reads the views `audit.audit_logs` and `audit.security_events`, page by page back in time."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec

from aitrading.core.kit.clock import Clock, now_utc
from aitrading.core.kit.ids import TenantId, uuid7
from aitrading.server.database_service.audit.shapes import AuditEntry, AuditPage
from aitrading.server.database_service.guards import Guards
from aitrading.server.kit.audit_actions import AuditAction
from aitrading.server.kit.audit_api import AuditSize
from aitrading.server.kit.postgres import PostgresPool
from aitrading.server.kit.queries import Queries
from aitrading.server.kit.tenancy import parse_tenant
from aitrading.server.kit.transactions import Row

NEWEST: Final = UUID(int=(1 << 128) - 1)
OLDEST: Final = UUID(int=0)
_SLACK: Final = timedelta(minutes=1)
"""An id is made a moment before its event's time is read."""
_SQL: Final = Queries.load(__package__ or "", "audit.sql")


@dataclass(frozen=True, kw_only=True)
class AuditQuestion:
    """One page: events before an id, of a time, of one action."""

    security_only: bool = False
    before: UUID = NEWEST
    since: datetime | None = None
    until: datetime | None = None
    action: AuditAction | None = None
    limit: int


class AuditReader:
    """What happened in one organisation; row security decides whose events there are."""

    def __init__(self, pool: PostgresPool, guards: Guards) -> None:
        self._pool = pool
        self._guards = guards

    async def page(self, tenant: TenantId, question: AuditQuestion) -> AuditPage:
        """One page; may be as old as a replica that answers."""
        query = "security_events" if question.security_only else "audit_logs"
        with self._guards.postgres.guard():
            async with self._pool.read_tx(tenant) as tx:
                rows = await tx.fetch(
                    _SQL[query],
                    min(question.before, _first_id(question.until, _SLACK, NEWEST)),
                    _first_id(question.since, -_SLACK, OLDEST),
                    question.since,
                    question.until,
                    question.action,
                    question.limit + 1,
                )
        shown = rows[: question.limit]
        return AuditPage(
            items=tuple(map(_entry, shown)),
            next_cursor=shown[-1]["id"] if len(rows) > question.limit else None,
        )


class AuditGauge:
    """How much there is of all organisations together, for who keeps the disk."""

    def __init__(self, pool: PostgresPool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    async def size(self) -> AuditSize:
        """Bytes and rows by the catalogue, the oldest event by looking at each organisation."""
        async with self._pool.platform_read() as tx:
            row = await tx.fetch_row(_SQL["size"])
            tenants = [each["id"] for each in await tx.fetch(_SQL["tenants"])]
            oldest = [await tx.fetch_value(_SQL["oldest"])]
            for tenant in tenants:
                async with tx.within(parse_tenant(str(tenant))) as inner:
                    oldest.append(await inner.fetch_value(_SQL["oldest"]))
        assert row is not None  # noqa: S101 - the table is there after the migrations
        first = min((moment for moment in oldest if moment is not None), default=None)
        age = timedelta() if first is None else now_utc(self._clock) - first
        return AuditSize(
            bytes=row["bytes"],
            rows_estimated=row["rows_estimated"],
            oldest_at=first,
            age_days=max(0, age.days),
        )


def _first_id(moment: datetime | None, slack: timedelta, otherwise: UUID) -> UUID:
    """The lowest id of a moment, so that a range of time is a range of the index."""
    if moment is None:
        return otherwise
    milliseconds = round((moment + slack).timestamp() * 1000)
    return uuid7(max(0, milliseconds), bytes(10))


def _entry(row: Row) -> AuditEntry:
    given = {name: row[name] for name in AuditEntry.__struct_fields__ if name != "details"}
    return AuditEntry(**given, details=msgspec.Raw(row["details"].encode()))
