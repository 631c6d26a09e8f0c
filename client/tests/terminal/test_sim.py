"""The simulated terminal behaves as the package does, and the same way every time."""

import asyncio
from datetime import UTC, datetime

import numpy as np
import pytest

from aitrading.client.terminal.api.arrays import TICKS_DTYPE
from aitrading.client.terminal.api.constants import COPY_TICKS_ALL, COPY_TICKS_TRADE
from aitrading.client.terminal.broker_time import (
    broker_offset_s,
    is_repeated_hour,
    utc_of_broker_s,
)
from aitrading.client.terminal.sim import SimulatedTerminal
from aitrading.core.testing.manual_clock import ManualClock

START_S = 1_700_000_000
SYMBOLS = ("EURUSD", "GBPUSD", "USDJPY", "XAUUSD")


def terminal(clock: ManualClock, **options: object) -> SimulatedTerminal:
    sim = SimulatedTerminal(clock, **options)  # type: ignore[arg-type]
    sim.initialize()
    return sim


def broker_now_s() -> int:
    return START_S + broker_offset_s(START_S)


def test_four_symbols_with_the_package_own_tick_layout() -> None:
    sim = terminal(ManualClock())
    assert tuple(info.name for info in sim.symbols_get() or ()) == SYMBOLS
    ticks = sim.copy_ticks_from("EURUSD", broker_now_s() - 60, 1_000, COPY_TICKS_ALL)
    assert ticks is not None
    assert ticks.dtype == TICKS_DTYPE
    assert len(ticks) > 60
    assert (np.diff(ticks["time_msc"]) >= 0).all()
    assert (ticks["time"] == ticks["time_msc"] // 1_000).all()
    assert (ticks["ask"] > ticks["bid"]).all()
    assert (ticks["flags"] > 0).all()
    assert sim.last_error() == (1, "Success")


def test_the_same_seed_replays_and_another_does_not() -> None:
    ask = ("XAUUSD", broker_now_s() - 30, 500, COPY_TICKS_ALL)
    first = terminal(ManualClock(), seed=7).copy_ticks_from(*ask)
    again = terminal(ManualClock(), seed=7).copy_ticks_from(*ask)
    other = terminal(ManualClock(), seed=8).copy_ticks_from(*ask)
    assert first is not None
    assert again is not None
    assert other is not None
    assert first.tobytes() == again.tobytes() != other.tobytes()


async def _later(clock: ManualClock, sim: SimulatedTerminal) -> tuple[bytes, bytes]:
    ask = ("EURUSD", broker_now_s() - 5, 100_000, COPY_TICKS_ALL)
    before = sim.copy_ticks_from(*ask)
    await clock.advance(0.2503)
    after = sim.copy_ticks_from(*ask)
    assert before is not None
    assert after is not None
    assert len(after) > len(before)
    return before.tobytes(), after.tobytes()


def test_history_only_grows_at_its_end() -> None:
    clock = ManualClock()
    before, after = asyncio.run(_later(clock, terminal(clock, ticks_per_s=500)))
    assert after.startswith(before)


def test_a_moment_and_a_count_limit_the_answer() -> None:
    sim = terminal(ManualClock(), ticks_per_s=50)
    start = broker_now_s() - 10
    ticks = sim.copy_ticks_from("EURUSD", datetime.fromtimestamp(start, UTC), 7, COPY_TICKS_ALL)
    assert ticks is not None
    assert len(ticks) == 7
    assert ticks["time_msc"][0] >= start * 1_000
    trades = sim.copy_ticks_from("EURUSD", start, 7, COPY_TICKS_TRADE)
    assert trades is not None
    assert len(trades) == 0


def test_prices_keep_to_their_digits_and_stay_near_home() -> None:
    sim = terminal(ManualClock(), ticks_per_s=20)
    for symbol, low, high in (("EURUSD", 1.0, 1.2), ("XAUUSD", 2_000, 2_700)):
        info = sim.symbol_info(symbol)
        ticks = sim.copy_ticks_from(symbol, broker_now_s() - 300, 10_000, COPY_TICKS_ALL)
        assert info is not None
        assert ticks is not None
        points = ticks["bid"] * 10**info.digits
        assert np.abs(points - np.rint(points)).max() < 1e-6
        assert low < ticks["bid"].min() < ticks["ask"].max() < high
        assert len(np.unique(ticks["bid"])) > 20


def test_there_are_quiet_and_busy_seconds() -> None:
    sim = terminal(ManualClock(), ticks_per_s=40)
    ticks = sim.copy_ticks_from("GBPUSD", broker_now_s() - 300, 100_000, COPY_TICKS_ALL)
    assert ticks is not None
    _, per_second = np.unique(ticks["time"], return_counts=True)
    assert per_second.max() > 3 * np.median(per_second)


def test_what_goes_wrong_is_told_by_last_error_and_never_raised() -> None:
    sim = SimulatedTerminal(ManualClock())
    assert sim.account_info() is None
    assert sim.last_error() == (-10004, "No IPC connection")
    sim.initialize()
    assert sim.symbol_info("NOPE") is None
    assert sim.last_error() == (-4, "Terminal: Not found")
    assert sim.symbol_select("EURUSD", False)
    assert sim.copy_ticks_from("EURUSD", 0, 1, COPY_TICKS_ALL) is None, "hidden symbol"
    assert sim.symbol_select("EURUSD", True)
    assert sim.copy_ticks_from("EURUSD", 0, -1, COPY_TICKS_ALL) is None
    assert sim.last_error()[0] == -2
    sim.shutdown()
    assert sim.symbols_get() is None


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        ("*", SYMBOLS),
        ("*USD", ("EURUSD", "GBPUSD", "XAUUSD")),
        ("*,!*JPY*", ("EURUSD", "GBPUSD", "XAUUSD")),
        ("XAU*,EUR*", ("EURUSD", "XAUUSD")),
    ],
)
def test_group_masks(group: str, expected: tuple[str, ...]) -> None:
    sim = terminal(ManualClock())
    assert tuple(info.name for info in sim.symbols_get(group) or ()) == expected


@pytest.mark.parametrize(
    ("utc", "offset_h"),
    [
        (datetime(2026, 1, 15, tzinfo=UTC), 2),
        (datetime(2026, 3, 8, 6, 59, 59, tzinfo=UTC), 2),
        (datetime(2026, 3, 8, 7, 0, 0, tzinfo=UTC), 3),
        (datetime(2026, 7, 1, tzinfo=UTC), 3),
        (datetime(2026, 11, 1, 5, 59, 59, tzinfo=UTC), 3),
        (datetime(2026, 11, 1, 6, 0, 0, tzinfo=UTC), 2),
    ],
)
def test_broker_time_follows_new_york(utc: datetime, offset_h: int) -> None:
    second = int(utc.timestamp())
    assert broker_offset_s(second) == offset_h * 3_600
    if not is_repeated_hour(second):
        assert utc_of_broker_s(second + broker_offset_s(second)) == second
