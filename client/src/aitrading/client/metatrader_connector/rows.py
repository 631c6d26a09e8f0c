"""From the terminal's doubles to exact rows."""

from dataclasses import dataclass

import numpy as np

from aitrading.client.terminal.api.arrays import TickRows
from aitrading.core.domain.market import TICK_DTYPE, TickArray, points_of


@dataclass(frozen=True, slots=True)
class Conversion:
    """One row per tick; a price that the digits cannot express is 0, as if absent."""

    rows: TickArray
    not_representable: int


def to_rows(ticks: TickRows, digits: int) -> Conversion:
    """Convert a terminal's answer; keeps one row per tick so that positions can be counted."""
    rows = np.zeros(len(ticks), TICK_DTYPE)
    rows["event_ms"] = ticks["time_msc"]
    rows["flags"] = ticks["flags"] & np.uint32(0xFFFF)
    bad = 0
    for side in ("bid", "ask", "last"):
        rows[side], representable = points_of(ticks[side], digits)
        bad += len(ticks) - int(np.count_nonzero(representable))
    return Conversion(rows, bad)
