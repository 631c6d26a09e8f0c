"""Fetches again what the server lacks, from the terminal's history, and never one tick twice.

A tick has no name of its own, so what is missing is found by counting: the server says how many
ticks it has at both ends of the gap; the terminal's history must begin and end with at least as many
there, and hold exactly as many between as are missing, where that is known. Otherwise nothing is
sent. What was stored for a gap is remembered with the gap: asked again, only the rest is fetched.
Of two gaps of one time, of which one is not counted, only the first is fetched: what the server said
of the second was before it had the ticks of the first.
"""

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import numpy as np

from aitrading.client.metatrader_connector.broker_clock import BrokerOffset
from aitrading.client.metatrader_connector.journal import TickJournal
from aitrading.client.metatrader_connector.journal_records import Taken, in_groups
from aitrading.client.metatrader_connector.rows import to_rows
from aitrading.client.metatrader_connector.stream_state import Place, TickStream
from aitrading.client.metatrader_connector.uplink import TickUplink
from aitrading.client.terminal.api.constants import COPY_TICKS_ALL
from aitrading.client.terminal.calls import Asks, Lane, call
from aitrading.core.domain.market import TICK_DTYPE, TickArray
from aitrading.core.infrastructure.lifecycle import ComponentState, TaskSet
from aitrading.core.kit.clock import Clock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.logging.optimized_log_router import get_logger
from aitrading.core.protocol.link.messages import Repair, RepairDone

QUEUE_MAX: Final = 256
REPAIR_TICKS_MAX: Final = 500_000
"""Most ticks of one gap; a larger one is refused and stays in the ledger."""
QUESTION_TICKS: Final = 20_000
"""Asked of the terminal at once, so that new ticks and orders never wait long."""

_log = get_logger(__name__)


class NotRepairableError(Exception):
    """The terminal's history does not meet what the server has."""


@dataclass(frozen=True)
class _Stretch:
    """Whose time was asked for, from when until when; UTC."""

    gap: UUID
    place: Place
    from_ms: int
    until_ms: int
    is_counted: bool

    def is_taken_by(self, other: "_Stretch") -> bool:
        """Ticks of another gap may be those of this one; counted ones never are."""
        if self.gap == other.gap or self.place != other.place:
            return False
        if self.is_counted and other.is_counted:
            return False
        return max(self.from_ms, other.from_ms) < min(self.until_ms, other.until_ms)


