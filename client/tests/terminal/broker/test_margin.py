"""Margin by calculation mode, cover, conversion, and what happens when it is not enough."""

from decimal import Decimal
from typing import Any

import pytest
from harness.trader import ASK, EURUSD, LOT, USDJPY, XAUUSD, Trader, done, netting

from aitrading.client.terminal.sim.broker.broker import Broker
from aitrading.client.terminal.sim.broker.kinds import (
    CalcMode,
    Entry,
    OrderKind,
    OrderState,
    Reason,
    Side,
    StopOutMode,
)
from aitrading.client.terminal.sim.broker.specs import AccountSpec, SymbolSpec

TICKS = {"tick_value": Decimal("12.5"), "tick_size_points": 25}
MODES: list[tuple[CalcMode, dict[str, Any], int, int]] = [
    # mode, specification, margin of a lot bought at 1.10000, result of a hundred points, in cents
    (CalcMode.FOREX, {}, 110_000, 10_000),
    (CalcMode.FOREX_NO_LEVERAGE, {}, 11_000_000, 10_000),
    (CalcMode.CFD, {"currency_margin": "USD"}, 11_000_000, 10_000),
    (CalcMode.CFDLEVERAGE, {"currency_margin": "USD"}, 110_000, 10_000),
    (CalcMode.CFDINDEX, {"currency_margin": "USD", **TICKS}, 550_000_000_000, 10_000),
    (CalcMode.FUTURES, {"margin_initial": Decimal(2_000), "currency_margin": "USD", **TICKS}, 200_000, 5_000),
    (CalcMode.EXCH_FUTURES, {"margin_initial": Decimal(2_000), **TICKS}, 220_000, 5_000),
    (CalcMode.EXCH_STOCKS, {"currency_margin": "USD"}, 11_000_000, 10_000),
    (CalcMode.EXCH_BONDS, {"currency_margin": "USD", "face_value": Decimal(1_000)}, 110_000_000, 100_000),
    (CalcMode.SERV_COLLATERAL, {}, 0, 0),
    (CalcMode.FOREX, {"margin_rate": Decimal("1.5")}, 165_000, 10_000),
    (CalcMode.FOREX, {"margin_initial": Decimal(500)}, 55_000, 10_000),
]  # fmt: skip


@pytest.mark.parametrize(("mode", "spec", "margin", "profit"), MODES)
def test_each_mode_has_its_formulas(
    mode: CalcMode, spec: dict[str, Any], margin: int, profit: int
) -> None:
    broker = _broker_of_a_thing(mode, spec)
    assert broker.calc_margin(Side.BUY, "THING", LOT, ASK) == margin
    assert broker.calc_profit(Side.BUY, "THING", LOT, ASK, ASK + 100) == profit
    assert broker.calc_profit(Side.SELL, "THING", LOT, ASK, ASK + 100) == -profit


def _broker_of_a_thing(mode: CalcMode, spec: dict[str, Any]) -> Broker:
    """A symbol like a pair, beside the pair that tells what a euro is."""
    fields = {"name": "THING", "digits": 5, "currency_base": "EUR", "currency_profit": "USD"}
    thing = SymbolSpec(**{"currency_margin": "EUR", "calc_mode": mode, **fields, **spec})
    broker = Broker(AccountSpec(), {"EURUSD": EURUSD, "THING": thing})
    broker.on_tick("EURUSD", ASK, ASK, 1)
    return broker


@pytest.mark.parametrize(
    ("spec", "sells", "margin"),
    [
        ({}, LOT, 109_995),  # a covered lot counts as one, at the average of both sides
        ({"margin_hedged": Decimal(50_000)}, LOT, 54_998),
        ({"margin_hedged": Decimal(0)}, LOT, 0),
        ({"margin_hedged": Decimal(0)}, 3 * LOT, 219_980),  # two sold lots are uncovered
        ({"margin_hedged_use_leg": True}, 3 * LOT, 329_970),
        ({"margin_initial": Decimal(1_000), "margin_hedged": Decimal(250)}, LOT, 27_499),
        ({"margin_initial": Decimal(1_000), "margin_maintenance": Decimal(600)}, LOT, 65_997),
    ],
)
def test_covered_volume_binds_less(spec: dict[str, Any], sells: int, margin: int) -> None:
    trader = Trader(AccountSpec(deposit=10**8), **spec)
    done(trader.buy(LOT))
    done(trader.sell(sells))
    assert trader.broker.account.margin == margin


def test_margin_stays_as_it_was_booked() -> None:
    trader = Trader()
    done(trader.buy())
    trader.tick(111_000)
    assert trader.broker.account.margin == 110_000


def test_a_waiting_order_reserves_its_share() -> None:
    trader = Trader(None, margin_rate_pending=Decimal("0.5"))
    placed = done(trader.place(OrderKind.BUY_LIMIT, 109_000))
    assert trader.broker.account.margin == 55_000
    trader.send(action=8, order=placed.order)
    assert trader.broker.account.margin == 0


def test_results_are_converted_at_the_side_that_is_worse() -> None:
    trader = Trader()
    gain = trader.broker.calc_profit(Side.BUY, "USDJPY", LOT, 149_000, 150_000)
    loss = trader.broker.calc_profit(Side.BUY, "USDJPY", LOT, 150_000, 149_000)
    assert gain == 66_667  # 100,000 yen at the ask of 150.000
    assert loss == -66_671  # and at the bid of 149.990


