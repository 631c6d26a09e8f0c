"""What of a terminal's answer is new, and what its history says of ticks that were missed."""

from typing import Final

import numpy as np

from aitrading.client.metatrader_connector.broker_clock import BrokerOffset
from aitrading.client.metatrader_connector.cursor import TickCursor
from aitrading.client.metatrader_connector.gap_ledger import GapRecord
from aitrading.client.metatrader_connector.journal import TickJournal
from aitrading.client.metatrader_connector.metrics import HISTORY_CHANGED, PRICES_NOT_REPRESENTABLE
from aitrading.client.metatrader_connector.questions import Reply, newest
from aitrading.client.metatrader_connector.rows import to_rows
from aitrading.client.metatrader_connector.stream_state import TickStream
from aitrading.client.terminal.calls import ConnectedTerminal, Lane
from aitrading.core.domain.market import TickArray
from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.kit.clock import Clock
from aitrading.core.logging.optimized_log_router import get_logger

REASON_HISTORY: Final = "the terminal's history changed"
REASON_NIGHT: Final = (
    "it is from before a night in which clocks changed, and nobody knows the broker's"
)

_log = get_logger(__name__)


class NewRows:
    """Holds answers against where their streams stand."""

    def __init__(
        self, terminal: ConnectedTerminal, journal: TickJournal, clock: Clock, metrics: Metrics
    ) -> None:
        self._terminal = terminal
        self._journal = journal
        self._clock = clock
        self._metrics = metrics

    async def of(self, answer: Reply, offset: BrokerOffset | None) -> TickArray:
        """What is new; nothing when the digits changed and a later epoch was opened.

        Raises `STREAMS_FULL` when there is no room for that one.
        """
        stream, rows = answer.stream, answer.converted.rows
        fresh = stream.cursor.fresh(rows)
        if fresh is None:
            fresh = stream.cursor.later(rows)
            self._metrics.increment(HISTORY_CHANGED)
            _log.warning("the terminal's history changed", symbol=stream.key.symbol)
            await self._note_change(stream, fresh, offset)
            stream.cursor = stream.cursor.restarted(rows[: len(rows) - len(fresh)])
        elif stream.cursor.is_rewound:
            stream.cursor = stream.cursor.restarted(rows[: len(rows) - len(fresh)])
        if answer.converted.not_representable and len(fresh):
            self._metrics.increment(PRICES_NOT_REPRESENTABLE, answer.converted.not_representable)
        if answer.digits_now != stream.digits:
            _log.warning("digits changed", symbol=stream.key.symbol, digits=answer.digits_now)
            await self._reopen(stream, answer.digits_now)
            return fresh[:0]
        return fresh

    async def _note_change(
        self, stream: TickStream, fresh: TickArray, offset: BrokerOffset | None
    ) -> None:
        """What the terminal gives now may hold ticks that it did not give before: a gap."""
        offset = offset or BrokerOffset(offset_s=0)
        ends_ms = int(fresh["event_ms"][0]) if len(fresh) else stream.cursor.last_ms
        moments = np.array([stream.cursor.second * 1_000, ends_ms], np.int64)
        from_ms, until_ms = (moments - offset.of(moments) * 1_000).tolist()
        await self._note_gap(stream, from_ms, until_ms, REASON_HISTORY)

    async def _note_gap(
        self, stream: TickStream, from_ms: int, until_ms: int, reason: str
    ) -> None:
        await self._journal.gaps.add(
            GapRecord(
                stream=stream.id,
                symbol=stream.key.symbol,
                first_missing=0,
                last_missing=0,
                reason=reason,
                noticed_ns=self._clock.now_ns(),
                from_ms=from_ms,
                until_ms=until_ms,
            )
        )

    async def after_unknown_nights(
        self, stream: TickStream, rows: TickArray, offset: BrokerOffset | None
    ) -> TickArray:
        """A stream begins where the broker's clock is known; what was before is a gap that stays."""
        if offset is None or stream.next_sequence > 1 or not len(rows):
            return rows
        begins_ms = offset.known_from_ms
        from_ms = int(rows["event_ms"][0] - offset.of(rows["event_ms"][:1])[0] * 1_000)
        if from_ms >= begins_ms:
            return rows
        second = begins_ms // 1_000 + offset.at(begins_ms)
        _log.warning("history from before clocks changed is left out", symbol=stream.key.symbol)
        await self._note_gap(stream, from_ms, begins_ms, REASON_NIGHT)
        stream.cursor = TickCursor(second=second)
        return rows[:0]

    async def _reopen(self, stream: TickStream, digits: int) -> None:
        """A later epoch that begins where the old one ends; the old rows read in new digits."""
        fresh = await self._journal.reopen_stream(stream, digits)
        cursor = fresh.cursor
        [ticks] = await self._terminal.ask(newest(fresh, 0), lane=Lane.TICKS)
        if ticks.value is not None:
            fresh.cursor = cursor.restarted(to_rows(ticks.value, digits).rows)