class Repairer:
    """One gap after the other, each in small questions to the terminal."""

    def __init__(
        self, terminal: Asks, journal: TickJournal, uplink: TickUplink, clock: Clock
    ) -> None:
        self.name = "repairer"
        self.repaired = 0
        self._terminal = terminal
        self._journal = journal
        self._uplink = uplink
        self._clock = clock
        self._asked: asyncio.Queue[Repair] = asyncio.Queue(QUEUE_MAX)
        self._fetched: deque[_Stretch] = deque(maxlen=QUEUE_MAX)
        self._tasks = TaskSet(self.name)
        self._state = ComponentState.NEW

    @property
    def state(self) -> ComponentState:
        """What it is doing now."""
        return self._tasks.judged(self._state)

    async def start(self) -> None:
        """Repair what is asked for from now on."""
        self._uplink.on_repair = self._take
        self._tasks.keep(self._run, name="repair", clock=self._clock)
        self._state = ComponentState.HEALTHY

    async def stop(self) -> None:
        """Stop; the server asks again."""
        await self._tasks.close()
        self._state = ComponentState.STOPPED

    def _take(self, repair: Repair) -> None:
        if not self._asked.full():  # the server asks again
            self._asked.put_nowait(repair)

    async def _run(self) -> None:
        while True:
            repair = await self._asked.get()
            stream = self._uplink.stream_of(repair.handle)
            if stream is None:
                continue
            try:
                self._uplink.truth.repaired(await self.repair(repair, stream))
            except (AitradingError, OSError) as exc:  # terminal away or disk full: asked again
                _log.warning("a gap was not repaired yet", gap=str(repair.gap), error=exc)

    async def repair(self, repair: Repair, stream: TickStream) -> RepairDone:
        """Store what is missing; says which sequences it became, or why nothing was stored."""
        known = self._journal.repair_of(repair.gap)
        if known is not None and known.stream != stream.id:
            return RepairDone(
                gap=repair.gap,
                stream=known.stream,
                first=known.first,
                last=known.first + known.ticks - 1,
            )
        offset = self._journal.offset or BrokerOffset(offset_s=0)  # known, as the stream has ticks
        stretch = _Stretch(
            repair.gap, stream.place, repair.from_ms, repair.until_ms, repair.expected > 0
        )
        try:
            self._require_free(stretch)
            missing = await self._missing(repair, stream, offset)
        except NotRepairableError as exc:
            return RepairDone(gap=repair.gap, stream=stream.id, problem=str(exc))
        done = known.ticks if known else 0
        rest = missing[done:]
        if len(rest):
            self._fetched.append(stretch)
        await self._store(repair, stream, rest, offset)
        self.repaired += len(rest)
        stored = self._journal.repair_of(repair.gap)
        first = stored.first if stored else stream.next_sequence
        return RepairDone(
            gap=repair.gap,
            stream=stream.id,
            first=first,
            last=first + (stored.ticks if stored else 0) - 1,
        )

    def _require_free(self, stretch: _Stretch) -> None:
        if any(stretch.is_taken_by(other) for other in self._fetched):
            raise NotRepairableError("ticks of that time were fetched for another gap")

    async def _store(
        self, repair: Repair, stream: TickStream, rows: TickArray, offset: BrokerOffset
    ) -> None:
        """Store rows under the next numbers, each with the offset of its own time."""
        offsets = offset.of(rows["event_ms"])
        for run in np.split(rows, np.flatnonzero(np.diff(offsets)) + 1):
            if not len(run):
                continue
            part = Taken(
                stream=stream,
                rows=run,
                receive_ns=self._clock.now_ns(),
                broker_offset_s=int(offset.of(run["event_ms"][:1])[0]),
            )
            for [group] in in_groups([part], self._journal.group_ticks_max):
                await self._journal.append_history(group, repair.gap)

    async def _missing(
        self, repair: Repair, stream: TickStream, offset: BrokerOffset
    ) -> TickArray:
        """The terminal's rows within the gap without those the server has at its ends."""
        if repair.from_ms < offset.known_from_ms:
            raise NotRepairableError("nobody knows how far the broker's clock was from UTC then")
        from_ms = repair.from_ms + offset.at(repair.from_ms) * 1_000
        until_ms = repair.until_ms + offset.at(repair.until_ms) * 1_000
        rows = await self._history(stream, from_ms, until_ms)
        times = rows["event_ms"]
        if offset.shown_twice(times).any():
            raise NotRepairableError("the broker's clock showed that hour twice")
        at_start = int(np.count_nonzero(times == from_ms))
        at_end = int(np.count_nonzero(times == until_ms))
        if at_start < repair.has_first or at_end < repair.has_last:
            raise NotRepairableError("the terminal's history does not hold what is stored already")
        ends = len(rows) - repair.has_last
        missing = rows[repair.has_first : max(repair.has_first, ends)]
        if repair.expected and len(missing) != repair.expected:
            raise NotRepairableError(
                f"the terminal has {len(missing)} ticks where {repair.expected} are missing"
            )
        return missing

    async def _history(self, stream: TickStream, from_ms: int, until_ms: int) -> TickArray:
        """Rows of [from, until] of the broker's time, in the order of the terminal."""
        found: list[TickArray] = []
        total, second, skip = 0, from_ms // 1_000, 0
        while True:
            count = QUESTION_TICKS + skip
            [answer] = await self._terminal.ask(
                call("copy_ticks_from", stream.key.symbol, second, count, COPY_TICKS_ALL),
                lane=Lane.HISTORY,
            )
            ticks = answer.value
            if ticks is None:
                raise NotRepairableError("the terminal gives no history of that time")
            converted = to_rows(ticks, stream.digits)
            if converted.not_representable:
                raise NotRepairableError("the digits of the symbol changed since")
            rows = converted.rows[skip:]
            times = rows["event_ms"]
            found.append(rows[(times >= from_ms) & (times <= until_ms)])
            total += len(rows)
            if len(ticks) < count or int(times[-1]) > until_ms:
                return np.concatenate(found) if found else np.zeros(0, TICK_DTYPE)
            if total > REPAIR_TICKS_MAX:
                raise NotRepairableError(f"more than {REPAIR_TICKS_MAX} ticks")
            second = int(converted.rows["event_ms"][-1]) // 1_000
            of_second = converted.rows["event_ms"] // 1_000 == second
            skip = int(np.count_nonzero(of_second))
