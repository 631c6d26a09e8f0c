"""No tick is lost and none is taken twice, however the polls fall."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from aitrading.client.metatrader_connector.broker_clock import (
    BrokerClock,
    BrokerOffset,
    infer_offset_s,
)
from aitrading.client.metatrader_connector.cursor import TickCursor
from aitrading.client.metatrader_connector.rows import to_rows
from aitrading.client.terminal.api.arrays import TICKS_DTYPE
from aitrading.core.domain.market import TICK_DTYPE, TickArray

START_MS = 1_700_000_000_000


def history(steps_ms: list[int], prices: list[int]) -> TickArray:
    rows = np.zeros(len(steps_ms), TICK_DTYPE)
    rows["event_ms"] = START_MS + np.cumsum(steps_ms)
    rows["bid"] = prices
    rows["ask"] = rows["bid"] + 1
    return rows


def answer(rows: TickArray, known: int, second: int, count: int) -> TickArray:
    """What a terminal with `known` ticks says to a question from a second on."""
    visible = rows[:known]
    return visible[visible["event_ms"] >= second * 1_000][:count]


ticks = st.lists(
    st.tuples(st.sampled_from((0, 0, 0, 1, 400, 2_500)), st.sampled_from((1, 2))),
    min_size=1,
    max_size=60,
)


@given(ticks, st.lists(st.integers(0, 9), min_size=1, max_size=40), st.integers(1, 5))
def test_every_tick_is_taken_once_and_in_order(
    made: list[tuple[int, int]], growth: list[int], batch: int
) -> None:
    rows = history([step for step, _ in made], [price for _, price in made])
    cursor = TickCursor(second=START_MS // 1_000)
    taken: list[TickArray] = []
    known = 0
    for grown in [*growth, len(rows), *[0] * (len(rows) // batch + 1)]:
        known = min(len(rows), known + grown)
        seen = answer(rows, known, cursor.second, cursor.taken + batch)
        fresh = cursor.fresh(seen)
        assert fresh is not None
        cursor = cursor.advance(fresh)
        taken.append(fresh)
    assert np.concatenate(taken).tobytes() == rows.tobytes()


@given(ticks, st.data())
def test_batches_add_up_to_the_same_cursor(
    made: list[tuple[int, int]], data: st.DataObject
) -> None:
    rows = history([step for step, _ in made], [price for _, price in made])
    cut = data.draw(st.integers(0, len(rows)))
    start = TickCursor(second=START_MS // 1_000)
    assert start.advance(rows[:cut]).advance(rows[cut:]) == start.advance(rows)


def test_a_rewritten_history_is_noticed_and_nothing_old_comes_again() -> None:
    rows = history([0, 5, 5, 5], [1, 2, 3, 4])
    cursor = TickCursor(second=START_MS // 1_000).advance(rows[:3])
    changed = rows.copy()
    changed["bid"][1] = 9
    assert cursor.fresh(changed) is None
    assert cursor.later(changed).tobytes() == rows[3:].tobytes()
    restarted = cursor.restarted(changed)
    assert restarted.fresh(changed).tobytes() == b""  # type: ignore[union-attr]


def test_a_shorter_history_is_noticed() -> None:
    rows = history([0, 5, 5], [1, 2, 3])
    assert TickCursor(second=START_MS // 1_000).advance(rows).fresh(rows[:2]) is None


def test_doubles_become_exact_points_and_impossible_prices_are_counted() -> None:
    made = np.zeros(3, TICKS_DTYPE)
    made["time_msc"] = START_MS
    made["bid"] = [1.08345, 1.083455, float("nan")]
    made["ask"] = 1.08346
    made["flags"] = 6
    converted = to_rows(made, 5)
    assert converted.rows["bid"].tolist() == [108_345, 0, 0]
    assert converted.rows["ask"].tolist() == [108_346] * 3
    assert converted.not_representable == 2
    assert len(converted.rows) == 3


def test_the_offset_is_learnt_from_a_fresh_tick_and_defended_against_stale_ones() -> None:
    clock = BrokerClock()
    clock.arrived(START_MS + 7_200_000 - 40, START_MS)
    assert clock.offset_s == 7_200
    clock.arrived(START_MS + 6_300_000, START_MS)
    assert clock.offset_s == 7_200, "one tick of a quarter of an hour ago changes nothing"
    clock.arrived(START_MS + 7_200_000, START_MS)
    for _ in range(3):
        clock.arrived(START_MS + 10_800_000, START_MS)
    assert clock.offset_s == 10_800


def test_an_implausible_offset_is_no_offset() -> None:
    assert infer_offset_s(START_MS + 400_000, START_MS) is None
    assert infer_offset_s(START_MS + 15 * 3_600_000, START_MS) is None
    configured = BrokerClock(BrokerOffset(offset_s=0), is_configured=True)
    configured.arrived(START_MS + 7_200_000, START_MS)
    assert configured.offset_s == 0


def test_a_clock_that_went_back_brings_nothing_twice() -> None:
    rows = history([0, 300, 300, 300], [1, 2, 3, 4])
    cursor = TickCursor(second=START_MS // 1_000).advance(rows)
    after_step = history([0, 250], [1, 2])
    assert cursor.fresh(after_step) is None
    assert not len(cursor.later(after_step))
    cursor = cursor.restarted(after_step)
    again = history([0, 250, 50, 300, 300, 50, 30], [1, 2, 2, 3, 4, 5, 6])
    fresh = cursor.fresh(again)
    assert fresh is not None
    assert fresh["bid"].tolist() == [5, 6]
    cursor = cursor.restarted(again[:5]).advance(fresh)
    assert (cursor.is_rewound, cursor.taken) == (False, 7)
    assert cursor.last_ms == START_MS + 980
