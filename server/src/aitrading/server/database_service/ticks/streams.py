"""Opening streams and telling what is stored of them."""

from typing import Final
from uuid import UUID

import numpy as np

from aitrading.core.domain.stream_days import NO_TICK, TickMark, total_of
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import TenantId
from aitrading.core.logging.optimized_log_router import get_logger
from aitrading.server.database_service.clickhouse.native import uuid_of
from aitrading.server.database_service.clickhouse.port import Rows
from aitrading.server.database_service.guards import Guards
from aitrading.server.database_service.ticks import ledger
from aitrading.server.database_service.ticks.ledger import StreamInfo
from aitrading.server.database_service.ticks.port import TickStore
from aitrading.server.kit.ingest_api import (
    GAPS_SHOWN_MAX,
    OpenStreams,
    SequenceGap,
    StreamMark,
    StreamMarks,
)
from aitrading.server.kit.postgres import PostgresPool

_log: Final = get_logger(__name__)


class StreamBook:
    """The streams of devices, under the tenant's row security."""

    def __init__(self, pool: PostgresPool, store: TickStore, guards: Guards) -> None:
        self._pool = pool
        self._store = store
        self._guards = guards

    async def open(self, request: OpenStreams) -> StreamMarks:
        """Open what is new; marks in the order of the request, with each stream's newest tick.

        Raises `STREAM_DIGITS_CHANGED`, or `INSTRUMENT_MALFORMED` for names nobody may have.
        """
        with self._guards.postgres.guard():
            async with self._pool.tenant_tx(TenantId(request.tenant)) as tx:
                infos = await ledger.open_streams(tx, request)
        newest = await self._newest(TenantId(request.tenant), infos)
        return StreamMarks(marks=tuple(mark_of(info, newest.get(info.stream)) for info in infos))

    async def marks(self, tenant: TenantId, device: UUID) -> StreamMarks:
        """Marks of every stream of a device, by symbol and epoch."""
        with self._guards.postgres.guard():
            async with self._pool.tenant_read(tenant) as tx:
                infos = await ledger.streams_of_device(tx, device)
        return StreamMarks(marks=tuple(mark_of(info) for info in infos))

    async def _newest(self, tenant: TenantId, infos: list[StreamInfo]) -> dict[UUID, TickMark]:
        """The tick with each stream's highest number; none of them while the store is away."""
        lasts = {info.stream: info.stored.last for info in infos if info.stored.last}
        if not lasts:
            return {}
        try:
            async with self._guards.reads.slot():
                rows = await self._guards.clickhouse_reads.run(
                    lambda: self._store.rows_at(tenant, lasts)
                )
        except AitradingError as exc:
            _log.warning("streams are opened without their newest ticks", error=exc)
            return {}
        return dict(map(_tick_of, np.split(rows, len(rows)))) if len(rows) else {}


def mark_of(info: StreamInfo, newest: TickMark | None = None) -> StreamMark:
    """What is stored of one stream."""
    holes, newest = info.stored.holes(), newest or NO_TICK
    return StreamMark(
        stream=info.stream,
        last_sequence=info.stored.last,
        missing=sum(last - first + 1 for first, last in holes),
        gaps=tuple(SequenceGap(first=low, last=high) for low, high in holes[-GAPS_SHOWN_MAX:]),
        last_ms=newest.utc_ms,
        last_digest=newest.digest,
    )


def _tick_of(row: Rows) -> tuple[UUID, TickMark]:
    """A stored row as the client knows it."""
    ask = row["bid"] + row["spread"]
    sequences = row["sequence"].astype(np.uint64)
    total = total_of(sequences, row["event_ms"], (row["bid"], ask, row["last"]), row["flags"])
    mark = TickMark(int(sequences[0]), int(row["event_ms"][0]), total.digest)
    return uuid_of(row["stream"][0]), mark
