"""What a terminal remembers of one symbol: its ticks up to now, on the broker's clock."""

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np

from aitrading.client.terminal.api import constants as c
from aitrading.client.terminal.api.arrays import TickRows
from aitrading.client.terminal.broker_time import utc_of_broker_s
from aitrading.client.terminal.sim.market.ticks import (
    US_PER_S,
    TickBlock,
    TickSource,
    blocks,
    empty_ticks,
)

NowUs = Callable[[], int]
NEAR_S: Final = 2
"""Questions that begin this close to now are answered second by second, from the cache."""
ANSWER_TICKS_MAX: Final = 5_000_000
"""Most ticks of one answer; the terminal itself would run out of memory."""
_WANTED: Final = {
    c.COPY_TICKS_INFO: c.TICK_FLAG_BID | c.TICK_FLAG_ASK,
    c.COPY_TICKS_TRADE: c.TICK_FLAG_LAST | c.TICK_FLAG_VOLUME,
}


class SymbolHistory:
    """The past of one symbol.

    Ticks appear when the clock passes their microsecond, so that two ticks of one millisecond may
    come in different calls, as with a real terminal.
    """

    def __init__(self, source: TickSource, now_us: NowUs) -> None:
        self.source = source
        self._now_us = now_us

    def from_moment(self, from_ms: int, count: int, flags: int) -> TickRows:
        """Up to `count` ticks from a moment of the broker's clock on, that moment included."""
        return self._gathered(self._since(from_ms, flags), min(count, ANSWER_TICKS_MAX))

    def between(self, from_ms: int, to_ms: int, flags: int) -> TickRows:
        """The ticks between two moments of the broker's clock, both included."""
        return self._gathered(self._up_to(from_ms, to_ms, flags), ANSWER_TICKS_MAX)

    def newest(self, now_us: int | None = None) -> TickRows:
        """The newest tick, alone; empty when there was none yet."""
        until_us = self._now_us() if now_us is None else now_us
        utc_s: int | None = until_us // US_PER_S
        first_s = self.source.first_s(until_us // US_PER_S)
        while utc_s is not None and utc_s >= first_s:
            ticks = self.source.block(utc_s, utc_s + 1).until(until_us)
            if len(ticks):
                return ticks[-1:]
            utc_s = self.source.open_before(utc_s)
        return empty_ticks()

    def visible(self, from_s: int, to_s: int) -> Iterator[TickBlock]:
        """The ticks of these seconds, UTC, that have happened by now."""
        now_us = self._now_us()
        now_s = now_us // US_PER_S
        from_s = max(from_s, self.source.first_s(now_s))
        to_s = min(to_s, now_s + 1)
        if from_s >= now_s - NEAR_S:
            near = (self.source.block(utc_s, utc_s + 1) for utc_s in range(from_s, to_s))
        else:
            near = blocks(self.source, from_s, to_s)
        for block in near:
            ticks = block.until(now_us)
            if len(ticks):
                yield TickBlock(block.time_us[: len(ticks)], ticks)

    def _since(self, from_ms: int, flags: int) -> Iterator[TickRows]:
        if flags == c.COPY_TICKS_TRADE and not self.source.has_deals:
            return
        forever_s = self._now_us() // US_PER_S + 1
        for block in self.visible(utc_of_broker_s(from_ms // 1_000), forever_s):
            ticks = block.ticks
            if int(ticks["time_msc"][0]) < from_ms:
                ticks = ticks[ticks["time_msc"] >= from_ms]
            yield _of_kind(ticks, flags)

    def _up_to(self, from_ms: int, to_ms: int, flags: int) -> Iterator[TickRows]:
        for ticks in self._since(from_ms, flags):
            inside = ticks["time_msc"] <= to_ms
            yield ticks[inside]
            if not inside.all():
                return

    def _gathered(self, parts: Iterator[TickRows], count: int) -> TickRows:
        taken: list[TickRows] = []
        missing = count
        while missing > 0 and (part := next(parts, None)) is not None:
            if len(part):
                taken.append(part[:missing])
                missing -= len(taken[-1])
        return np.concatenate(taken) if taken else empty_ticks()  # the caller's own, to change


def _of_kind(ticks: TickRows, flags: int) -> TickRows:
    wanted = _WANTED.get(flags)
    return ticks if wanted is None else ticks[(ticks["flags"] & wanted) != 0]
