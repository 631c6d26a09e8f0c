"""How many ticks a stream has of a day, and a digest of them that both ends can compute.

The digest is a sum over rows, so it is the same in whatever order and in whatever batches they are
counted; one row that is missing, doubled or different in any digit changes it. It tells accidents;
against people there are TLS, the device's certificate and the platform's signature.

Of each row: h = m(sequence), h = m(h ^ time), h = m(h ^ (bid << 32 | ask)), h = m(h ^ (last << 16 |
flags)), where m(x) is the finaliser of splitmix64 over x + 0x9E3779B97F4A7C15; time is UTC in
milliseconds; prices are points as unsigned 32 bits; everything is modulo 2^64. The digest is the sum
of all h, followed by the sum of all m(h ^ 0xD6E8FEB86659FD93): 16 bytes, big-endian.
"""

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from aitrading.core.domain.market import TickArray

DAY_MS: Final = 86_400_000
_MASK: Final = (1 << 64) - 1
_STEP: Final = np.uint64(0x9E3779B97F4A7C15)
_FIRST: Final = np.uint64(0xBF58476D1CE4E5B9)
_SECOND: Final = np.uint64(0x94D049BB133111EB)
_OTHER_LANE: Final = np.uint64(0xD6E8FEB86659FD93)
_WORD: Final = np.uint64(0xFFFF_FFFF)

Words = NDArray[np.uint64]


class DayTotal(NamedTuple):
    """The ticks of one stream and day that were counted."""

    ticks: int = 0
    low: int = 0
    high: int = 0

    def plus(self, other: "DayTotal") -> "DayTotal":
        """Both together, when they have no row in common."""
        return DayTotal(
            self.ticks + other.ticks,
            (self.low + other.low) & _MASK,
            (self.high + other.high) & _MASK,
        )

    @property
    def digest(self) -> str:
        """32 hexadecimal digits."""
        return f"{self.low:016x}{self.high:016x}"

    @classmethod
    def of(cls, ticks: int, digest: str) -> "DayTotal":
        """From the form that travels; raises `ValueError`."""
        return cls(ticks, int(digest[:16], 16), int(digest[16:32], 16))


def days_of(first_sequence: int, rows: TickArray, broker_offset_s: int) -> dict[int, DayTotal]:
    """Totals by day (days since 1970, UTC) of consecutive rows as a terminal gave them."""
    sequences = np.arange(first_sequence, first_sequence + len(rows), dtype=np.uint64)
    times_ms = rows["event_ms"] - broker_offset_s * 1_000
    days = times_ms // DAY_MS
    if len(rows) and days[0] == days[-1] and int(days.min()) == int(days.max()):
        return {int(days[0]): _total(sequences, times_ms, rows)}
    totals: dict[int, DayTotal] = {}
    for day in np.unique(days).tolist():
        mine = days == day
        totals[day] = _total(sequences[mine], times_ms[mine], rows[mine])
    return totals


class TickMark(NamedTuple):
    """One tick of a stream, told so that who has it knows it again."""

    sequence: int = 0
    utc_ms: int = 0
    digest: str = ""
    """The digest of a day that holds this tick alone; empty when nobody knows it."""


NO_TICK: Final = TickMark()


def mark_of(sequence: int, row: TickArray, broker_offset_s: int) -> TickMark:
    """The mark of the one row, as a terminal gave it, that has this sequence."""
    [total] = days_of(sequence, row, broker_offset_s).values()
    utc_ms = row["event_ms"] - broker_offset_s * 1_000  # within 64 bits, as in the store
    return TickMark(sequence, int(utc_ms[0]), total.digest)


def total_of(
    sequences: Words,
    times_ms: NDArray[np.int64],
    prices: tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]],
    flags: NDArray[np.uint16],
) -> DayTotal:
    """The total of rows in columns; prices are bid, ask and last in points, times UTC."""
    bid, ask, last = (_unsigned(price) for price in prices)
    with np.errstate(over="ignore"):
        h = _mixed(sequences)
        h = _mixed(h ^ times_ms.astype(np.int64).view(np.uint64))
        h = _mixed(h ^ (bid << np.uint64(32) | ask))
        h = _mixed(h ^ (last << np.uint64(16) | flags.astype(np.uint64)))
        other = _mixed(h ^ _OTHER_LANE)
        low, high = h.sum(dtype=np.uint64), other.sum(dtype=np.uint64)
    return DayTotal(len(sequences), int(low), int(high))


def _total(sequences: Words, times_ms: NDArray[np.int64], rows: TickArray) -> DayTotal:
    return total_of(sequences, times_ms, (rows["bid"], rows["ask"], rows["last"]), rows["flags"])


def _unsigned(points: NDArray[Any]) -> Words:
    return points.astype(np.int64).astype(np.uint64) & _WORD


def _mixed(x: Words) -> Words:
    x = x + _STEP
    x = (x ^ (x >> np.uint64(30))) * _FIRST
    x = (x ^ (x >> np.uint64(27))) * _SECOND
    return x ^ (x >> np.uint64(31))
