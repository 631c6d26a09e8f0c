"""Opening streams and telling what is stored of them."""

from uuid import UUID

from aitrading.core.kit.ids import TenantId
from aitrading.server.database_service.guards import Guards
from aitrading.server.database_service.ticks import ledger
from aitrading.server.database_service.ticks.ledger import StreamInfo
from aitrading.server.kit.ingest_api import (
    GAPS_SHOWN_MAX,
    OpenStreams,
    SequenceGap,
    StreamMark,
    StreamMarks,
)
from aitrading.server.kit.postgres import PostgresPool


class StreamBook:
    """The streams of devices, under the tenant's row security."""

    def __init__(self, pool: PostgresPool, guards: Guards) -> None:
        self._pool = pool
        self._guards = guards

    async def open(self, request: OpenStreams) -> StreamMarks:
        """Open what is new; marks in the order of the request.

        Raises `STREAM_DIGITS_CHANGED`, or `INSTRUMENT_MALFORMED` for names nobody may have.
        """
        with self._guards.postgres.guard():
            async with self._pool.tenant_tx(TenantId(request.tenant)) as tx:
                infos = await ledger.open_streams(tx, request)
        return _marks(infos)

    async def marks(self, tenant: TenantId, device: UUID) -> StreamMarks:
        """Marks of every stream of a device, by symbol and epoch."""
        with self._guards.postgres.guard():
            async with self._pool.tenant_read(tenant) as tx:
                infos = await ledger.streams_of_device(tx, device)
        return _marks(infos)


def mark_of(info: StreamInfo) -> StreamMark:
    """What is stored of one stream."""
    holes = info.stored.holes()
    return StreamMark(
        stream=info.stream,
        last_sequence=info.stored.last,
        missing=sum(last - first + 1 for first, last in holes),
        gaps=tuple(SequenceGap(first=low, last=high) for low, high in holes[-GAPS_SHOWN_MAX:]),
    )


def _marks(infos: list[StreamInfo]) -> StreamMarks:
    return StreamMarks(marks=tuple(mark_of(info) for info in infos))
