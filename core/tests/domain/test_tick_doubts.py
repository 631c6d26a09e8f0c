"""Which ticks are believed: the same whatever the batches, and never against what was believed."""

from typing import Final

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitrading.core.domain.market import TICK_DTYPE, TickArray
from aitrading.core.domain.tick_doubts import (
    EARLIEST_EVENT_MS,
    Doubt,
    DoubtRules,
    TickJudge,
    counts_of,
    names_of,
)

NOW_MS: Final = 1_800_000_000_000
LATEST_MS: Final = NOW_MS + 36 * 3_600_000
RULES: Final = DoubtRules()
Row = tuple[int, int, int]


def rows_of(*given_rows: Row) -> TickArray:
    """Rows of (milliseconds after `NOW_MS`, bid, ask)."""
    rows = np.zeros(len(given_rows), TICK_DTYPE)
    for row, (after_ms, bid, ask) in zip(rows, given_rows, strict=True):
        row["event_ms"], row["bid"], row["ask"] = NOW_MS + after_ms, bid, ask
    return rows


def judged(rows: TickArray, judge: TickJudge, first: int = 1, offset_ms: int = 0) -> list[int]:
    found = judge.doubts(first, rows, offset_ms=offset_ms, latest_ms=LATEST_MS, rules=RULES)
    return [0] * len(rows) if found is None else found.tolist()


def calm(count: int, *, start_ms: int = 0, price: int = 110_000) -> list[Row]:
    return [(start_ms + 100 * n, price + n % 3, price + 10 + n % 3) for n in range(count)]


def test_an_ordinary_day_is_believed_to_the_last_tick() -> None:
    judge = TickJudge()
    assert judged(rows_of(*calm(500)), judge) == [0] * 500
    assert judged(rows_of(*calm(500, start_ms=50_000)), judge, 501) == [0] * 500


@pytest.mark.parametrize(
    ("row", "doubt"),
    [
        ((1_000, 110_020, 110_010), Doubt.CROSSED),
        ((1_000, 0, 0), Doubt.NO_PRICE),
        ((10**11, 110_000, 110_010), Doubt.TIME_IMPOSSIBLE),
        ((EARLIEST_EVENT_MS - NOW_MS - 1, 110_000, 110_010), Doubt.TIME_IMPOSSIBLE),
        ((-5_000, 110_000, 110_010), Doubt.TIME_BACK),
        ((1_000, 11_000, 11_001), Doubt.ABSURD),
        ((1_000, 1_100_000, 1_100_100), Doubt.ABSURD),
        ((1_000, 110_000, 1_100_000), Doubt.ABSURD),
        ((-5_000, 11_000, 11_001), Doubt.ABSURD | Doubt.TIME_BACK),
        ((1_000, -110_000, -109_990), Doubt.ABSURD),
        ((1_000, -(2**31), 2**31 - 1), Doubt.ABSURD),
    ],
)
def test_one_bad_tick_is_doubted_and_the_next_is_believed(row: Row, doubt: Doubt) -> None:
    for count in (1, 50):
        judge = TickJudge()
        judged(rows_of(*calm(count, start_ms=-100 * count)), judge)
        assert judged(rows_of(*calm(5), row, *calm(5, start_ms=2_000)), judge, count + 1) == [
            *[0] * 5, int(doubt), *[0] * 5,
        ]  # fmt: skip
        assert judge.newest_ms == NOW_MS + 2_400


@pytest.mark.parametrize(
    "row", [(1_000, 110_000, 110_000), (1_000, 110_000, 0), (1_000, 0, 110_010)]
)
def test_no_spread_and_one_side_alone_are_ordinary(row: Row) -> None:
    judge = TickJudge()
    assert judged(rows_of(*calm(5), row, *calm(5, start_ms=2_000)), judge) == [0] * 11


def test_each_side_is_held_against_itself() -> None:
    """A wide book whose ask is not always told: its bids are as calm as any."""
    judge = TickJudge()
    book = [(100 * n, 100, 1_000 if n % 2 else 0) for n in range(100)]
    assert judged(rows_of(*book), judge) == [0] * 100
    assert judged(rows_of((20_000, 0, 100)), judge, 101) == [int(Doubt.ABSURD)]


def test_cheap_instruments_may_move_by_a_few_points() -> None:
    judge = TickJudge()
    assert judged(rows_of((0, 2, 3), (1, 9, 10), (2, 1, 2)), judge) == [0, 0, 0]


