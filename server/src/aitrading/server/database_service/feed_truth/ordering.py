"""Which gaps a device may repair now: those of which no tick can come on another way.

Ticks have no names, so one that is fetched again while it is still on its way from the device's
disk, or from its bridge's, is stored twice. Missing sequences are counted and can be ordered as
soon as both ticks at their ends are stored. Of a stretch of time nobody knows how many are missing:
it is ordered when a tick behind it is stored, since a device sends its ticks in the order in which
they happened, and when no other gap of that time is open or under way.
"""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import numpy as np

from aitrading.core.kit.ids import TenantId
from aitrading.server.database_service.guards import Guards
from aitrading.server.database_service.ticks.port import PageQuestion, TickStore, Which
from aitrading.server.kit.feed_truth_api import CALENDAR_MS, DATABASE, SEQUENCE_MAX, RepairOrder

NOT_YET: Final = "the ticks at its ends are not stored yet"
ANOTHER_FIRST: Final = "another gap of that time is repaired first"
ON_THEIR_WAY: Final = (NOT_YET, ANOTHER_FIRST)
"""For an hour ticks may still be on their way, so such a gap is looked at again at once."""
SAME_MILLISECOND_MAX: Final = 100_000
LOOKED_AHEAD_MS: Final = 60_000
LOOKED_FARTHER: Final = 8
Numbers = np.ndarray[Any, np.dtype[np.uint64]]


class Ordering:
    """One question for orders: what is stored around the gaps of one device."""

    def __init__(self, tenant: TenantId, store: TickStore, guards: Guards) -> None:
        self.orders: list[RepairOrder] = []
        self._tenant = tenant
        self._store = store
        self._guards = guards
        self._times: dict[tuple[UUID, int], int | None] = {}

    async def add(self, row: Any, alike: list[UUID], near: Sequence[Any]) -> str:
        """Order this gap, or say why what is stored does not allow it.

        `alike` are the streams of the same symbol, `near` their other gaps.
        """
        found = await self._of(row, alike, near)
        if isinstance(found, RepairOrder):
            if any(_is_same_time(found, other) for other in self.orders):
                return ANOTHER_FIRST
            self.orders.append(found)
            return ""
        return found

    async def _of(self, row: Any, alike: list[UUID], near: Sequence[Any]) -> RepairOrder | str:
        first, last = row["first_sequence"], row["last_sequence"]
        from_ms, until_ms, expected = row["from_ms"], row["until_ms"], 0
        if problem := _impossible(first, last, from_ms, until_ms):
            return problem
        if first is not None:
            alike, expected = [row["stream_id"]], last - first + 1
            from_ms = await self._time_of(row["stream_id"], first - 1)
            until_ms = await self._time_of(row["stream_id"], last + 1)
            if from_ms is None or until_ms is None:
                return NOT_YET
        if until_ms < from_ms:
            return "it ends before it begins"
        if first is None and (problem := await self._held_up(alike, from_ms, until_ms, near)):
            return problem
        before = await self._sequences_at(alike, from_ms)
        after = await self._sequences_at(alike, until_ms)
        if first is not None:
            before, after = before[before < first], after[after > last]
        return RepairOrder(
            gap=row["id"],
            stream=row["stream_id"],
            symbol=row["symbol"],
            broker=row["broker"],
            from_ms=from_ms,
            until_ms=until_ms,
            has_first=len(before),
            has_last=len(after),
            expected=expected,
        )

    async def _held_up(
        self, alike: list[UUID], from_ms: int, until_ms: int, near: Sequence[Any]
    ) -> str:
        """Why ticks of this stretch of time are stored, or may come on another way."""
        if from_ms == until_ms or await self._is_any(alike, from_ms + 1, until_ms, Which.ALL):
            return "ticks of that time are stored: nobody can count which others are missing"
        if not await self._is_behind(alike, until_ms):
            return NOT_YET
        for other in near:
            begins_ms, ends_ms = await self._stretch(other)
            if max(begins_ms, from_ms) < min(ends_ms, until_ms):
                return ANOTHER_FIRST
        return ""

    async def _stretch(self, gap: Any) -> tuple[int, int]:
        """When a gap's ticks happened; nothing for one that cannot be repaired by itself.

        Of missing sequences that only the database noticed, the device may still have ticks.
        """
        first, last = gap["first_sequence"], gap["last_sequence"]
        if first is None:
            return gap["from_ms"], gap["until_ms"] or CALENDAR_MS
        if last > SEQUENCE_MAX:
            return 0, 0
        ends_ms = await self._time_of(gap["stream_id"], last + 1)
        begins_ms = await self._time_of(gap["stream_id"], first - 1)
        if begins_ms is None and gap["recorded_by"] == DATABASE:
            begins_ms = 0
        return (0, 0) if begins_ms is None or ends_ms is None else (begins_ms, ends_ms)

    async def _time_of(self, stream: UUID, sequence: int) -> int | None:
        if (stream, sequence) not in self._times:
            rows = await self._guards.clickhouse_reads.run(
                lambda: self._store.rows_at(self._tenant, {stream: sequence})
            )
            self._times[stream, sequence] = int(rows["event_ms"][0]) if len(rows) else None
        return self._times[stream, sequence]

    async def _sequences_at(self, streams: list[UUID], at_ms: int) -> Numbers:
        rows = await self._page(streams, at_ms, at_ms + 1, SAME_MILLISECOND_MAX, Which.ALL)
        return rows["sequence"]

    async def _is_any(self, streams: list[UUID], from_ms: int, to_ms: int, which: Which) -> bool:
        return len(await self._page(streams, from_ms, to_ms, 1, which)) > 0

    async def _is_behind(self, streams: list[UUID], end_ms: int) -> bool:
        """Looked for in growing stretches, so that no store sorts all that came since."""
        from_ms, length_ms = end_ms + 1, LOOKED_AHEAD_MS
        while from_ms < CALENDAR_MS:
            to_ms = min(from_ms + length_ms, CALENDAR_MS)
            if await self._is_any(streams, from_ms, to_ms, Which.BELIEVED):
                return True
            from_ms, length_ms = to_ms, length_ms * LOOKED_FARTHER
        return False

    async def _page(
        self, streams: list[UUID], from_ms: int, to_ms: int, limit: int, which: Which
    ) -> Any:
        asked = PageQuestion(
            tenant=self._tenant,
            streams=streams,
            from_ms=from_ms,
            to_ms=to_ms,
            limit=limit,
            which=which,
        )
        return await self._guards.clickhouse_reads.run(lambda: self._store.page(asked))


def _is_same_time(one: RepairOrder, other: RepairOrder) -> bool:
    """Whether ticks of one could be taken for those of the other; counted ones never are."""
    is_counted = one.expected > 0 and other.expected > 0
    if is_counted or (one.symbol, one.broker) != (other.symbol, other.broker):
        return False
    return max(one.from_ms, other.from_ms) < min(one.until_ms, other.until_ms)


def _impossible(first: int | None, last: int, from_ms: int | None, until_ms: int | None) -> str:
    """Why these ends are none of ticks; empty when they may be."""
    if first is not None:
        if first == 1:
            return "it is at the beginning of its stream: no tick before it is stored"
        return "" if last <= SEQUENCE_MAX else "its end is no number of a tick"
    ends = (from_ms, until_ms)
    is_dated = all(end is not None and 0 <= end < CALENDAR_MS for end in ends)
    return "" if is_dated else "its ends are no times of the calendar"
