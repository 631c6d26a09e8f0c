"""Whether this journal goes on where the server's knowledge ends.

A number stands for one tick only as long as one life of the client gave it. A home that was restored
from a copy gives numbers again that the life after the copy had given, perhaps to other ticks. So,
for each stream and whenever the server has more of it than this run was told to be durable, the
newest tick that the server has is looked up here: it must have the same number. A journal that is
behind is filled from the terminal's history first, which gives the same ticks again in the same
order. What this run itself numbered and finds changed was sent by another client that lives beside
it: whose terminal lacked what is not known.

A symbol that is hidden, or that no longer trades, may wait for ever. It holds nothing back: the
server has all that was taken of it, and no verdict needs what ends before the second of the server's
newest tick. What lies in that second is kept, and then the verdict comes in time.
"""

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final
from uuid import UUID

import numpy as np

from aitrading.client.metatrader_connector.cursor import TickCursor
from aitrading.client.metatrader_connector.journal import TickJournal
from aitrading.client.metatrader_connector.stream_state import TickStream
from aitrading.core.domain.market import TickBatch
from aitrading.core.domain.stream_days import mark_of
from aitrading.core.kit.clock import NS_PER_S, Clock
from aitrading.core.protocol.link.messages import StreamGrant

READ_BYTES: Final = 1 << 20
HELD_MAX_S: Final = 60.0
"""So long may what follows the server's newest tick take, once its second is in the journal."""


class Verdict(StrEnum):
    """What follows for a stream."""

    GOES_ON = "GOES_ON"
    """The numbers mean the same ticks: what follows the server's newest may be sent."""
    MOVED = "MOVED"
    """The server's newest tick has another number here: a later epoch begins behind it."""
    LOST = "LOST"
    """Nobody can tell where the server's newest tick is: a later epoch, and a gap that says so."""


@dataclass
class Standing:
    """A stream that waits for its verdict, and what the journal holds around the server's newest tick."""

    stream: TickStream
    handle: int
    grant: StreamGrant
    is_ahead: bool
    """The server has more than the client remembered when it asked."""
    is_own: bool = False
    """This run gave the numbers: another tick under them is of a client that lives beside it."""
    begins_ms: int = 0
    """UTC of the oldest row since it waits."""
    behind: TickCursor | None = None
    """Right behind the server's newest tick, if it is here once."""
    _first: int = 0
    _is_same: bool | None = None
    _copies: int = 0
    _cursor: TickCursor = field(default_factory=lambda: TickCursor(second=0))

    def is_reached(self, newest_ms: int) -> bool:
        """The journal has what the verdict needs; `newest_ms` is UTC of its newest row."""
        grant = self.grant
        is_filling = self.is_ahead and self.stream.active and grant.durable_digest != ""
        is_behind = self.stream.next_sequence <= grant.durable_sequence
        return not (is_filling and is_behind and newest_ms <= grant.durable_ms)

    @property
    def is_decided(self) -> bool:
        """No further batch changes the verdict."""
        if self.grant.durable_digest == "":
            return True
        return self._is_same is True or self._first > self.grant.durable_sequence

    def add(self, batch: TickBatch) -> None:
        """Look at the next batch of the stream."""
        rows, grant = batch.array(), self.grant
        utc_ms = rows["event_ms"] - batch.broker_offset_s * 1_000
        if not self._first:
            self._first = batch.first_sequence
            self.begins_ms = self.begins_ms or int(utc_ms[0])
        if batch.first_sequence <= grant.durable_sequence <= batch.last_sequence:
            self._is_same = False
        for index in np.flatnonzero(utc_ms == grant.durable_ms).tolist():
            mark = mark_of(grant.durable_sequence, rows[index : index + 1], batch.broker_offset_s)
            if mark.digest == grant.durable_digest:
                self._copies += 1
                self.behind = self._cursor.advance(rows[: index + 1])
                if batch.first_sequence + index == grant.durable_sequence:
                    self._is_same = True
        if not batch.is_history:
            self._cursor = self._cursor.advance(rows)

    def verdict(self) -> Verdict:
        """Decide by what was seen."""
        if self._is_same or (self._is_same is None and not self.is_ahead):
            return Verdict.GOES_ON
        is_here = self._copies == 1 and self.stream.active and not self.is_own
        return Verdict.MOVED if is_here else Verdict.LOST


