"""Kept traces in PostgreSQL: few, asked for by id, and behind the same wall as every other row."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from aitrading.core.infrastructure.tracing import Outcome, TracePart, assemble
from aitrading.core.kit.clock import Clock, datetime_of_ns, now_utc
from aitrading.core.kit.ids import TenantId
from aitrading.server.database_service.guards import Guards
from aitrading.server.database_service.traces.errors import TRACE_NOT_KEPT
from aitrading.server.database_service.traces.sampling import EDGE
from aitrading.server.database_service.traces.settings import TraceSettings
from aitrading.server.database_service.traces.shapes import (
    TraceDetails,
    TracesPage,
    TraceSummary,
    details,
    parts_of,
    summary,
)
from aitrading.server.kit.http_errors import REQUEST_INVALID
from aitrading.server.kit.postgres import PostgresPool
from aitrading.server.kit.queries import Queries
from aitrading.server.kit.tenancy import PLATFORM, parse_tenant
from aitrading.server.kit.transactions import Row

MAX_SPANS_READ: Final = 5_000
_SQL: Final = Queries.load(__package__ or "", "traces.sql")
_TRACE_ID: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)
_CURSOR: Final = re.compile(r"([0-2])-([0-9]{1,17})-([0-9a-f]{32})", re.ASCII)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class TraceBook:
    """Every call is for one organisation, `PLATFORM` for what belongs to none; the host sees all."""

    def __init__(
        self, pool: PostgresPool, guards: Guards, clock: Clock, settings: TraceSettings
    ) -> None:
        self._pool = pool
        self._guards = guards
        self._clock = clock
        self._settings = settings

    async def keep(self, owner: TenantId, parts: Sequence[TracePart]) -> None:
        """Write parts in one transaction; those that are there already change nothing."""
        with self._guards.postgres.guard():
            async with self._pool.tenant_tx(owner) as tx:
                await tx.execute(_SQL["keep"], *_columns([*_summaries(parts).values()], 7))
                rows = [_row(part, at) for part in parts for at in range(len(part.spans))]
                await tx.execute(_SQL["keep_spans"], *_columns(rows, 13))

    async def page(
        self,
        owner: TenantId,
        limit: int,
        cursor: str | None = None,
        *,
        outcome: Outcome | None = None,
        least_ms: int = 0,
    ) -> TracesPage:
        """Failed ones first, each kind the newest first."""
        rank, moment, trace_id = _position(cursor)
        wanted = None if outcome is None else outcome.rank
        least = timedelta(milliseconds=least_ms)
        with self._guards.postgres.guard():
            async with self._pool.tenant_read(owner) as tx:
                rows = await tx.fetch(
                    _SQL["page"], limit + 1, rank, moment, trace_id, wanted, least
                )
        items = [summary(row) for row in rows[:limit]]
        following = _cursor(items[-1]) if len(rows) > limit else None
        return TracesPage(items=items, next_cursor=following)

    async def one(self, owner: TenantId, trace_id: str) -> TraceDetails:
        """What the organisation had a part in; raises `TRACE_NOT_KEPT`."""
        rows: list[Row] = []
        if _TRACE_ID.fullmatch(trace_id):
            with self._guards.postgres.guard():
                async with self._pool.tenant_read(owner) as tx:
                    rows = await tx.fetch(_SQL["spans"], trace_id, MAX_SPANS_READ)
        return _details(trace_id, rows)

    async def of_everybody(self, trace_id: str) -> TraceDetails:
        """The whole trace, whoever had a part in it: for who runs the platform."""
        rows: list[Row] = []
        if _TRACE_ID.fullmatch(trace_id):
            with self._guards.postgres.guard():
                async with self._pool.platform_read() as tx:
                    found = await tx.fetch(_SQL["tenants"])
                    owners = [PLATFORM, *(parse_tenant(str(each["id"])) for each in found)]
                    for owner in owners:
                        async with tx.within(owner) as inner:
                            rows += await inner.fetch(_SQL["spans"], trace_id, MAX_SPANS_READ)
        return _details(trace_id, rows)

    async def forget(self) -> None:
        """What is too old or too much, of every organisation."""
        before = now_utc(self._clock) - timedelta(days=self._settings.keep_days)
        with self._guards.postgres.guard():
            async with self._pool.platform_tx() as tx:
                found = await tx.fetch(_SQL["tenants"])
                for owner in (PLATFORM, *(parse_tenant(str(each["id"])) for each in found)):
                    async with tx.within(owner) as inner:
                        await inner.execute(_SQL["forget"], before, self._settings.keep_traces)


def _details(trace_id: str, rows: list[Row]) -> TraceDetails:
    if not rows:
        raise TRACE_NOT_KEPT.error(trace_id=trace_id[:40])
    return details(trace_id, assemble(parts_of(trace_id, rows)))


class _Kept(NamedTuple):
    """One row of `keep`."""

    trace_id: str
    began_at: datetime
    ended_at: datetime
    rank: int
    code: str | None
    name: str
    service: str

    def named_by(self) -> tuple[bool, datetime]:
        """The lowest gives the trace its name."""
        return self.service == EDGE, self.began_at

    def explained_by(self) -> tuple[bool, bool, int]:
        """The lowest tells why it ended so."""
        code = self.code or ""
        return not code, code.startswith("HTTP"), -self.rank


def _summaries(parts: Sequence[TracePart]) -> dict[str, _Kept]:
    """One row for each trace, folded as the statement folds: it may touch a row once only."""
    found: dict[str, _Kept] = {}
    for part in parts:
        root = part.root
        one = _Kept(
            trace_id=part.trace_id,
            began_at=datetime_of_ns(root.began_ns),
            ended_at=datetime_of_ns(root.began_ns + root.took_ns),
            rank=root.outcome.rank,
            code=root.code,
            name=root.name,
            service=part.service,
        )
        both = (found.get(part.trace_id, one), one)
        named = min(both, key=_Kept.named_by)
        found[part.trace_id] = _Kept(
            trace_id=part.trace_id,
            began_at=min(each.began_at for each in both),
            ended_at=max(each.ended_at for each in both),
            rank=max(each.rank for each in both),
            code=min(both, key=_Kept.explained_by).code,
            name=named.name,
            service=named.service,
        )
    return found


def _row(part: TracePart, at: int) -> tuple[Any, ...]:
    span = part.spans[at]
    return (
        part.trace_id, span.id, span.parent, part.root.id, part.service, span.kind.value,
        span.name, span.began_ns, span.took_ns, span.outcome.value, span.code, span.fingerprint,
        part.cut,
    )  # fmt: skip


def _columns(rows: Sequence[tuple[Any, ...]], number: int) -> list[list[Any]]:
    return [[row[at] for row in rows] for at in range(number)]


def _cursor(last: TraceSummary) -> str:
    micros = (last.began_at - _EPOCH) // timedelta(microseconds=1)
    return f"{last.outcome.rank}-{micros}-{last.trace_id}"


def _position(cursor: str | None) -> tuple[int | None, datetime | None, str | None]:
    if cursor is None:
        return None, None, None
    match = _CURSOR.fullmatch(cursor)
    if match is None:
        raise REQUEST_INVALID.error(reason="`cursor` is not one of ours")
    return int(match[1]), _EPOCH + timedelta(microseconds=int(match[2])), match[3]
