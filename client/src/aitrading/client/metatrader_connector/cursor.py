"""Where in a terminal's tick history a stream stands.

A terminal is asked from a whole second on and gives that second's ticks again at every call.
Several ticks may share a millisecond and even every field, so neither a time nor a comparison of
values can tell old from new. The cursor therefore counts: how many ticks of its second were
taken, and a checksum of them. Histories only grow at their end, so what follows is new.
"""

import zlib
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from aitrading.core.domain.market import TICK_DTYPE, TickArray

MS_PER_S: Final = 1_000
MAX_SECOND: Final = 1 << 40


@dataclass(frozen=True, kw_only=True)
class TickCursor:
    """`taken` rows of second `second` were taken, and none after them."""

    second: int
    """Broker time in whole seconds: where the terminal is asked from."""
    taken: int = 0
    checksum: int = field(default=0, repr=False)
    """CRC-32 of the rows taken of that second."""
    last_ms: int = 0
    """Broker time of the newest row taken; 0 before the first."""
    is_rewound: bool = False
    """The terminal's clock went back: its answers do not reach `last_ms` yet."""

    def fresh(self, rows: TickArray) -> TickArray | None:
        """What is new in the terminal's answer to a question from `second` on.

        None when the answer does not begin with what was taken: the terminal's history changed.
        After its clock went back, what was taken before may come again and is not new.
        """
        taken = rows[: self.taken]
        if len(taken) < self.taken or checksum_of(taken) != self.checksum:
            return None
        fresh = rows[self.taken :]
        return self.later(fresh) if self.is_rewound else fresh

    def later(self, rows: TickArray) -> TickArray:
        """What is certainly new although the history changed: whatever is later in time."""
        return rows[rows["event_ms"] > self.last_ms]

    def advance(self, rows: TickArray) -> "TickCursor":
        """The cursor after taking these rows, which follow what was taken before."""
        if not len(rows):
            return self
        last_ms = int(rows["event_ms"][-1])
        second = last_ms // MS_PER_S
        of_second = rows[rows["event_ms"] // MS_PER_S == second]
        same = second == self.second
        return TickCursor(
            second=second,
            taken=len(of_second) + (self.taken if same else 0),
            checksum=checksum_of(of_second, self.checksum if same else 0),
            last_ms=last_ms,
        )

    def restarted(self, rows: TickArray) -> "TickCursor":
        """The cursor when `rows`, an answer from `second` on, all count as taken."""
        moved = TickCursor(second=self.second).advance(rows)
        return replace(
            moved,
            last_ms=max(moved.last_ms, self.last_ms),
            is_rewound=moved.last_ms < self.last_ms,
        )


def checksum_of(rows: TickArray, start: int = 0) -> int:
    """CRC-32 of rows, continuing an earlier one."""
    return zlib.crc32(np.ascontiguousarray(rows, TICK_DTYPE).tobytes(), start)
