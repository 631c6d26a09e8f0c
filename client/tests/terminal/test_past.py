"""The years before: thin ticks, bars made of them, the same whenever and in whatever pieces."""

import json
import tracemalloc
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from aitrading.client.terminal.api import constants as c
from aitrading.client.terminal.api.arrays import RateRows, TickRows
from aitrading.client.terminal.broker_time import broker_offset_s
from aitrading.client.terminal.sim import SimulatedTerminal
from aitrading.client.terminal.sim.market.bars import bars_of
from aitrading.client.terminal.sim.market.generator import THIN_S
from aitrading.client.terminal.sim.market.instruments import CATALOGUE
from aitrading.client.terminal.sim.market.noise import Octaves
from aitrading.client.terminal.sim.world import DENSE_S, HISTORY_S, WorldOptions
from aitrading.core.testing.manual_clock import ManualClock

SPEC: Final[dict[str, Any]] = json.loads(
    Path(__file__).with_name("spec").joinpath("metatrader5.json").read_text()
)["constants"]
NOW_S: Final = 1_700_000_000
DAY_S: Final = 86_400
DENSE_FROM_S: Final = (NOW_S - DENSE_S) // DENSE_S * DENSE_S


def opened(*, after_s: int = 0, **options: Any) -> SimulatedTerminal:
    clock = ManualClock(NOW_S * 1_000_000_000)
    options.setdefault("ticks_per_s", 0.5)
    options.setdefault("instruments", CATALOGUE)
    terminal = SimulatedTerminal(clock, options=WorldOptions(**options))
    clock.step_wall(after_s)
    assert terminal.initialize()
    return terminal


def ticks(
    terminal: SimulatedTerminal, from_s: int, to_s: int, symbol: str = "EURUSD",
    flags: int = c.COPY_TICKS_ALL,
) -> TickRows:  # fmt: skip
    """The ticks between two seconds UTC, the second one excluded."""
    offset_s = broker_offset_s(from_s)
    answer = terminal.copy_ticks_range(symbol, from_s + offset_s, to_s + offset_s, flags)
    assert answer is not None
    return answer[answer["time"] < to_s + offset_s]


def bars(terminal: SimulatedTerminal, timeframe: int, count: int) -> RateRows:
    answer = terminal.copy_rates_from_pos("EURUSD", timeframe, 0, count)
    assert answer is not None
    return answer


