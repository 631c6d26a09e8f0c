"""Ticks as a bad feed delivers them: some twice, some with the time of their neighbour.

Which ones is decided by seed and time alone, so that history answers the same again.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from typing_extensions import override

from aitrading.client.terminal.sim.market.noise import keys_of_each, uniform
from aitrading.client.terminal.sim.market.ticks import (
    US_PER_S,
    Floats,
    TickBlock,
    TickSource,
    Whole,
)


class TickFault(NamedTuple):
    """How often ticks of a source are wrong."""

    key: int
    probability: float
    is_duplicate: bool
    """Comes twice; otherwise its time is exchanged with the next one's."""


class FaultyMarket(TickSource):
    """Another source with its faults added."""

    def __init__(self, source: TickSource, faults: Sequence[TickFault]) -> None:
        self._source = source
        self._faults = faults

    @property
    @override
    def digits(self) -> int:
        return self._source.digits

    @property
    @override
    def has_deals(self) -> bool:
        return self._source.has_deals

    @override
    def block_s(self, utc_s: int) -> int:
        return self._source.block_s(utc_s)

    @override
    def first_s(self, now_s: int) -> int:
        return self._source.first_s(now_s)

    @override
    def open_before(self, utc_s: int) -> int | None:
        return self._source.open_before(utc_s)

    @override
    def sample(self, utc_s: Floats) -> Floats | None:
        return self._source.sample(utc_s)

    @override
    def block(self, from_s: int, to_s: int) -> TickBlock:
        block = self._source.block(from_s, to_s)
        for fault in self._faults:
            drawn = uniform(
                keys_of_each(fault.key, block.time_us), np.ones(len(block.time_us), np.int64)
            )
            chosen = np.flatnonzero(drawn < fault.probability)
            if len(chosen):
                block = _doubled(block, chosen) if fault.is_duplicate else _swapped(block, chosen)
        return block


def _doubled(block: TickBlock, chosen: Whole) -> TickBlock:
    return TickBlock(
        np.insert(block.time_us, chosen, block.time_us[chosen]),
        np.insert(block.ticks, chosen, block.ticks[chosen]),
    )


def _swapped(block: TickBlock, chosen: Whole) -> TickBlock:
    """Never across a second, so that it does not matter where a block begins."""
    ticks, seconds = block.ticks.copy(), block.time_us // US_PER_S
    for index in chosen.tolist():
        if index + 1 < len(ticks) and seconds[index] == seconds[index + 1]:
            for field in ("time", "time_msc"):
                ticks[field][[index, index + 1]] = ticks[field][[index + 1, index]]
    return TickBlock(block.time_us, ticks)