def test_a_rate_may_take_two_pairs_and_may_be_missing() -> None:
    names = ("name", "digits", "currency_base", "currency_profit", "currency_margin")
    eurjpy = SymbolSpec(**dict(zip(names, ("EURJPY", 3, "EUR", "JPY", "EUR"), strict=True)))
    gold = XAUUSD
    symbols = {spec.name: spec for spec in (EURUSD, USDJPY, eurjpy, gold)}
    broker = Broker(AccountSpec(currency="EUR"), symbols)
    assert broker.calc_profit(Side.BUY, "XAUUSD", LOT, 200_000, 200_100) is None
    broker.on_tick("EURUSD", 109_990, 110_000, 1)
    assert broker.calc_profit(Side.BUY, "XAUUSD", LOT, 200_000, 200_110) == 10_000
    pound = Broker(AccountSpec(currency="GBP"), symbols)
    pound.on_tick("EURUSD", 109_990, 110_000, 1)
    assert pound.calc_margin(Side.BUY, "EURUSD", LOT, 110_000) is None
    gbpusd = SymbolSpec(**dict(zip(names, ("GBPUSD", 5, "GBP", "USD", "GBP"), strict=True)))
    pound = Broker(AccountSpec(currency="GBP"), {**symbols, "GBPUSD": gbpusd})
    pound.on_tick("EURUSD", 109_990, 110_000, 1)
    pound.on_tick("GBPUSD", 125_000, 125_000, 1)
    assert pound.calc_margin(Side.BUY, "EURUSD", LOT, 110_000) == 88_000


def test_the_worst_loser_goes_first_and_no_more_than_must() -> None:
    trader = Trader(AccountSpec(deposit=300_000))
    small = done(trader.buy(LOT))
    trader.tick(110_090)
    large = done(trader.buy(LOT))
    trader.tick(108_901)  # 3,000 - 1,099 - 1,199 = 702 of 2,201 margin: below half
    assert trader.position.ticket == small.order
    deal = trader.deals[-1]
    assert (deal.position, deal.entry, deal.reason) == (large.order, Entry.OUT, Reason.SO)
    assert deal.comment == "so: 31.89%/702.00/2201.00"
    assert trader.done[-1].reason is Reason.SO


@pytest.mark.parametrize(
    ("bid", "is_call", "is_out"),
    [
        (110_000, False, False),
        (109_080, True, False),
        (108_531, True, False),
        (108_530, True, True),
    ],
)
def test_the_margin_call_warns_and_the_stop_out_acts(
    bid: int, is_call: bool, is_out: bool
) -> None:
    trader = Trader(AccountSpec(deposit=202_000))
    done(trader.buy())
    trader.tick(bid)
    assert trader.broker.account.is_margin_call is (is_call and not is_out)
    assert bool(trader.broker.positions()) is not is_out


def test_levels_may_be_money() -> None:
    money = {
        "stopout_mode": StopOutMode.MONEY,
        "stop_out": Decimal(500),
        "margin_call": Decimal(900),
    }
    trader = Trader(AccountSpec(deposit=202_000, **money))
    done(trader.buy())
    trader.tick(108_481)
    assert trader.broker.account.equity == 50_100
    assert trader.broker.account.is_margin_call
    trader.tick(108_480)
    assert trader.deals[-1].comment == "so: 500.00/1100.00"


def test_an_order_that_reserves_margin_goes_before_any_position() -> None:
    trader = Trader(AccountSpec(deposit=250_000), margin_rate_pending=Decimal(1))
    done(trader.buy())
    placed = done(trader.place(OrderKind.BUY_LIMIT, 105_000))
    trader.tick(108_530)
    assert not trader.broker.orders()
    assert trader.done[-1].ticket == placed.order
    assert trader.done[-1].state is OrderState.CANCELED
    assert trader.broker.positions()


def test_other_symbols_ruin_an_account_too() -> None:
    trader = Trader(AccountSpec(deposit=150_000, leverage=400))
    done(trader.buy(LOT))
    done(trader.buy(LOT // 10, symbol="XAUUSD"))
    trader.tick(109_000)
    assert len(trader.broker.positions()) == 2
    trader.tick(195_000, symbol="XAUUSD")
    assert len(trader.broker.positions()) < 2


def test_closing_needs_no_margin_and_a_reversal_needs_only_the_difference() -> None:
    trader = Trader(netting(deposit=150_000))
    done(trader.buy(LOT))
    assert trader.sell(3 * LOT).retcode == 10019
    done(trader.sell(2 * LOT))
    assert trader.position.side is Side.SELL


@pytest.mark.parametrize(
    ("symbol", "kind", "step"),
    [
        ("EURUSD", OrderKind.BUY, -1),
        ("EURUSD", OrderKind.SELL, 1),
        ("USDJPY", OrderKind.BUY, -1),
        ("USDJPY", OrderKind.SELL, 1),
    ],
)
def test_the_stop_out_comes_with_the_first_tick_that_is_too_low(
    symbol: str, kind: OrderKind, step: int
) -> None:
    """Most ticks on the way are only noted; the account is looked at in time all the same."""
    trader = Trader(AccountSpec(deposit=150_000))
    done(trader.market(kind, LOT, symbol=symbol))
    bid, noted, ticks = trader.broker.quote(symbol).bid, 0, 0
    while trader.broker.positions():
        level = trader.broker.account.margin_level
        assert level is not None
        assert level > 50
        bid, ticks = bid + step, ticks + 1
        noted += trader.broker.quote(symbol).is_quiet(bid, bid + 10)
        trader.tick(bid, symbol=symbol)
    assert trader.deals[-1].reason is Reason.SO
    assert noted > ticks * 4 // 5