@pytest.mark.parametrize("timeframe", [c.TIMEFRAME_M1, c.TIMEFRAME_H1, c.TIMEFRAME_H4])
@pytest.mark.parametrize("from_s", [NOW_S - 100 * DAY_S, DENSE_FROM_S - 20_000])
def test_old_bars_are_made_of_old_ticks(timeframe: int, from_s: int) -> None:
    terminal = opened()
    begin_s = from_s // DAY_S * DAY_S
    rates = terminal.copy_rates_range("EURUSD", timeframe, begin_s, begin_s + DAY_S - 1)
    old = terminal.copy_ticks_range("EURUSD", begin_s, begin_s + DAY_S, c.COPY_TICKS_ALL)
    assert rates is not None
    assert old is not None
    old = old[old["time"] < begin_s + DAY_S]
    length_s = 60 if timeframe == c.TIMEFRAME_M1 else (timeframe & 0x3FFF) * 3_600
    made = bars_of(old["time"] // length_s * length_s, old, 5)
    assert rates.tobytes() == made.tobytes()
    assert len(rates) == DAY_S // length_s


def test_months_of_days_are_answered_without_holding_their_ticks() -> None:
    terminal = opened()
    tracemalloc.start()
    days = bars(terminal, c.TIMEFRAME_D1, 90)
    _, most_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (np.diff(days["time"]) == DAY_S).all()
    assert (days["low"] < days["high"]).all()
    assert len(days) == 90
    assert most_bytes < 16 * 2**20


def test_the_past_is_the_same_whenever_it_is_asked_for() -> None:
    terminal, later = opened(), opened(after_s=10 * DAY_S)
    for from_s in (NOW_S - 300 * DAY_S, DENSE_FROM_S - 500, NOW_S - 4_000):
        whole = ticks(terminal, from_s, from_s + 1_000)
        assert whole.tobytes() == ticks(later, from_s, from_s + 1_000).tobytes()
        pieces = [ticks(terminal, second, second + 7) for second in range(from_s, from_s + 994, 7)]
        pieces.append(ticks(terminal, from_s + 994, from_s + 1_000))
        assert np.concatenate(pieces).tobytes() == whole.tobytes()
    thin = ticks(terminal, NOW_S - 300 * DAY_S, NOW_S - 300 * DAY_S + 1_500)
    assert 90 <= len(thin) <= 1_500 // THIN_S


def test_before_the_broker_began_there_is_nothing_and_that_is_no_error() -> None:
    terminal = opened()
    long_ago_s = NOW_S - HISTORY_S - 10 * DAY_S
    assert len(ticks(terminal, long_ago_s - DAY_S, long_ago_s)) == 0
    assert terminal.last_error() == (1, "Success")
    rates = terminal.copy_rates_from("EURUSD", c.TIMEFRAME_H1, long_ago_s, 10)
    assert rates is not None
    assert len(rates) == 0
    oldest = terminal.copy_ticks_from("EURUSD", 0, 1, c.COPY_TICKS_ALL)
    assert oldest is not None
    first_s = NOW_S - HISTORY_S
    assert 0 <= int(oldest["time"][0]) - first_s - broker_offset_s(first_s) <= 4 * THIN_S


WANTED: Final = {
    "COPY_TICKS_ALL": tuple(name for name in SPEC if name.startswith("TICK_FLAG_")),
    "COPY_TICKS_INFO": ("TICK_FLAG_BID", "TICK_FLAG_ASK"),
    "COPY_TICKS_TRADE": ("TICK_FLAG_LAST", "TICK_FLAG_VOLUME"),
}


@pytest.mark.parametrize("name", [name for name in SPEC if name.startswith("COPY_TICKS_")])
@pytest.mark.parametrize("symbol", ["AAPL", "OIL.F"])
@pytest.mark.parametrize("from_s", [NOW_S - 600, NOW_S - 90 * DAY_S])
def test_an_exchange_has_deals_and_flags_choose_among_ticks(
    name: str, symbol: str, from_s: int
) -> None:
    terminal = opened(ticks_per_s=4)
    everything = ticks(terminal, from_s, from_s + 600, symbol)
    mask = sum(SPEC[flag] for flag in WANTED[name])
    chosen = ticks(terminal, from_s, from_s + 600, symbol, SPEC[name])
    assert 0 < len(chosen) <= len(everything)
    assert chosen.tobytes() == everything[(everything["flags"] & mask) != 0].tobytes()
    count = terminal.copy_ticks_from(symbol, int(chosen["time"][0]), 5, SPEC[name])
    assert count is not None
    assert count.tobytes() == chosen[:5].tobytes()


def test_a_deal_has_a_side_and_the_next_ticks_repeat_it() -> None:
    terminal = opened(ticks_per_s=4)
    rows = ticks(terminal, NOW_S - 600, NOW_S, "AAPL")
    is_deal = (rows["flags"] & c.TICK_FLAG_LAST) != 0
    is_buy = (rows["flags"] & c.TICK_FLAG_BUY) != 0
    is_sell = (rows["flags"] & c.TICK_FLAG_SELL) != 0
    assert 0.3 < is_deal.mean() < 0.8
    assert ((is_buy ^ is_sell) == is_deal).all()
    assert (rows["last"][is_buy] == rows["ask"][is_buy]).all()
    assert (rows["last"][is_sell] == rows["bid"][is_sell]).all()
    repeats = np.flatnonzero(~is_deal[1:]) + 1
    for field in ("last", "volume", "volume_real"):
        assert (rows[field][repeats] == rows[field][repeats - 1]).all()
    rates = terminal.copy_rates_range(
        "AAPL", c.TIMEFRAME_M1, int(rows["time"][0]) // 60 * 60 + 60, int(rows["time"][-1]) - 60
    )
    assert rates is not None
    first = rates[0]
    of_bar = (rows["time"] >= first["time"]) & (rows["time"] < first["time"] + 60)
    assert first["real_volume"] == rows["volume"][of_bar & is_deal].sum() > 0
    info = terminal.symbol_info("AAPL")
    assert info is not None
    assert info.lastlow <= info.last <= info.lasthigh
    assert info.volume == info.volume_real > 0


def test_currencies_have_no_deals() -> None:
    terminal = opened(ticks_per_s=4)
    for flags, is_empty in ((c.COPY_TICKS_TRADE, True), (c.COPY_TICKS_INFO, False)):
        answer = terminal.copy_ticks_range("EURUSD", NOW_S - 60, NOW_S, flags)
        assert answer is not None
        assert (len(answer) == 0) is is_empty
        assert terminal.last_error() == (1, "Success")
    whole_past = terminal.copy_ticks_range("EURUSD", 0, NOW_S, c.COPY_TICKS_TRADE)
    assert whole_past is not None
    assert len(whole_past) == 0
    info = terminal.symbol_info("EURUSD")
    assert info is not None
    assert (info.last, info.volume_real) == (0.0, 0.0)


def test_recorded_months_are_in_the_bars(tmp_path: Path) -> None:
    for day, price in (("20140304", 1.37), ("20140508", 1.39)):
        lines = "".join(
            f"{ms},{price},{price + 0.0001:.5f}\n" for ms in range(0, 3_600_000, 9_999)
        )
        tmp_path.joinpath(f"{day}_eurusd_quote.csv").write_text(lines)
    terminal = opened(replay=tmp_path, replay_starts_us=(NOW_S - 70 * DAY_S) * 1_000_000)
    months = bars(terminal, c.TIMEFRAME_MN1, 10)
    assert months["close"].tolist() == [1.37, 1.39]
    assert months["tick_volume"].tolist() == [361, 361]


def test_noise_does_not_depend_on_what_else_is_asked() -> None:
    octaves = Octaves(7, shortest_s=0.0625, longest_s=65_536)
    moments = NOW_S + np.sort(np.random.default_rng(1).random(3_000)) * 900
    whole = octaves.at(moments)
    for size in (1, 2, 255, 256, 257, 2_000):
        pieces = [octaves.at(moments[k : k + size]) for k in range(0, 3_000, size)]
        assert np.concatenate(pieces).tobytes() == whole.tobytes()
