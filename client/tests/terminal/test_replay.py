"""Recorded days come back quote by quote, at any speed, from CSV and zip."""

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from aitrading.client.terminal.api.arrays import TickRows
from aitrading.client.terminal.api.constants import COPY_TICKS_ALL, TIMEFRAME_D1
from aitrading.client.terminal.broker_time import broker_offset_s
from aitrading.client.terminal.sim import SimulatedTerminal
from aitrading.client.terminal.sim.world import WorldOptions
from aitrading.core.kit.clock import NS_PER_S
from aitrading.core.kit.errors import AitradingError
from aitrading.core.testing.manual_clock import ManualClock

START_S = 1_700_000_000
DAY_S = 86_400
RECORDED_S = 1_399_507_200  # 2014-05-08
LINES = (
    "0,1.39101,1.39114\n"
    "15681.25,1.39102,1.39116\n"
    "15681.75,1.39104,1.39118\n"
    "86399999,1.3841,1.38425\n"
)
REAL_DATA = os.environ.get("AITRADING_TEST_TICKS")
"""A folder with recorded days, zips of CSV."""


def record(folder: Path, text: str = LINES, name: str = "20140508_eurusd_quote.csv") -> Path:
    file = folder / name
    file.write_text(text)
    return file


def replayed(place: Path, *, after_s: float, **options: object) -> SimulatedTerminal:
    """A recording that began to happen `after_s` ago."""
    clock = ManualClock(round((START_S + after_s) * NS_PER_S))
    options.setdefault("replay_starts_us", START_S * 1_000_000)
    terminal = SimulatedTerminal(clock, options=WorldOptions(replay=place, **options))  # type: ignore[arg-type]
    assert terminal.initialize()
    return terminal


def everything(terminal: SimulatedTerminal, symbol: str = "EURUSD") -> TickRows:
    ticks = terminal.copy_ticks_from(symbol, 0, 10_000_000, COPY_TICKS_ALL)
    assert ticks is not None
    return ticks


def test_a_csv_file_comes_back_with_its_own_decimals_and_the_broker_clock(tmp_path: Path) -> None:
    terminal = replayed(record(tmp_path), after_s=DAY_S)
    ticks = everything(terminal)
    assert ticks["bid"].tolist() == [1.39101, 1.39102, 1.39104, 1.3841]
    offset_ms = broker_offset_s(START_S) * 1_000
    since = (ticks["time_msc"] - START_S * 1_000 - offset_ms).tolist()
    assert since == [0, 15_681, 15_681, 86_399_999]
    info = terminal.symbol_info("EURUSD")
    assert info is not None
    assert (info.digits, info.bid) == (5, 1.3841)


def test_nothing_happens_before_its_time(tmp_path: Path) -> None:
    assert len(everything(replayed(record(tmp_path), after_s=15.6815))) == 2
    assert len(everything(replayed(record(tmp_path), after_s=15.682))) == 3
    early = replayed(record(tmp_path), after_s=-5)
    assert len(everything(early)) == 0
    tick = early.symbol_info_tick("EURUSD")
    assert tick is not None
    assert tick.time_msc == 0


@pytest.mark.parametrize("speed", [1.0, 100.0, 1e9])
def test_any_speed_gives_each_quote_once(tmp_path: Path, speed: float) -> None:
    ticks = everything(replayed(record(tmp_path), after_s=DAY_S / speed + 1, speed=speed))
    assert ticks["bid"].tolist() == [1.39101, 1.39102, 1.39104, 1.3841]


def test_at_its_own_time_a_recording_is_in_its_own_year(tmp_path: Path) -> None:
    clock = ManualClock((RECORDED_S + DAY_S) * NS_PER_S)
    options = WorldOptions(replay=record(tmp_path), replay_starts_us=RECORDED_S * 1_000_000)
    terminal = SimulatedTerminal(clock, options=options)
    terminal.initialize()
    offset_s = broker_offset_s(RECORDED_S)
    assert int(everything(terminal)["time"][0]) == RECORDED_S + offset_s


def test_a_folder_of_days_and_symbols_with_archives(tmp_path: Path) -> None:
    record(tmp_path)
    with zipfile.ZipFile(tmp_path / "gold.zip", "w") as archive:
        archive.writestr("20140509_xauusd_quote.csv", "1,1290.331,1290.663\n")
        record(tmp_path, "5,1.4,1.5\n", "20140509_eurusd_quote.csv")
    terminal = replayed(tmp_path, after_s=2 * DAY_S)
    assert terminal.symbols_total() == 2
    assert everything(terminal)["bid"].tolist() == [1.39101, 1.39102, 1.39104, 1.3841, 1.4]
    assert everything(terminal, "XAUUSD")["bid"].tolist() == [1290.331]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("20140508_eurusd_quote.csv", "1,2\n"),
        ("20140508_eurusd_quote.csv", "1,2,x\n"),
        ("20140508_eurusd_quote.csv", "-1,2,3\n"),
        ("20140508_eurusd_quote.csv", "86400000,2,3\n"),
        ("20140508_eurusd_quote.csv", "1,nan,3\n"),
        ("20149908_eurusd_quote.csv", LINES),
        ("eurusd.csv", LINES),
        ("20140508_eurusd_quote.zip", "no archive"),
        ("readme.txt", LINES),
    ],
)
def test_a_recording_that_cannot_be_read_says_why(tmp_path: Path, name: str, text: str) -> None:
    record(tmp_path, text, name)
    with pytest.raises(AitradingError, match="cannot be replayed"):
        everything(replayed(tmp_path, after_s=DAY_S))


def test_a_real_day_of_gold_comes_back_complete() -> None:
    file = Path(REAL_DATA or "") / "oanda_xauusd_20140502_quote.zip"
    if not REAL_DATA or not file.exists():
        pytest.skip("AITRADING_TEST_TICKS names no folder with oanda_xauusd_20140502_quote.zip")
    terminal = replayed(file, after_s=DAY_S)
    ticks = everything(terminal, "XAUUSD")
    assert len(ticks) == 265_015
    assert (np.diff(ticks["time_msc"]) >= 0).all()
    _, per_second = np.unique(ticks["time"], return_counts=True)
    assert per_second.max() >= 300
    days = terminal.copy_rates_from_pos("XAUUSD", TIMEFRAME_D1, 0, 10)
    assert days is not None
    assert int(days["tick_volume"].sum()) == 265_015
