"""Storing segments: every tick exactly once, whatever dies in between.

For each stream PostgreSQL holds the exact set of stored sequence numbers (the ledger), ClickHouse
the rows. One transaction in PostgreSQL, which also makes this the only writer, goes around it all:

1. A segment that is recorded as stored is answered at once.
2. Streams this process has not *settled* are settled: rows that are in ClickHouse without being in
   the ledger are orphans of an insert that was not recorded; they are durable (a part becomes
   visible after its fsync), so they are taken over into the ledger.
3. Rows the ledger has are dropped; the rest is inserted as one block with fsync.
4. The grown sets and the segment's name are written, and how many of what the ledger did not have
   is in quarantine; the transaction commits.

Killed before 3: nothing happened. Killed in 3: each part of the block (one per month of receipt)
is there as a whole or not at all. Killed after 3 or in 4: the rows are orphans. In every case the
same segment comes again and 2 finds what is there.

ClickHouse's own deduplication is switched off. Its log is written before a part is renamed into
place: killed between the two it remembers a part that does not exist, and drops the next copy of
the block while answering that it is stored. It is a hole and not a second net.
"""

from collections import OrderedDict
from collections.abc import AsyncGenerator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final
from zlib import crc32

from aitrading.core.kit.ids import TenantId
from aitrading.core.protocol.ingest import IngestRecord
from aitrading.server.database_service.guards import Guards
from aitrading.server.database_service.ticks import ledger
from aitrading.server.database_service.ticks.blocks import Piece
from aitrading.server.database_service.ticks.doubted import doubted_days
from aitrading.server.database_service.ticks.ledger import StreamId, StreamInfo
from aitrading.server.database_service.ticks.port import TickStore
from aitrading.server.database_service.ticks.ranges import SequenceRanges
from aitrading.server.database_service.ticks.segments import TickSegment
from aitrading.server.kit.postgres import PostgresPool
from aitrading.server.kit.transactions import PlatformTransaction

MAX_SETTLED_STREAMS: Final = 100_000


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a segment."""

    repeated: bool
    streams: Mapping[StreamId, StreamInfo]
    pieces: Sequence[Piece]
    """What was new in it."""

    @property
    def inserted(self) -> int:
        """How many rows were new."""
        return sum(piece.count for piece in self.pieces)


class TickWriter:
    """Stores one segment after the other; see the module for what it guarantees."""

    def __init__(self, pool: PostgresPool, store: TickStore, guards: Guards) -> None:
        self._pool = pool
        self._store = store
        self._guards = guards
        self._settled: OrderedDict[StreamId, None] = OrderedDict()
        self._touched: set[TenantId] = set()

    async def store(self, segment: TickSegment) -> Outcome:
        """Return when every tick of the segment is durable.

        Raises `SEGMENT_CONFLICT` or `STREAM_UNKNOWN`, which a repeat does not heal; after any
        other error the same segment may come again.
        """
        async with self._guards.writes.slot():
            try:
                with self._guards.postgres.guard():
                    return await self._store_in_turn(segment)
            except BaseException:
                self._unsettle(segment.streams)
                raise
            finally:
                self._touched |= {TenantId(tenant) for tenant, _ in segment.streams}

    def take_touched(self) -> set[TenantId]:
        """Whose ticks may have come since this was asked last."""
        touched, self._touched = self._touched, set()
        return touched

    @asynccontextmanager
    async def standing_still(self) -> AsyncGenerator[None]:
        """Between two segments: whatever is in ClickHouse now is whole, and nothing is added."""
        async with self._guards.writes.slot(), self._pool.platform_read() as tx:
            await ledger.take_turn(tx)
            yield

    async def _store_in_turn(self, segment: TickSegment) -> Outcome:
        async with self._pool.platform_tx() as tx:
            await ledger.take_turn(tx)
            repeated = await ledger.is_stored(tx, segment)
            streams = await ledger.streams_of(tx, segment.streams)
            if repeated:
                return Outcome(repeated=True, streams=streams, pieces=())
            return await self._store_new(tx, segment, streams)

    async def _store_new(
        self,
        tx: PlatformTransaction,
        segment: TickSegment,
        streams: Mapping[StreamId, StreamInfo],
    ) -> Outcome:
        with self._guards.clickhouse_writes.guard():
            stored = {key: await self._settle(key, info.stored) for key, info in streams.items()}
            pieces = new_pieces(segment.records, stored)
            if pieces:
                await self._store.insert(pieces, label=_label(segment, pieces))
        news = new_pieces(segment.records, {key: info.stored for key, info in streams.items()})
        await ledger.record(tx, segment, streams, stored, doubted_days(news))
        grown = {
            key: StreamInfo(
                stream=info.stream, symbol=info.symbol, digits=info.digits, stored=stored[key]
            )
            for key, info in streams.items()
        }
        return Outcome(repeated=False, streams=grown, pieces=pieces)

    async def _settle(self, key: StreamId, stored: SequenceRanges) -> SequenceRanges:
        """What is really stored; asks ClickHouse once per stream, and again after a failure."""
        if key in self._settled:
            self._settled.move_to_end(key)
            return stored
        orphans = await self._store.orphans(key, stored)
        self._settled[key] = None
        if len(self._settled) > MAX_SETTLED_STREAMS:
            self._settled.popitem(last=False)
        return stored.with_ranges(orphans)

    def _unsettle(self, keys: Collection[StreamId]) -> None:
        for key in keys:
            self._settled.pop(key, None)


def new_pieces(
    records: Iterable[IngestRecord], stored: dict[StreamId, SequenceRanges]
) -> list[Piece]:
    """The rows that are not stored, in the order of the records; adds them to `stored`."""
    pieces: list[Piece] = []
    for record in records:
        header = record.header
        key = (header.tenant, header.stream)
        missing = stored[key].missing(header.first_sequence, header.last_sequence)
        pieces += [Piece(record, first, last) for first, last in missing]
        if missing:
            stored[key] = stored[key].with_range(header.first_sequence, header.last_sequence)
    return pieces


def _label(segment: TickSegment, pieces: Sequence[Piece]) -> str:
    """The segment's name, and what of it is inserted: so operators find it in query logs."""
    selection = ";".join(f"{piece.header.stream}:{piece.first}-{piece.last}" for piece in pieces)
    return f"{segment.name}:{crc32(selection.encode()):08x}"
