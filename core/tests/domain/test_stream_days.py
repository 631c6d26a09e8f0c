"""A day's digest: the same in any batches and order, another one for any difference."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from aitrading.core.domain.market import TICK_DTYPE, TickArray
from aitrading.core.domain.stream_days import DAY_MS, DayTotal, days_of

FIELDS = ("event_ms", "bid", "ask", "last", "flags")


def some(count: int, seed: int) -> TickArray:
    random = np.random.default_rng(seed)
    rows = np.zeros(count, TICK_DTYPE)
    rows["event_ms"] = 20_000 * DAY_MS + np.sort(random.integers(0, 3 * DAY_MS, count))
    for side in ("bid", "ask", "last"):
        rows[side] = random.integers(-(1 << 31), (1 << 31) - 1, count)
    rows["flags"] = random.integers(0, 1 << 16, count)
    return rows


def merged(*parts: dict[int, DayTotal]) -> dict[int, DayTotal]:
    found: dict[int, DayTotal] = {}
    for part in parts:
        for day, total in part.items():
            found[day] = found.get(day, DayTotal()).plus(total)
    return found


@given(count=st.integers(1, 60), cut=st.integers(0, 60), seed=st.integers(0, 1_000))
@settings(max_examples=40)
def test_batches_and_their_order_change_nothing(count: int, cut: int, seed: int) -> None:
    rows, cut = some(count, seed), min(cut, count)
    whole = days_of(5, rows, 7_200)
    first, second = days_of(5, rows[:cut], 7_200), days_of(5 + cut, rows[cut:], 7_200)
    assert merged(second, first) == whole
    assert sum(total.ticks for total in whole.values()) == count


@given(
    count=st.integers(2, 30),
    at=st.integers(0, 29),
    field=st.sampled_from(FIELDS),
    seed=st.integers(0, 99),
)
@settings(max_examples=60)
def test_any_difference_shows(count: int, at: int, field: str, seed: int) -> None:
    rows, at = some(count, seed), at % count
    whole = days_of(1, rows, 0)
    altered = rows.copy()
    altered[field][at] ^= 1
    assert days_of(1, altered, 0) != whole
    assert days_of(2, rows, 0) != whole
    assert days_of(1, np.delete(rows, at), 0) != whole
    assert merged(whole, days_of(1 + at, rows[at : at + 1], 0)) != whole


def test_the_digest_is_the_one_that_is_documented() -> None:
    mask, step = (1 << 64) - 1, 0x9E3779B97F4A7C15

    def mixed(x: int) -> int:
        x = x + step & mask
        x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & mask
        x = (x ^ x >> 27) * 0x94D049BB133111EB & mask
        return x ^ x >> 31

    rows = np.zeros(2, TICK_DTYPE)
    rows["event_ms"] = [1_000 + 7_200_000, 2_000 + 7_200_000]
    rows["bid"], rows["ask"], rows["last"], rows["flags"] = [-5, 6], [7, 8], [-1, 0], [6, 130]
    low = high = 0
    for sequence, row in enumerate(rows.tolist(), start=9):
        event_ms, bid, ask, last, flags, _ = row
        h = mixed(sequence)
        h = mixed(h ^ event_ms - 7_200_000)
        h = mixed(h ^ ((bid & 0xFFFFFFFF) << 32 | ask & 0xFFFFFFFF))
        h = mixed(h ^ ((last & 0xFFFFFFFF) << 16 | flags))
        low, high = low + h & mask, high + mixed(h ^ 0xD6E8FEB86659FD93) & mask
    assert days_of(9, rows, 7_200) == {0: DayTotal(2, low, high)}
    assert DayTotal.of(2, DayTotal(2, low, high).digest) == DayTotal(2, low, high)