def test_a_new_level_is_believed_when_enough_ticks_agree_for_long_enough() -> None:
    judge = TickJudge()
    judged(rows_of(*calm(5)), judge)
    jump = [(1_000 + 1_000 * n, 85_000 + n, 85_010 + n) for n in range(8)]
    assert judged(rows_of(*jump), judge, 6) == [int(Doubt.ABSURD)] * 5 + [0] * 3
    assert judged(rows_of((10_000, 110_000, 110_010)), judge, 14) == [int(Doubt.ABSURD)]


def test_many_ticks_at_once_do_not_confirm_each_other() -> None:
    judge = TickJudge()
    judged(rows_of(*calm(5)), judge)
    burst = [(1_000 + n, 85_000, 85_010) for n in range(1_000)]
    assert judged(rows_of(*burst), judge, 6) == [int(Doubt.ABSURD)] * 1_000


def test_a_clock_that_was_set_back_is_believed_after_a_while() -> None:
    judge = TickJudge()
    judged(rows_of((36_000_000, 110_000, 110_010)), judge)
    back = judged(rows_of(*calm(100)), judge, 2)
    assert back == [int(Doubt.TIME_BACK)] * 50 + [0] * 50


def test_a_night_of_changing_clocks_is_no_step_back() -> None:
    """The broker's wall clock goes back an hour, UTC does not."""
    judge = TickJudge()
    before = rows_of(*[(7_200_000 + ms, bid, ask) for ms, bid, ask in calm(5)])
    assert judged(before, judge, offset_ms=7_200_000) == [0] * 5
    after = rows_of(*[(3_600_000 + 1_000 + ms, bid, ask) for ms, bid, ask in calm(5)])
    assert judged(after, judge, 6, offset_ms=3_600_000) == [0] * 5


def test_rows_that_come_again_are_judged_anew() -> None:
    judge = TickJudge()
    judged(rows_of(*calm(50)), judge)
    assert judged(rows_of(*calm(50)), judge) == [0] * 50


def test_words_and_counts() -> None:
    word = int(Doubt.ABSURD | Doubt.TIME_BACK)
    assert names_of(word) == ("TIME_BACK", "ABSURD")
    assert counts_of(np.array([0, word, 32, 8], "u2")) == {
        Doubt.TIME_BACK: 1, Doubt.ABSURD: 1, Doubt.CROSSED: 1,
    }  # fmt: skip


TIMES = st.integers(-20_000, 20_000) | st.sampled_from([-(2**62), 2**62, 10**12])
PRICES = st.integers(99_000, 101_000) | st.sampled_from(
    [0, 50_000, 200_000, -5, 2**31 - 1, -(2**31)]
)


@given(st.lists(st.tuples(TIMES, PRICES, PRICES), min_size=1, max_size=60), st.data())
def test_what_is_believed_does_not_depend_on_how_ticks_are_batched(
    given_rows: list[Row], data: st.DataObject
) -> None:
    rows = np.zeros(len(given_rows), TICK_DTYPE)
    for row, (after_ms, bid, ask) in zip(rows, given_rows, strict=True):
        row["event_ms"], row["bid"], row["ask"] = NOW_MS + after_ms, bid, ask
    whole = judged(rows, TickJudge())
    pieces: list[int] = []
    judge = TickJudge()
    while len(pieces) < len(rows):
        size = data.draw(st.integers(1, len(rows) - len(pieces)))
        pieces += judged(rows[len(pieces) : len(pieces) + size], judge, len(pieces) + 1)
    assert pieces == whole


@given(st.lists(st.tuples(TIMES, PRICES, PRICES), min_size=1, max_size=200))
def test_what_is_believed_is_plausible(given_rows: list[Row]) -> None:
    """Without enough agreement nothing that is believed is crossed, empty, early or far away."""
    rows = rows_of(*given_rows)
    never = DoubtRules(confirm_ticks=10_000)
    found = TickJudge().doubts(1, rows, offset_ms=0, latest_ms=LATEST_MS, rules=never)
    kept = rows if found is None else rows[found == 0]
    times = kept["event_ms"]
    assert (times[1:] >= times[:-1]).all()
    assert not ((kept["ask"] < kept["bid"]) & (kept["ask"] != 0) & (kept["bid"] != 0)).any()
    assert ((kept["bid"] != 0) | (kept["ask"] != 0)).all()
    assert ((times >= EARLIEST_EVENT_MS) & (times <= LATEST_MS)).all()
