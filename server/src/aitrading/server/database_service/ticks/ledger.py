"""PostgreSQL's side of ingest: which streams exist, and which of their ticks are stored."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time
from typing import Any, Final
from uuid import UUID

from aitrading.core.domain.instruments import StreamKey
from aitrading.core.kit.ids import TenantId
from aitrading.server.database_service.errors import (
    SEGMENT_CONFLICT,
    STREAM_DIGITS_CHANGED,
    STREAM_UNKNOWN,
)
from aitrading.server.database_service.ticks.doubted import (
    DoubtedDay,
    QuarantinedDay,
    QuarantinePage,
)
from aitrading.server.database_service.ticks.ranges import SequenceRanges
from aitrading.server.database_service.ticks.segments import TickSegment
from aitrading.server.kit.feed_truth_api import HOLE, gap_id
from aitrading.server.kit.ingest_api import OpenStreams, StreamOpening
from aitrading.server.kit.queries import Queries
from aitrading.server.kit.time_cursors import TimePlace, cursor_of
from aitrading.server.kit.transactions import PlatformTransaction, TenantTransaction, Transaction

SEGMENT_MEMORY_DAYS: Final = 30
"""How long a stored segment is remembered by name; its ticks are remembered for ever."""
_WRITER_LOCK: Final = 0x7469_636B_7301
_SQL: Final = Queries.load(__package__ or "", "ledger.sql")

StreamId = tuple[UUID, UUID]
"""(tenant, stream): a stream's id alone never reaches another tenant's rows."""


@dataclass(frozen=True, kw_only=True)
class StreamInfo:
    """A stream and what is stored of it."""

    stream: UUID
    symbol: str
    digits: int
    stored: SequenceRanges


async def take_turn(tx: PlatformTransaction) -> None:
    """Be the only writer of ticks until the end of the transaction, over all processes."""
    await tx.execute(_SQL["take_turn"], _WRITER_LOCK)


async def is_stored(tx: PlatformTransaction, segment: TickSegment) -> bool:
    """Whether exactly this segment was stored; raises `SEGMENT_CONFLICT` for a namesake."""
    row = await tx.fetch_row(_SQL["known_segment"], segment.spool, segment.segment_id)
    if row is None:
        return False
    if row["checksum"] != segment.checksum:
        raise SEGMENT_CONFLICT.error(segment=segment.name)
    return True


async def streams_of(
    tx: PlatformTransaction, wanted: Collection[StreamId]
) -> dict[StreamId, StreamInfo]:
    """What is known of these streams; raises `STREAM_UNKNOWN` if one was never opened."""
    found: dict[StreamId, StreamInfo] = {}
    for tenant, streams in _by_tenant(wanted).items():
        async with tx.within(tenant) as inner:
            rows = await inner.fetch(_SQL["streams"], streams)
        found |= {(tenant, row["id"]): _info(row) for row in rows}
    unknown = sorted(stream for tenant, stream in wanted if (tenant, stream) not in found)
    if unknown:
        raise STREAM_UNKNOWN.error(count=len(unknown), stream=str(unknown[0]))
    return found


async def record(
    tx: PlatformTransaction,
    segment: TickSegment,
    before: Mapping[StreamId, StreamInfo],
    stored: Mapping[StreamId, SequenceRanges],
    doubted: Mapping[DoubtedDay, int],
) -> None:
    """Note that the segment is stored, what its streams hold now, and which bars are missing.

    A new hole becomes a gap in the same transaction, and a gap that is filled counts as repaired.
    """
    for tenant, streams in _by_tenant(stored).items():
        texts = [stored[tenant, stream].bounded().render() for stream in streams]
        async with tx.within(tenant) as inner:
            await inner.execute(_SQL["write_marks"], streams, texts)
            spans = {
                stream: segment.spans_s[tenant, stream]
                for stream in streams
                if (tenant, stream) in segment.spans_s
            }
            await inner.execute(
                _SQL["note_bars"],
                list(spans),
                [low for low, _ in spans.values()],
                [high for _, high in spans.values()],
            )
            await _note_doubted(inner, doubted)
            holes = {
                stream: _new_holes(before[tenant, stream].stored, stored[tenant, stream])
                for stream in streams
            }
            await _note_holes(inner, holes)
            await settle_gaps(inner, [one for one in streams if _is_whole(stored[tenant, one])])
    await tx.execute(
        _SQL["record_segment"],
        segment.spool,
        segment.segment_id,
        segment.checksum,
        segment.rows,
    )


async def settle_gaps(tx: TenantTransaction, streams: Collection[UUID]) -> None:
    """Count gaps as repaired whose ticks are stored now.

    An outage whose lost ticks are another gap is repaired when that one is: a second look finds it.
    """
    if streams and await tx.execute(_SQL["settle_gaps"], list(streams)):
        await tx.execute(_SQL["settle_gaps"], list(streams))


async def _note_doubted(tx: TenantTransaction, doubted: Mapping[DoubtedDay, int]) -> None:
    mine = [
        (day.stream, day.day, day.reason, ticks)
        for day, ticks in doubted.items()
        if day.tenant == tx.tenant
    ]
    if mine:
        columns = [list(column) for column in zip(*mine, strict=True)]
        await tx.execute(_SQL["note_doubted"], *columns)


async def _note_holes(
    tx: TenantTransaction, holes: Mapping[UUID, Collection[tuple[int, int]]]
) -> None:
    found = [(stream, first, last) for stream, gaps in holes.items() for first, last in gaps]
    if found:
        ids = [gap_id(stream, first, last, None) for stream, first, last in found]
        columns = [list(column) for column in zip(*found, strict=True)]
        await tx.execute(_SQL["note_holes"], ids, *columns, HOLE)


def _new_holes(before: SequenceRanges, after: SequenceRanges) -> list[tuple[int, int]]:
    """Holes behind everything that was stored before; one that shrank is no new one."""
    if len(after.pairs) <= 1 and (not after.pairs or after.pairs[0][0] == 1):
        return []
    return [hole for hole in after.holes() if hole[1] > before.last]


def _is_whole(stored: SequenceRanges) -> bool:
    """Nothing of it was closed to save room: what it holds is really stored."""
    return stored.bounded() is stored


async def forget_old_segments(tx: PlatformTransaction) -> int:
    """Drop names of segments nobody sends again; gives how many."""
    return await tx.execute(_SQL["forget_segments"], SEGMENT_MEMORY_DAYS)


async def open_streams(tx: TenantTransaction, request: OpenStreams) -> list[StreamInfo]:
    """Create what does not exist and give all, in the order of the request.

    Raises `STREAM_DIGITS_CHANGED` for an existing stream with other digits.
    """
    ids = [_stream_id(request, opening) for opening in request.streams]
    await tx.execute_many(
        _SQL["open_stream"],
        [
            (
                stream,
                request.device,
                opening.broker,
                opening.symbol,
                opening.epoch,
                opening.digits,
            )
            for stream, opening in zip(ids, request.streams, strict=True)
        ],
    )
    infos = {info.stream: info for info in await _select(tx, "streams", ids)}
    for stream, opening in zip(ids, request.streams, strict=True):
        _require_digits(infos[stream], opening)
    return [infos[stream] for stream in ids]


async def streams_of_device(tx: TenantTransaction, device: UUID) -> list[StreamInfo]:
    """Every stream of a device."""
    return await _select(tx, "streams_of_device", device)


async def streams_of_symbol(tx: TenantTransaction, symbol: str) -> list[StreamInfo]:
    """Every stream of the tenant that has ticks of the symbol."""
    return await _select(tx, "streams_of_symbol", symbol)


async def newest_streams(tx: TenantTransaction) -> list[StreamInfo]:
    """For each symbol the stream that was stored to last."""
    return await _select(tx, "streams_newest")


async def doubted_page(
    tx: TenantTransaction, *, symbol: str | None, after: TimePlace | None, limit: int
) -> QuarantinePage:
    """Days with ticks in quarantine behind a place, the newest first."""
    at, stream = after or (None, None)
    rows = await tx.fetch(
        _SQL["doubted_page"], symbol, at.date() if at else None, stream, limit + 1
    )
    shown = rows[:limit]
    more = len(rows) > limit
    return QuarantinePage(
        items=[_doubted_day(row) for row in shown],
        next_cursor=_place_of_day(shown[-1]) if more else None,
    )


async def doubted_streams(tx: TenantTransaction, streams: Collection[UUID]) -> set[UUID]:
    """Which of these have ticks in quarantine."""
    return {row["stream_id"] for row in await tx.fetch(_SQL["doubted_streams"], list(streams))}


def _doubted_day(row: Any) -> QuarantinedDay:
    return QuarantinedDay(
        day=row["day"],
        symbol=row["symbol"],
        device=row["device_id"],
        stream=row["stream_id"],
        ticks=row["ticks"],
        reasons=dict(zip(row["reasons"], row["numbers"], strict=True)),
    )


def _place_of_day(row: Any) -> str:
    return cursor_of(datetime.combine(row["day"], time(), UTC), row["stream_id"])


async def _select(tx: Transaction, query: str, *arguments: Any) -> list[StreamInfo]:
    return [_info(row) for row in await tx.fetch(_SQL[query], *arguments)]


def _info(row: Any) -> StreamInfo:
    return StreamInfo(
        stream=row["id"],
        symbol=row["symbol"],
        digits=row["digits"],
        stored=SequenceRanges.parse(row["stored"]),
    )


def _stream_id(request: OpenStreams, opening: StreamOpening) -> UUID:
    """The id is derived here again, so that nobody can open a stream under another's id."""
    key = StreamKey(
        tenant=request.tenant,
        device=request.device,
        broker=opening.broker,
        login=opening.login,
        symbol=opening.symbol,
        epoch=opening.epoch,
    )
    return key.stream_id()


def _require_digits(info: StreamInfo, opening: StreamOpening) -> None:
    if info.digits != opening.digits:
        raise STREAM_DIGITS_CHANGED.error(
            symbol=opening.symbol,
            epoch=opening.epoch,
            expected=info.digits,
            actual=opening.digits,
        )


def _by_tenant(streams: Iterable[StreamId]) -> dict[TenantId, list[UUID]]:
    grouped: dict[TenantId, list[UUID]] = defaultdict(list)
    for tenant, stream in streams:
        grouped[TenantId(tenant)].append(stream)
    return grouped
