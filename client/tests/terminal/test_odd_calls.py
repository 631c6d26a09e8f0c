"""Whatever a script passes, a function answers None or False and says why; it never raises."""

import json
import threading
from collections.abc import Generator
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import numpy as np
import pytest

from aitrading.client.terminal.broker_time import broker_offset_s
from aitrading.client.terminal.port import Terminal
from aitrading.client.terminal.sim import SimulatedTerminal
from aitrading.client.terminal.sim.clock import STEP_S_MAX
from aitrading.client.terminal.sim.market.bars import BARS_MAX
from aitrading.client.terminal.sim.module import twin_module
from aitrading.client.terminal.sim.process.remote import RemoteTerminal
from aitrading.client.terminal.sim.process.server import TwinServer
from aitrading.client.terminal.sim.world import WorldOptions
from aitrading.core.testing.manual_clock import ManualClock

SPEC: Final[dict[str, Any]] = json.loads(
    Path(__file__).with_name("spec").joinpath("metatrader5.json").read_text()
)
START_S: Final = 1_700_000_000
NOW_S: Final = START_S + broker_offset_s(START_S)
EAST: Final = timezone(timedelta(hours=14))
ODD: Final = (
    None, "", "NOPE", "EURUSD", "*", "\x00", "\ud800", "é" * 9, "a" * 10_000, b"EURUSD",
    True, -1, 0, 7, 1 << 31, 1 << 40, (1 << 63) - 1, 1 << 63, -(1 << 63), 1 << 64, 10**400,
    -1.0, 0.0, 1e-12, 1e15, 1e308, float("nan"), float("inf"), float("-inf"),
    np.int64(5), np.float64(1.0), np.float64("nan"), np.float32(1), np.array([1]), Decimal(1),
    datetime(1, 1, 1, tzinfo=EAST), datetime(9999, 12, 31, 23, tzinfo=UTC),
    datetime(1, 1, 1), datetime(2023, 11, 14),  # noqa: DTZ001 - careless scripts pass them
    date(2023, 11, 14), [], {}, (), object(), len,
)  # fmt: skip
GOOD: Final[dict[str, tuple[Any, ...]]] = {
    "symbol_info": ("EURUSD",),
    "symbol_info_tick": ("EURUSD",),
    "symbol_select": ("EURUSD", True),
    "market_book_add": ("EURUSD",),
    "market_book_get": ("EURUSD",),
    "market_book_release": ("EURUSD",),
    "copy_rates_from": ("EURUSD", 1, NOW_S, 3),
    "copy_rates_from_pos": ("EURUSD", 1, 0, 3),
    "copy_rates_range": ("EURUSD", 1, NOW_S - 600, NOW_S),
    "copy_ticks_from": ("EURUSD", NOW_S - 10, 3, -1),
    "copy_ticks_range": ("EURUSD", NOW_S - 10, NOW_S, -1),
    "history_orders_total": (0, NOW_S),
    "history_deals_total": (0, NOW_S),
    "order_calc_margin": (0, "EURUSD", 1.0, 1.1),
    "order_calc_profit": (0, "EURUSD", 1.0, 1.1, 1.2),
}
NAMES: Final = {
    "initialize": ("login", "server", "password", "timeout", "path", "portable"),
    "login": ("login", "server", "password", "timeout"),
    "symbols_get": ("group",),
    "orders_get": ("symbol", "ticket", "group"),
    "positions_get": ("symbol", "ticket", "group"),
    "history_orders_get": ("position", "ticket", "group"),
    "history_deals_get": ("position", "ticket", "group"),
}
REQUESTS: Final = (1, 5, 6, 7, 8, 10)
SHORT: Final = WorldOptions(ticks_per_s=0.05, history_s=2 * 86_400)


@pytest.fixture(params=["here", "there"])
def mt5(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Terminal | ModuleType]:
    """The twin in this process, and one in another as far as the wire between is concerned."""
    here = SimulatedTerminal(ManualClock(), options=SHORT)
    if request.param == "here":
        module = twin_module(here)
        module.initialize()
        yield module
        return
    server = TwinServer(here, tmp_path / "twin.json")
    thread = threading.Thread(target=server.serve)
    thread.start()
    there = RemoteTerminal(tmp_path / "twin.json")
    there.initialize()
    yield there
    there.shutdown()
    server.close()
    thread.join()


def is_told(mt5: Any, answer: object) -> bool:
    """A refusal has a reason, an answer none."""
    code, text = mt5.last_error()
    return bool(text) and (code == 1) is (answer is not None and answer is not False)


@pytest.mark.parametrize("name", SPEC["functions"]["positional"])
def test_by_place(mt5: Any, name: str) -> None:
    for place in range(len(GOOD[name])):
        for odd in ODD:
            given = (*GOOD[name][:place], odd, *GOOD[name][place + 1 :])
            answer = getattr(mt5, name)(*given)
            assert is_told(mt5, answer), given