class Standings:
    """The streams of one connection that wait for their verdict."""

    def __init__(self, journal: TickJournal, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock
        self._waiting: dict[UUID, Standing] = {}
        self._passed_ms: dict[UUID, int] = {}
        """UTC of the oldest row of a stream that was let go before its verdict."""
        self._held_ns: dict[UUID, int] = {}
        """Since when a stream without a verdict holds back what the journal could forget."""
        self._certain: dict[UUID, int] = {}
        """Up to here, the numbers of a stream were found to mean the same ticks in this run."""

    def add(self, stream: TickStream, handle: int, grant: StreamGrant, *, is_ahead: bool) -> bool:
        """Let a stream wait; False when nothing can be doubtful about it."""
        if not is_ahead and grant.durable_sequence <= self._certain.get(stream.id, 0):
            self._forget(stream.id)
            return False
        is_own = stream.id in self._certain
        self._waiting[stream.id] = Standing(stream, handle, grant, is_ahead, is_own)
        return True

    def prove(self, stream: UUID, sequence: int) -> None:
        """The server stores what this run has under these numbers."""
        self._certain[stream] = max(sequence, self._certain.get(stream, 0))

    def clear(self) -> None:
        """The connection is gone; the next one asks again."""
        self._waiting.clear()

    @property
    def is_waiting(self) -> bool:
        """A stream has no verdict yet."""
        return bool(self._waiting)

    def durable(self, stream: UUID) -> int:
        """What the server has of a stream that waits; 0 for any other."""
        standing = self._waiting.get(stream)
        return standing.grant.durable_sequence if standing else 0

    def passes(self, batch: TickBatch) -> bool:
        """The journal may forget a batch of a stream that waits: no verdict needs it."""
        one = self._waiting.get(batch.stream)
        if one is None or not one.is_ahead:
            return False
        utc_ms = batch.array()["event_ms"] - batch.broker_offset_s * 1_000
        if int(utc_ms.max()) // 1_000 >= one.grant.durable_ms // 1_000:
            self._held_ns.setdefault(batch.stream, self._clock.monotonic_ns())
            return False
        oldest_ms = int(utc_ms.min())
        self._passed_ms[batch.stream] = min(
            oldest_ms, self._passed_ms.get(batch.stream, oldest_ms)
        )
        return True

    def settle(self, standing: Standing) -> None:
        """The verdict was carried out."""
        self._waiting.pop(standing.stream.id, None)
        self._forget(standing.stream.id)

    def _forget(self, stream: UUID) -> None:
        self._passed_ms.pop(stream, None)
        self._held_ns.pop(stream, None)

    def newest_ms(self, stream: TickStream) -> int:
        """UTC of the newest row that was taken from the terminal."""
        last_ms, offset = stream.cursor.last_ms, self._journal.offset
        if offset is None:
            return 0
        return last_ms - int(offset.of(np.array([last_ms], np.int64))[0]) * 1_000

    async def judge(self, position: int) -> list[tuple[Standing, Verdict]]:
        """The verdicts that can be given now, by the journal from a position on."""
        ready = {
            key: replace(one, begins_ms=self._passed_ms.get(key, 0))
            for key, one in self._waiting.items()
            if self._is_due(one)
        }
        while not all(one.is_decided for one in ready.values()):
            entries = await self._journal.read(position, READ_BYTES)
            if not entries:
                break
            for entry in entries:
                if entry.batch.stream in ready:
                    ready[entry.batch.stream].add(entry.batch)
            position = entries[-1].position + 1
        return [(one, one.verdict()) for key, one in ready.items() if key in self._waiting]

    def _is_due(self, one: Standing) -> bool:
        """What the verdict needs is here, or did not come in time."""
        now_ns = self._clock.monotonic_ns()
        held_ns = now_ns - self._held_ns.get(one.stream.id, now_ns)
        return held_ns >= HELD_MAX_S * NS_PER_S or one.is_reached(self.newest_ms(one.stream))
