"""What a broker is like, chosen by settings alone: as a script, a client or a served twin has it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from aitrading.client.terminal.api.constants import (
    ACCOUNT_MARGIN_MODE_RETAIL_HEDGING,
    ACCOUNT_MARGIN_MODE_RETAIL_NETTING,
    ORDER_FILLING_FOK,
    ORDER_FILLING_IOC,
    ORDER_TYPE_BUY,
    ORDER_TYPE_BUY_LIMIT,
    ORDER_TYPE_SELL,
    TRADE_ACTION_DEAL,
    TRADE_ACTION_PENDING,
    TRADE_ACTION_REMOVE,
    TRADE_RETCODE_DONE,
    TRADE_RETCODE_DONE_PARTIAL,
    TRADE_RETCODE_FROZEN,
    TRADE_RETCODE_INVALID_FILL,
    TRADE_RETCODE_INVALID_PRICE,
    TRADE_RETCODE_REJECT,
    TRADE_RETCODE_REQUOTE,
)
from aitrading.client.terminal.api.structs import OrderSendResult
from aitrading.client.terminal.errors import (
    SIMULATED_SYMBOL_UNKNOWN,
    SIMULATED_TERM_WITHOUT_EFFECT,
)
from aitrading.client.terminal.sim.from_settings import settings_of, simulated_terminal
from aitrading.client.terminal.sim.terminal import SimulatedTerminal
from aitrading.core.infrastructure.config_manager import ConfigInvalidError
from aitrading.core.kit.errors import AitradingError
from aitrading.core.testing.manual_clock import ManualClock

DAY_S = 24 * 3_600


def opened(*options: str, clock: ManualClock | None = None) -> SimulatedTerminal:
    """The twin of `--set` and these options, as every way to it opens it."""
    terminal = simulated_terminal(settings_of(options), clock or ManualClock())
    assert terminal.initialize()
    return terminal


def sent(terminal: SimulatedTerminal, **changes: object) -> OrderSendResult:
    tick = terminal.symbol_info_tick("EURUSD")
    assert tick
    request: dict[str, object] = {
        "action": TRADE_ACTION_DEAL, "symbol": "EURUSD", "volume": 0.1, "type": ORDER_TYPE_BUY,
        "type_filling": ORDER_FILLING_FOK, "price": tick.ask,
    }  # fmt: skip
    result = terminal.order_send(request | changes)
    assert result, terminal.last_error()
    return result


def retcodes(*options: str) -> list[int]:
    terminal = opened(*options)
    return [sent(terminal, volume=0.01).retcode for _ in range(40)]


def test_requotes_are_as_frequent_as_asked_and_the_seed_says_which() -> None:
    options = ("execution=instant", "requotes_per_mille=400", "seed=7")
    found = retcodes(*options)
    assert set(found) == {TRADE_RETCODE_DONE, TRADE_RETCODE_REQUOTE}
    assert 6 <= found.count(TRADE_RETCODE_REQUOTE) <= 26
    assert found == retcodes(*options)
    assert found != retcodes(*options[:2], "seed=8")
    assert set(retcodes("execution=instant")) == {TRADE_RETCODE_DONE}


def missed(*options: str) -> list[int]:
    """By how many points each of some orders missed its quote."""
    terminal = opened(*options)
    results = [sent(terminal, volume=0.01) for _ in range(40)]
    return [round((result.price - result.ask) * 1e5) for result in results]


def test_slippage_stays_within_its_points_and_the_seed_says_how_far() -> None:
    found = missed("slippage_points=3", "seed=7")
    assert set(found) == {-3, -2, -1, 0, 1, 2, 3}
    assert found == missed("slippage_points=3", "seed=7")
    assert found != missed("slippage_points=3", "seed=8")
    assert set(missed("seed=7")) == {0}


@pytest.mark.parametrize(
    ("netting", "mode", "positions"),
    [
        ("true", ACCOUNT_MARGIN_MODE_RETAIL_NETTING, 0),
        ("false", ACCOUNT_MARGIN_MODE_RETAIL_HEDGING, 2),
    ],
)
def test_two_opposite_deals_by_the_kind_of_account(
    netting: str, mode: int, positions: int
) -> None:
    terminal = opened(f"netting={netting}")
    sent(terminal)
    sent(terminal, type=ORDER_TYPE_SELL)
    assert len(terminal.positions_get() or ()) == positions
    account = terminal.account_info()
    assert account
    assert account.margin_mode == mode


def test_levels_keep_orders_away_from_the_price() -> None:
    terminal = opened("stops_level_points=50", "freeze_level_points=900")
    info, tick = terminal.symbol_info("EURUSD"), terminal.symbol_info_tick("EURUSD")
    assert info
    assert tick
    assert (info.trade_stops_level, info.trade_freeze_level) == (50, 900)
    wait = {"action": TRADE_ACTION_PENDING, "type": ORDER_TYPE_BUY_LIMIT}
    near = sent(terminal, **wait, price=round(tick.ask - 0.0002, 5))
    assert near.retcode == TRADE_RETCODE_INVALID_PRICE
    far = sent(terminal, **wait, price=round(tick.ask - 0.005, 5))
    assert far.retcode == TRADE_RETCODE_DONE
    frozen = terminal.order_send({"action": TRADE_ACTION_REMOVE, "order": far.order})
    assert frozen
    assert frozen.retcode == TRADE_RETCODE_FROZEN


def test_filling_modes_and_parts() -> None:
    only_fok = opened("filling=fok")
    info = only_fok.symbol_info("EURUSD")
    assert info
    assert info.filling_mode == 1
    refused = sent(only_fok, type_filling=ORDER_FILLING_IOC)
    assert refused.retcode == TRADE_RETCODE_INVALID_FILL
    shallow = opened("filling=fok,ioc", "offered_lots=0.05")
    part = sent(shallow, type_filling=ORDER_FILLING_IOC)
    assert (part.retcode, part.volume) == (TRADE_RETCODE_DONE_PARTIAL, 0.05)
    assert sent(shallow).retcode == TRADE_RETCODE_REJECT, "all or nothing"


def test_the_account_has_the_money_the_margin_and_the_levels_that_were_chosen() -> None:
    terminal = opened(
        "deposit=250.5", "leverage=30", "margin_call_percent=80", "stop_out_percent=20"
    )
    account = terminal.account_info()
    assert account
    assert (account.balance, account.leverage) == (250.5, 30)
    assert (account.margin_so_call, account.margin_so_so) == (80.0, 20.0)


@pytest.mark.parametrize(("stop_out", "left"), [(50, 1), (1_000, 0)])
def test_the_stop_out_comes_at_its_level(stop_out: int, left: int) -> None:
    clock = ManualClock()
    levels = ("margin_call_percent=1000", f"stop_out_percent={stop_out}")
    terminal = opened("deposit=1090", "leverage=1", *levels, clock=clock)
    sent(terminal, volume=0.01)
    clock.step_wall(10)
    assert len(terminal.positions_get() or ()) == left


def test_a_night_costs_the_swap_that_was_chosen() -> None:
    clock = ManualClock()
    terminal = opened("swap_long_points=-2.5", "ticks_per_s=0.05", clock=clock)
    sent(terminal, volume=1.0)
    clock.step_wall(DAY_S)
    (position,) = terminal.positions_get() or ()
    assert position.swap == 3 * -2.5, "the clock begins on a Wednesday, which counts three nights"
    info = terminal.symbol_info("EURUSD")
    assert info
    assert (info.swap_mode, info.swap_long, info.swap_short) == (1, -2.5, 0.0)


def test_a_deal_appears_in_history_when_its_delay_is_over() -> None:
    clock = ManualClock()
    terminal = opened("history_delay_ms=2000", clock=clock)
    before = terminal.history_deals_total(0, 1 << 31)
    sent(terminal)
    assert terminal.history_deals_total(0, 1 << 31) == before
    clock.step_wall(2.5)
    assert terminal.history_deals_total(0, 1 << 31) == (before or 0) + 1


def test_only_shown_symbols_have_prices_until_they_are_selected() -> None:
    terminal = opened("shown=EURUSD", "suffix=.a")
    assert terminal.symbols_total() == 4
    assert terminal.symbol_info_tick("EURUSD.a")
    assert terminal.symbol_info_tick("XAUUSD.a") is None
    assert terminal.symbol_select("XAUUSD.a", True)
    assert terminal.symbol_info_tick("XAUUSD.a")


def test_a_recorded_symbol_has_the_suffix_and_the_terms_too(tmp_path: Path) -> None:
    recording = tmp_path / "20140508_eurusd_quotes.csv"
    recording.write_text("0,1.39000,1.39010\n60000,1.39001,1.39011\n")
    terminal = opened(f"replay={recording}", "suffix=m", "shown=EURUSD", "stops_level_points=7")
    info = terminal.symbol_info("EURUSDm")
    assert info
    assert (info.trade_stops_level, info.visible) == (7, True)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("requotes_per_mille=10",), "requotes_per_mille would do nothing: no symbol of this broker has instant"),
        (("slippage_points=1", "execution=exchange"), "slippage_points would do nothing"),
        (("shown=BTCUSD",), "cannot list BTCUSD"),
    ],
)  # fmt: skip
def test_what_could_never_happen_is_refused(options: tuple[str, ...], told: str) -> None:
    with pytest.raises(AitradingError) as refused:
        opened(*options)
    assert told in refused.value.message
    assert refused.value.spec in {SIMULATED_TERM_WITHOUT_EFFECT, SIMULATED_SYMBOL_UNKNOWN}


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("execution=dealer", "usual, request, instant, market, exchange"),
        ("filling=fok,all", "fok, ioc, boc"),
        ("requotes_per_mille=1001", "from 0 to 1000"),
        ("offered_lots=0", "from 0.01"),
        ("stop_out_percent=101", "must not be above margin_call_percent"),
    ],
)
def test_a_wrong_value_is_told_with_what_would_be_right(option: str, told: str) -> None:
    with pytest.raises(ConfigInvalidError, match="terminal_sim") as refused:
        settings_of((option,))
    assert told in refused.value.message


SCRIPT = """
import MetaTrader5 as mt5
assert mt5.initialize()
tick = mt5.symbol_info_tick("EURUSD")
request = {"action": mt5.TRADE_ACTION_DEAL, "symbol": "EURUSD", "volume": 0.1,
           "type": mt5.ORDER_TYPE_BUY, "price": tick.ask, "deviation": 20}
print(mt5.order_send(request).comment, mt5.account_info().margin_so_so)
"""
REQUOTING = {"execution": "instant", "requotes_per_mille": "1000", "stop_out_percent": "30"}


def test_an_unmodified_script_chooses_them_by_command_and_by_environment(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    run = [sys.executable, "-m", "aitrading.client", "sim"]
    chosen = [word for name, value in REQUOTING.items() for word in ("--set", f"{name}={value}")]
    folder = subprocess.run([*run, "path"], capture_output=True, text=True, check=True, timeout=90)
    environ = {
        f"AITRADING_TERMINAL_SIM_{name.upper()}": value for name, value in REQUOTING.items()
    }
    for command, more in (
        ([*run, "run", *chosen, str(script)], {}),
        ([sys.executable, str(script)], environ | {"PYTHONPATH": folder.stdout.strip()}),
    ):
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=90, env=os.environ | more
        )
        assert done.stdout == "Requote 30.0\n", done.stderr