@pytest.mark.parametrize("name", NAMES)
def test_by_name(mt5: Any, name: str) -> None:
    for key in NAMES[name]:
        for odd in ODD:
            answer = getattr(mt5, name)(**{key: odd})
            assert is_told(mt5, answer), (key, odd)


@pytest.mark.parametrize("name", ["order_check", "order_send"])
def test_in_a_request(mt5: Any, name: str) -> None:
    ask = mt5.symbol_info_tick("EURUSD").ask
    good = dict.fromkeys(SPEC["structs"]["TradeRequest"], 0) | {
        "symbol": "EURUSD", "volume": 0.1, "price": ask, "comment": "x",
    }  # fmt: skip
    function = getattr(mt5, name)
    for action in REQUESTS:
        for key in good:
            for odd in ODD:
                answer = function(good | {"action": action, key: odd})
                assert is_told(mt5, answer), (action, key, odd)
                if answer is not None:
                    assert answer.retcode == 0 or answer.retcode in SPEC["constants"].values()
    for odd in ODD:
        assert function(odd) is None or isinstance(odd, dict)
        assert function(odd, odd) is None


@pytest.fixture
def terminal() -> SimulatedTerminal:
    terminal = SimulatedTerminal(ManualClock(), options=SHORT)
    assert terminal.initialize()
    return terminal


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf"), 1e15])
def test_no_margin_and_no_profit_of_what_is_no_amount(
    terminal: SimulatedTerminal, value: float
) -> None:
    for volume, price in ((value, 1.1), (1.0, value)):
        assert terminal.order_calc_margin(0, "EURUSD", volume, price) is None
        assert terminal.last_error() == (-2, "Terminal: Invalid params")
        assert terminal.order_calc_profit(0, "EURUSD", volume, 1.1, price) is None
        assert terminal.last_error() == (-2, "Terminal: Invalid params")


def test_arrays_belong_to_who_asked(mt5: Any) -> None:
    for name in ("copy_ticks_from", "copy_rates_from_pos"):
        mine = getattr(mt5, name)(*GOOD[name])
        before = mine.copy()
        mine["time"] += 3_600
        assert getattr(mt5, name)(*GOOD[name]).tobytes() == before.tobytes() != mine.tobytes()


def test_as_many_bars_as_a_terminal_keeps_are_refused() -> None:
    terminal = SimulatedTerminal(ManualClock(), ticks_per_s=0.05)
    terminal.initialize()
    info = terminal.terminal_info()
    assert info is not None
    assert info.maxbars == BARS_MAX
    for refused in (
        terminal.copy_rates_from_pos("EURUSD", 1, 0, BARS_MAX),
        terminal.copy_rates_from("EURUSD", 1, NOW_S, BARS_MAX),
        terminal.copy_rates_range("EURUSD", 1, NOW_S - 4 * 60 * BARS_MAX, NOW_S),
    ):
        assert refused is None
        assert terminal.last_error() == (-2, "Terminal: Invalid params")


def test_an_end_before_its_beginning_holds_nothing(terminal: SimulatedTerminal) -> None:
    ends = (NOW_S, NOW_S - 600)
    ticks, rates = (
        terminal.copy_ticks_range("EURUSD", *ends, -1),
        terminal.copy_rates_range("EURUSD", 1, *ends),
    )
    assert ticks is not None
    assert rates is not None
    assert (len(ticks), len(rates)) == (0, 0)
    assert terminal.history_deals_get(*ends) == ()
    assert terminal.last_error() == (1, "Success")


def test_years_that_pass_at_once_have_their_nights(terminal: SimulatedTerminal) -> None:
    bought = terminal.order_send(
        {"action": 1, "symbol": "EURUSD", "volume": 0.1, "type": 0, "type_filling": 0}
    )
    assert bought is not None
    for _ in range(2):
        terminal.world.clock.step(STEP_S_MAX)  # both before anybody asks
    (position,) = terminal.positions_get() or ()
    nights = 2 * STEP_S_MAX // 86_400
    assert position.swap == pytest.approx(-0.64 * nights, rel=0.01)
    for step_s in (STEP_S_MAX + 1.0, float("nan")):
        with pytest.raises(ValueError, match="longer"):
            terminal.world.clock.step(step_s)


def test_an_account_without_a_password_has_the_number_that_logs_in(
    terminal: SimulatedTerminal,
) -> None:
    before = terminal.account_info()
    assert terminal.login(777, server="Other")
    after = terminal.account_info()
    assert before is not None
    assert after is not None
    assert (after.login, after.balance) == (777, before.balance)
