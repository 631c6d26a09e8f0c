"""Every function keeps the package's calling conventions, and says what is wrong in its words."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import numpy as np
import pytest

from aitrading.client.terminal.api.arrays import RATES_DTYPE, TICKS_DTYPE
from aitrading.client.terminal.api.structs import STRUCTS
from aitrading.client.terminal.broker_time import broker_offset_s
from aitrading.client.terminal.sim import SimulatedTerminal
from aitrading.client.terminal.sim.market.bars import TIMEFRAMES, next_start, period_start
from aitrading.client.terminal.sim.module import AUTHOR, VERSION, twin_module
from aitrading.core.testing.manual_clock import ManualClock

SPEC: Final[dict[str, Any]] = json.loads(
    Path(__file__).with_name("spec").joinpath("metatrader5.json").read_text()
)
CONVENTIONS: Final[Mapping[str, list[str]]] = SPEC["functions"]
START_S: Final = 1_700_000_000
NOW_S: Final = START_S + broker_offset_s(START_S)
ARGUMENTS: Final[dict[str, tuple[Any, ...]]] = {
    "symbol_info": ("EURUSD",),
    "symbol_info_tick": ("EURUSD",),
    "symbol_select": ("EURUSD", True),
    "market_book_add": ("EURUSD",),
    "market_book_get": ("EURUSD",),
    "market_book_release": ("EURUSD",),
    "copy_rates_from": ("EURUSD", 1, NOW_S, 10),
    "copy_rates_from_pos": ("EURUSD", 1, 0, 10),
    "copy_rates_range": ("EURUSD", 1, NOW_S - 600, NOW_S),
    "copy_ticks_from": ("EURUSD", NOW_S - 10, 10, -1),
    "copy_ticks_range": ("EURUSD", NOW_S - 10, NOW_S, -1),
    "history_orders_total": (0, NOW_S),
    "history_deals_total": (0, NOW_S),
    "order_calc_margin": (0, "EURUSD", 1.0, 1.1),
    "order_calc_profit": (0, "EURUSD", 1.0, 1.1, 1.2),
}


@pytest.fixture
def mt5() -> ModuleType:
    module = twin_module(SimulatedTerminal(ManualClock()))
    module.initialize()
    module.market_book_add("EURUSD")
    return module


@pytest.fixture
def quiet() -> ModuleType:
    module = twin_module(SimulatedTerminal(ManualClock(), ticks_per_s=0.02))
    module.initialize()
    return module


def request(mt5: ModuleType, **fields: object) -> dict[str, object]:
    return {
        "action": mt5.TRADE_ACTION_DEAL,
        "symbol": "EURUSD",
        "volume": 0.1,
        "type": mt5.ORDER_TYPE_BUY,
        "price": mt5.symbol_info_tick("EURUSD").ask,
        "deviation": 20,
        "type_filling": mt5.ORDER_FILLING_FOK,
        "type_time": mt5.ORDER_TIME_GTC,
    } | fields


def test_the_module_has_every_name_of_the_package(mt5: ModuleType) -> None:
    functions = {name for names in CONVENTIONS.values() for name in names}
    assert len(functions) == 35
    expected = functions | SPEC["constants"].keys() | SPEC["structs"].keys()
    assert expected <= set(dir(mt5))
    assert {name for name in dir(mt5) if not name.startswith("_")} == expected
    assert (mt5.__version__, mt5.__author__) == (VERSION, AUTHOR)
    assert all(getattr(mt5, struct.__name__) is struct for struct in STRUCTS)


@pytest.mark.parametrize("name", CONVENTIONS["no_arguments"])
def test_a_function_without_arguments(mt5: ModuleType, name: str) -> None:
    assert getattr(mt5, name)() is not None or name == "shutdown"
    with pytest.raises(TypeError):
        getattr(mt5, name)(1)
    with pytest.raises(TypeError):
        getattr(mt5, name)(symbol="EURUSD")


@pytest.mark.parametrize("name", CONVENTIONS["positional"])
def test_a_function_with_arguments_by_place(mt5: ModuleType, name: str) -> None:
    function, arguments = getattr(mt5, name), ARGUMENTS[name]
    assert function(*arguments) is not None
    assert mt5.last_error() == (1, "Success")
    with pytest.raises(TypeError):
        function(*arguments[:-1], symbol=arguments[-1])
    for wrong in ((), (*arguments, 1, 1)):
        assert not function(*wrong)
        assert mt5.last_error() == (-2, "Invalid number of arguments")
    for place, ordinal in zip(range(len(arguments)), ("1st", "2nd", "3rd"), strict=False):
        broken = (*arguments[:place], object(), *arguments[place + 1 :])
        assert not function(*broken)
        assert mt5.last_error() == (-2, f"Invalid {ordinal} unnamed argument")


@pytest.mark.parametrize(
    "name", [*CONVENTIONS["positional"], *CONVENTIONS["named"], "account_info", "orders_total"]
)
def test_without_a_connection_every_function_fails_in_the_same_way(name: str) -> None:
    terminal = SimulatedTerminal(ManualClock())
    if name == "initialize":
        assert terminal.initialize()
        return
    answer = getattr(terminal, name)(*ARGUMENTS.get(name, ()))
    assert answer is (False if name in {"login", "symbol_select", "market_book_add",
                                        "market_book_release"} else None)  # fmt: skip
    assert terminal.last_error() == (-10004, "No IPC connection")


@pytest.mark.parametrize("name", ["orders_get", "positions_get"])
def test_filters_have_names(mt5: ModuleType, name: str) -> None:
    function = getattr(mt5, name)
    assert function() == function(symbol="EURUSD") == function(group="*") == function(ticket=1)
    assert function("EURUSD") is None
    assert mt5.last_error() == (-2, "Unnamed arguments not allowed")
    assert function(ticket="1") is None
    assert mt5.last_error() == (-2, 'Invalid "ticket" argument')
    assert function(group=1) is None
    assert mt5.last_error() == (-2, 'Invalid "group" argument')
    assert function(nonsense=1) is None
    assert mt5.last_error() == (-2, "Invalid arguments")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("action", "1"),
        ("magic", 1.5),
        ("order", np.int64(1)),
        ("symbol", 1),
        ("volume", "0.1"),
        ("volume", np.float32(0.1)),
        ("volume", Decimal("0.1")),
        ("price", None),
        ("stoplimit", "1"),
        ("sl", "1"),
        ("tp", [1.0]),
        ("deviation", 20.0),
        ("type", "BUY"),
        ("type_filling", None),
        ("type_time", None),
        ("expiration", "tomorrow"),
        ("comment", 7),
        ("comment", "c" * 28),
        ("comment", "[sl]"),
        ("position", np.int64(1)),
        ("position_by", 1.0),
    ],
)
@pytest.mark.parametrize("function", ["order_send", "order_check"])
def test_a_wrong_type_in_a_request_is_told_by_its_key(
    mt5: ModuleType, function: str, field: str, value: object
) -> None:
    assert getattr(mt5, function)(request(mt5, **{field: value})) is None
    assert mt5.last_error() == (-2, f'Invalid "{field}" argument')


def test_what_the_package_takes_is_taken(mt5: ModuleType) -> None:
    taken = request(mt5, volume=np.float64(0.1), comment="c" * 27, nonsense=object())
    result = mt5.order_send(taken)
    assert result.retcode == mt5.TRADE_RETCODE_DONE
    assert result.request.volume == 0.1
    assert result.request.sl == 0.0
    assert result._asdict()["request"]._asdict()["comment"] == "c" * 27
    check = mt5.order_check(request(mt5, volume=1))
    assert (check.retcode, check.comment) == (0, "Done")
    assert check.margin > mt5.account_info().margin > 0
    assert mt5.order_send(None) is None
    assert mt5.last_error() == (-2, "Invalid 1st unnamed argument")
    assert mt5.order_send() is None
    assert mt5.last_error() == (-2, "Invalid number of arguments")


def test_a_trade_from_opening_to_history(mt5: ModuleType) -> None:
    opened = mt5.order_send(request(mt5, magic=7, comment="first"))
    (position,) = mt5.positions_get(symbol="EURUSD")
    assert (position.ticket, position.magic, position.comment) == (opened.order, 7, "first")
    assert position.profit < 0
    assert mt5.account_info().equity == pytest.approx(10_000 + position.profit)
    assert mt5.symbol_select("EURUSD", False) is False, "a symbol with a position stays"
    assert mt5.Close("EURUSD") is True
    assert mt5.positions_total() == 0
    deals = mt5.history_deals_get(position=position.ticket)
    assert [deal.entry for deal in deals] == [mt5.DEAL_ENTRY_IN, mt5.DEAL_ENTRY_OUT]
    assert mt5.account_info().balance == pytest.approx(10_000 + sum(one.profit for one in deals))
    assert len(mt5.history_orders_get(ticket=opened.order)) == 1
    assert mt5.history_deals_total(0, NOW_S + 1) == 3, "the deposit and two deals"
    by_group = mt5.history_deals_get(0, datetime.fromtimestamp(NOW_S + 1, UTC), group="*,!EUR*")
    assert [deal.type for deal in by_group] == [mt5.DEAL_TYPE_BALANCE]


def test_buy_sell_and_close(mt5: ModuleType) -> None:
    assert mt5.Buy("EURUSD", 0.1, comment="a").retcode == mt5.TRADE_RETCODE_DONE
    assert mt5.Sell("GBPUSD", 0.1, 1.0).retcode == mt5.TRADE_RETCODE_DONE
    assert mt5.Buy("NOPE", 0.1) is None
    assert mt5.Close("USDJPY") is False
    ticket = mt5.positions_get(symbol="GBPUSD")[0].ticket
    assert mt5.Close("GBPUSD", ticket=ticket) is True
    assert mt5.positions_total() == 1


def test_the_96_fields_of_a_symbol_have_their_types(mt5: ModuleType) -> None:
    for info in mt5.symbols_get("*USD*"):
        for name, kind in mt5.SymbolInfo.__annotations__.items():
            assert type(getattr(info, name)) is kind, name
        assert info.bidlow <= info.bid <= info.bidhigh
        assert info.volume_min <= info.volume_step * 10
        assert info.trade_tick_value > 0
        assert info.point == 10**-info.digits


@pytest.mark.parametrize("timeframe", sorted(TIMEFRAMES))
def test_bars_of_a_timeframe_are_made_of_its_ticks(quiet: ModuleType, timeframe: int) -> None:
    mt5 = quiet
    bars = mt5.copy_rates_from_pos("EURUSD", timeframe, 0, 2)
    assert bars.dtype == RATES_DTYPE
    forming = bars[-1]
    assert forming["time"] == period_start(timeframe, NOW_S)
    end_s = min(next_start(timeframe, int(forming["time"])), NOW_S + 1)
    ticks = mt5.copy_ticks_range("EURUSD", int(forming["time"]), end_s, mt5.COPY_TICKS_ALL)
    assert ticks.dtype == TICKS_DTYPE
    assert forming["tick_volume"] == len(ticks)
    assert forming["high"] == ticks["bid"].max()
    assert forming["low"] == ticks["bid"].min()
    assert (forming["open"], forming["close"]) == (ticks["bid"][0], ticks["bid"][-1])
    earlier = mt5.copy_rates_from_pos("EURUSD", timeframe, 1, 1)
    assert earlier.tobytes() == bars[:-1].tobytes()
    until = mt5.copy_rates_from("EURUSD", timeframe, NOW_S, 2)
    assert until.tobytes() == bars.tobytes()


def test_depth_of_market(mt5: ModuleType) -> None:
    book, tick = mt5.market_book_get("EURUSD"), mt5.symbol_info_tick("EURUSD")
    sells = [row.price for row in book if row.type == mt5.BOOK_TYPE_SELL]
    buys = [row.price for row in book if row.type == mt5.BOOK_TYPE_BUY]
    assert (min(sells), max(buys)) == (tick.ask, tick.bid)
    assert sells == sorted(sells, reverse=True)
    assert mt5.market_book_release("EURUSD")
    assert mt5.market_book_get("EURUSD") is None
    assert mt5.last_error() == (-1, "Terminal: Call failed")
