"""ClickHouse's side of ticks: every statement about `market.ticks` is in this file."""

import asyncio
from collections.abc import Sequence
from typing import Final
from uuid import UUID

import numpy as np
from typing_extensions import override

from aitrading.core.kit.ids import TenantId
from aitrading.server.database_service.clickhouse.port import ClickHouse, Parameter, Rows
from aitrading.server.database_service.ticks.blocks import (
    BATCHES_INTO,
    TICKS_INTO,
    Piece,
    batch_block,
    in_storage_order,
    tick_block,
)
from aitrading.server.database_service.ticks.ledger import StreamId
from aitrading.server.database_service.ticks.port import (
    LOOKED_BACK,
    NOWHERE,
    TICK_LAYOUT,
    PageQuestion,
    Position,
    TickStore,
    Which,
)
from aitrading.server.database_service.ticks.ranges import SequenceRanges, runs_of

_SEQUENCE: Final = np.dtype([("sequence", "<u8")])
_ORPHANS: Final = """
SELECT sequence FROM market.ticks
 WHERE tenant = {tenant:UUID} AND stream = {stream:UUID} AND sequence > {known:UInt64}
   AND NOT arrayExists((low, high) -> sequence BETWEEN low AND high,
                       {lows:Array(UInt64)}, {highs:Array(UInt64)})
 ORDER BY sequence
"""

STREAMS_AT_ONCE: Final = 64
"""Of one question for the newest rows of many streams."""
_COLUMNS: Final = "event_ms, stream, sequence, bid, spread, last, flags, doubt"
_PAGE_OF_STREAM: Final = """
(SELECT {columns} FROM market.ticks
  WHERE tenant = {{tenant:UUID}} AND stream = {{stream_{number}:UUID}}
    AND event_ms >= {{from_ms:Int64}} AND event_ms < {{to_ms:Int64}}{which}
    AND (event_ms, stream, sequence)
        > ({{after_ms:Int64}}, {{after_stream:UUID}}, {{after_sequence:UInt64}})
  ORDER BY event_ms, sequence LIMIT {{limit:UInt32}})
"""
_PAGE: Final = """
SELECT {columns} FROM ({streams}) ORDER BY event_ms, stream, sequence LIMIT {{limit:UInt32}}
"""
_ROWS_AT: Final = """
SELECT {columns} FROM market.ticks
 WHERE tenant = {{tenant:UUID}} AND stream IN {{streams:Array(UUID)}}
   AND sequence IN {{sequences:Array(UInt64)}}
   AND arrayExists((id, number) -> stream = id AND sequence = number,
                   {{streams:Array(UUID)}}, {{sequences:Array(UInt64)}})
 ORDER BY stream LIMIT 1 BY stream
"""
_NEWEST_OF_STREAM: Final = """
(SELECT {columns} FROM market.ticks
  WHERE tenant = {{tenant:UUID}} AND stream = {{stream_{number}:UUID}} AND doubt = 0
    AND sequence <= {{last_{number}:UInt64}} AND sequence > {{before_{number}:UInt64}}
  ORDER BY sequence DESC LIMIT 1)
"""
_WHICH: Final = {
    Which.BELIEVED: " AND doubt = 0",
    Which.QUARANTINED: " AND doubt > 0",
    Which.ALL: "",
}


class ClickHouseTickStore(TickStore):
    """Ticks in ClickHouse; knows nothing of PostgreSQL, of people and of decimals."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse

    @override
    async def insert(self, pieces: Sequence[Piece], *, label: str) -> None:
        """Store the rows durably; the batches go first, because repeating them is harmless."""
        batches, ticks = await asyncio.to_thread(_blocks, pieces)
        await self._clickhouse.insert(BATCHES_INTO, batches, label=f"{label}:b")
        await self._clickhouse.insert(TICKS_INTO, ticks, label=label)

    @override
    async def orphans(self, stream: StreamId, stored: SequenceRanges) -> list[tuple[int, int]]:
        """Ranges that are in ClickHouse although the ledger does not say so.

        An insert leaves some when the process dies, or stops waiting, before it is recorded.
        """
        rows = await self._clickhouse.select(
            _ORPHANS,
            _SEQUENCE,
            {
                "tenant": stream[0],
                "stream": stream[1],
                "known": stored.pairs[0][1] if stored.pairs and stored.pairs[0][0] <= 1 else 0,
                "lows": [low for low, _ in stored.pairs],
                "highs": [high for _, high in stored.pairs],
            },
            of=TenantId(stream[0]),
            after_writes=True,
        )
        return runs_of(int(sequence) for sequence in rows["sequence"])

    @override
    async def page(self, question: PageQuestion) -> Rows:
        """Rows by time, stream and sequence."""
        after = question.after or Position(
            event_ms=question.from_ms - 1, stream=NOWHERE, sequence=0
        )
        parameters: dict[str, Parameter] = {
            "tenant": question.tenant,
            "from_ms": question.from_ms,
            "to_ms": question.to_ms,
            "limit": question.limit,
            "after_ms": after.event_ms,
            "after_stream": after.stream,
            "after_sequence": after.sequence,
        }
        parts: list[str] = []
        for number, stream in enumerate(question.streams):
            parts.append(
                _PAGE_OF_STREAM.format(
                    columns=_COLUMNS, number=number, which=_WHICH[question.which]
                )
            )
            parameters[f"stream_{number}"] = stream
        sql = _PAGE.format(columns=_COLUMNS, streams=" UNION ALL ".join(parts))
        return await self._clickhouse.select(sql, TICK_LAYOUT, parameters, of=question.tenant)

    @override
    async def rows_at(self, tenant: TenantId, sequences: dict[UUID, int]) -> Rows:
        """The rows with these sequence numbers, one per stream at most, believed or not."""
        return await self._clickhouse.select(
            _ROWS_AT.format(columns=_COLUMNS),
            TICK_LAYOUT,
            {
                "tenant": tenant,
                "streams": list(sequences),
                "sequences": list(sequences.values()),
            },
            of=tenant,
        )

    @override
    async def newest(self, tenant: TenantId, lasts: dict[UUID, int]) -> Rows:
        """The newest believed rows up to these sequence numbers, one per stream at most."""
        streams = sorted(lasts)
        found = [
            await self._newest_of(tenant, lasts, streams[first : first + STREAMS_AT_ONCE])
            for first in range(0, len(streams), STREAMS_AT_ONCE)
        ]
        return np.concatenate(found) if found else np.zeros(0, TICK_LAYOUT)

    async def _newest_of(
        self, tenant: TenantId, lasts: dict[UUID, int], streams: Sequence[UUID]
    ) -> Rows:
        """A question for each stream, so that each reads a few granules of its own."""
        parts: list[str] = []
        parameters: dict[str, Parameter] = {"tenant": tenant}
        for number, stream in enumerate(streams):
            parts.append(_NEWEST_OF_STREAM.format(columns=_COLUMNS, number=number))
            parameters |= {
                f"stream_{number}": stream,
                f"last_{number}": lasts[stream],
                f"before_{number}": max(0, lasts[stream] - LOOKED_BACK),
            }
        sql = f"SELECT {_COLUMNS} FROM ({' UNION ALL '.join(parts)}) ORDER BY stream"  # noqa: S608 - no value is in it
        return await self._clickhouse.select(sql, TICK_LAYOUT, parameters, of=tenant)


def _blocks(pieces: Sequence[Piece]) -> tuple[bytes, bytes]:
    ordered = in_storage_order(pieces)
    return batch_block(ordered), tick_block(ordered)
