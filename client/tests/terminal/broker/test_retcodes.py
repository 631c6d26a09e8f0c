"""Every number a server can answer, and what brings it about.

The meanings are MetaTrader 5's (trade server return codes; order_send and order_check of its
Python module); 10028, 10031, 10007, 10011 and 10012 belong to a connection or a dealer and are
made by the terminal's faults.
"""

from collections.abc import Callable
from typing import NamedTuple

import pytest
from harness.trader import (
    ASK,
    BID,
    LOT,
    START_MSC,
    Trader,
    done,
    market,
    netting,
    pending,
)

from aitrading.client.terminal.api import constants
from aitrading.client.terminal.sim.broker import kinds
from aitrading.client.terminal.sim.broker.kinds import (
    Action,
    Execution,
    ExpirationMask,
    Filling,
    FillingMask,
    OrderKind,
    OrderMask,
    TimeInForce,
    TradeMode,
)
from aitrading.client.terminal.sim.broker.records import Request, Result
from aitrading.client.terminal.sim.broker.retcodes import Retcode
from aitrading.client.terminal.sim.broker.specs import AccountSpec, DepthLevel, Session

BUY, SELL = OrderKind.BUY, OrderKind.SELL
NOW_S = START_MSC // 1_000
CLOSED = (Session(opens_min=0, closes_min=1),)


class Case(NamedTuple):
    name: str
    retcode: Retcode
    ask: Callable[[], Result]


def deal(account: AccountSpec | None = None, **fields: object) -> Callable[[], Result]:
    """A market order of a new account; keys of the symbol begin with `symbol_`."""
    return lambda: _trader(account, fields).send(**{**market(BUY), **_request(fields)})


def wait(
    price: int, kind: OrderKind = OrderKind.BUY_LIMIT, **fields: object
) -> Callable[[], Result]:
    return lambda: _trader(None, fields).send(**pending(kind, price, **_request(fields)))


def _trader(account: AccountSpec | None, fields: dict[str, object]) -> Trader:
    changes = {key.removeprefix("symbol_"): x for key, x in fields.items() if "symbol_" in key}
    return Trader(account, **changes)


def _request(fields: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in fields.items() if "symbol_" not in key}


def after_buying(
    account: AccountSpec | None = None,
    *,
    changes: dict[str, object] | None = None,
    **fields: object,
) -> Callable[[], Result]:
    """A request about a position of one lot; `position` is filled in."""

    def ask() -> Result:
        trader = Trader(account, **(changes or {}))
        opened = done(trader.buy(sl=109_000))
        return trader.send(**{"symbol": "EURUSD", "position": opened.order, **fields})

    return ask


def after_placing(
    *, changes: dict[str, object] | None = None, **fields: object
) -> Callable[[], Result]:
    """A request about a waiting buy limit; `order` is filled in."""

    def ask() -> Result:
        trader = Trader(None, **(changes or {}))
        placed = done(trader.place(OrderKind.BUY_LIMIT, 109_000))
        return trader.send(**{"order": placed.order, **fields})

    return ask


def removed_twice() -> Result:
    trader = Trader()
    placed = done(trader.place(OrderKind.BUY_LIMIT, 109_000))
    done(trader.send(action=Action.REMOVE, order=placed.order))
    return trader.send(action=Action.REMOVE, order=placed.order)


def switched_off(**which: bool) -> Callable[[], Result]:
    def ask() -> Result:
        trader = Trader()
        trader.broker.allow(**which)
        return trader.buy()

    return ask


def without_prices() -> Result:
    trader = Trader()
    trader.broker.on_tick("XAUUSD", 0, 0, START_MSC + 1)
    return trader.buy(symbol="XAUUSD")


def closing_twice_at_an_exchange() -> Result:
    trader = Trader(
        None, execution=Execution.EXCHANGE, depth=(DepthLevel(offset_points=0, volume=LOT),)
    )
    opened = done(trader.buy())
    trader.tick(BID, ASK)
    done(trader.sell())  # takes the bids of this tick
    waiting = trader.sell(position=opened.order, filling=Filling.RETURN)
    assert waiting.retcode is Retcode.PLACED
    return trader.sell(position=opened.order)


def against_a_position(account: AccountSpec) -> Callable[[], Result]:
    def ask() -> Result:
        trader = Trader(account)
        done(trader.buy())
        return trader.sell()

    return ask


def second_first() -> Result:
    trader = Trader(AccountSpec(fifo_close=True))
    done(trader.buy())
    second = done(trader.buy())
    return trader.sell(position=second.order)


def third_position() -> Result:
    trader = Trader(AccountSpec(limit_positions=2))
    done(trader.buy())
    done(trader.sell())
    return trader.buy()


def second_order() -> Result:
    trader = Trader(AccountSpec(limit_orders=1))
    done(trader.place(OrderKind.BUY_LIMIT, 109_000))
    return trader.place(OrderKind.BUY_LIMIT, 109_000)


def volume_above_the_limit() -> Result:
    trader = Trader(None, volume_limit=3 * LOT)
    done(trader.buy(2 * LOT))
    done(trader.place(OrderKind.BUY_LIMIT, 109_000))
    done(trader.sell(3 * LOT))  # the other direction has its own limit
    return trader.buy(LOT // 100)


def too_many() -> Result:
    trader = Trader(AccountSpec(requests_per_s_max=2))
    for _ in range(2):
        done(trader.buy(LOT // 100))
    refused = trader.buy(LOT // 100)
    trader.tick(BID)
    done(trader.buy(LOT // 100))
    return refused


def by_each_other(**fields: object) -> Callable[[], Result]:
    def ask() -> Result:
        trader = Trader()
        first, second = done(trader.buy()), done(trader.buy())
        pair = {"position": first.order, "position_by": second.order}
        return trader.send(**{"action": Action.CLOSE_BY, **pair, **fields})

    return ask


INSTANT = {"symbol_execution": Execution.INSTANT}
REQUEST = {"symbol_execution": Execution.REQUEST}
THIN = {"symbol_depth": (DepthLevel(offset_points=0, volume=LOT // 2),)}
AROUND = {"sl": 109_000, "tp": 111_000}
MODIFY = {"action": Action.MODIFY}
SLTP = {"action": Action.SLTP}
CLOSE = {"action": Action.DEAL, "kind": SELL, "filling": Filling.FOK}

CASES = [
    Case("price moved, instant", Retcode.REQUOTE, deal(price=ASK - 3, deviation=2, **INSTANT)),
    Case("price moved, request", Retcode.PRICE_CHANGED, deal(price=ASK - 3, **REQUEST)),
    Case("within deviation", Retcode.DONE, deal(price=ASK - 3, deviation=3, **INSTANT)),
    Case("fill or kill too large", Retcode.REJECT, deal(**THIN)),
    Case("immediate or cancel in part", Retcode.DONE_PARTIAL, deal(filling=Filling.IOC, **THIN)),
    Case("order placed", Retcode.DONE, wait(109_000)),
    Case("unknown action", Retcode.INVALID, deal(action=99)),
    Case("action 0", Retcode.INVALID, deal(action=0)),
    Case("unknown symbol", Retcode.INVALID, deal(symbol="EURUSDm")),
    Case("unknown order type", Retcode.INVALID, deal(kind=-1)),
    Case("deal of a waiting type", Retcode.INVALID, deal(kind=OrderKind.BUY_LIMIT)),
    Case("pending of a market type", Retcode.INVALID, wait(109_000, BUY)),
    Case("order that never was", Retcode.INVALID, after_placing(action=Action.REMOVE, order=5)),
    Case("closing in the same direction", Retcode.INVALID, after_buying(**{**CLOSE, "kind": BUY}, volume=LOT)),
    Case("closing another symbol", Retcode.INVALID, after_buying(**CLOSE, volume=LOT, symbol="XAUUSD")),
    Case("stops of nothing", Retcode.INVALID, after_buying(**SLTP, position=0)),
    Case("closing by the same side", Retcode.INVALID, by_each_other()),
    Case("no volume", Retcode.INVALID_VOLUME, deal(volume=0)),
    Case("negative volume", Retcode.INVALID_VOLUME, deal(volume=-1)),
    Case("volume between steps", Retcode.INVALID_VOLUME, deal(volume=LOT + 1)),
    Case("volume above the largest", Retcode.INVALID_VOLUME, deal(volume=501 * LOT)),
    Case("instant without a price", Retcode.INVALID_PRICE, deal(**INSTANT)),
    Case("price between points", Retcode.INVALID_PRICE, deal(price=-1)),
    Case("buy limit above the market", Retcode.INVALID_PRICE, wait(ASK)),
    Case("sell limit below the market", Retcode.INVALID_PRICE, wait(BID, OrderKind.SELL_LIMIT)),
    Case("buy stop below the market", Retcode.INVALID_PRICE, wait(ASK, OrderKind.BUY_STOP)),
    Case("sell stop above the market", Retcode.INVALID_PRICE, wait(BID, OrderKind.SELL_STOP)),
    Case("nearer than the stops level", Retcode.INVALID_PRICE, wait(ASK - 19, symbol_stops_level_points=20)),
    Case("as far as the stops level", Retcode.DONE, wait(ASK - 20, symbol_stops_level_points=20)),
    Case("between ticks", Retcode.INVALID_PRICE, wait(109_001, symbol_tick_size_points=5)),
    Case("stop limit without a limit", Retcode.INVALID_PRICE, wait(111_000, OrderKind.BUY_STOP_LIMIT)),
    Case("stop limit above its stop", Retcode.INVALID_PRICE, wait(111_000, OrderKind.BUY_STOP_LIMIT, stoplimit=111_001)),
    Case("stop loss of a buy above the bid", Retcode.INVALID_STOPS, deal(sl=BID)),
    Case("take profit of a buy below the bid", Retcode.INVALID_STOPS, deal(tp=BID)),
    Case("stops nearer than the level", Retcode.INVALID_STOPS, deal(sl=BID - 19, symbol_stops_level_points=20)),
    Case("stops as far as the level", Retcode.DONE, deal(sl=BID - 20, symbol_stops_level_points=20)),
    Case("stop loss of a sell below the ask", Retcode.INVALID_STOPS, deal(kind=SELL, sl=ASK)),
    Case("symbol without stop losses", Retcode.INVALID_STOPS, deal(sl=109_000, symbol_order_mode=OrderMask.MARKET)),
    Case("stops of an order beyond its price", Retcode.INVALID_STOPS, wait(109_000, sl=109_000)),
    Case("new stops on the wrong side", Retcode.INVALID_STOPS, after_buying(**SLTP, sl=BID + 5)),
    Case("symbol disabled", Retcode.TRADE_DISABLED, deal(symbol_trade_mode=TradeMode.DISABLED)),
    Case("outside the sessions", Retcode.MARKET_CLOSED, deal(symbol_sessions=CLOSED)),
    Case("waiting outside the sessions", Retcode.MARKET_CLOSED, wait(109_000, symbol_sessions=CLOSED)),
    Case("more margin than is free", Retcode.NO_MONEY, deal(volume=10 * LOT)),
    Case("no prices yet", Retcode.PRICE_OFF, without_prices),
    Case("life of an unknown kind", Retcode.INVALID_EXPIRATION, wait(109_000, time_kind=9)),
    Case("life the symbol does not know", Retcode.INVALID_EXPIRATION, wait(109_000, time_kind=TimeInForce.DAY, symbol_expiration_mode=ExpirationMask.GTC)),
    Case("life that is over", Retcode.INVALID_EXPIRATION, wait(109_000, time_kind=TimeInForce.SPECIFIED, expiration_s=NOW_S)),
    Case("day that is over", Retcode.INVALID_EXPIRATION, wait(109_000, time_kind=TimeInForce.SPECIFIED_DAY, expiration_s=NOW_S - 86_400)),
    Case("life without end", Retcode.INVALID_EXPIRATION, wait(109_000, time_kind=TimeInForce.SPECIFIED, expiration_s=1 << 62)),
    Case("order done already", Retcode.ORDER_CHANGED, removed_twice),
    Case("too many requests", Retcode.TOO_MANY_REQUESTS, too_many),
    Case("the same stops", Retcode.NO_CHANGES, after_buying(**SLTP, sl=109_000)),
    Case("the same order", Retcode.NO_CHANGES, after_placing(**MODIFY, price=109_000)),
    Case("switched off by the server", Retcode.SERVER_DISABLES_AT, switched_off(server=False)),
    Case("switched off in the terminal", Retcode.CLIENT_DISABLES_AT, switched_off(client=False)),
    Case("position near its stop", Retcode.FROZEN, after_buying(**SLTP, sl=108_000, changes={"freeze_level_points": 990})),
    Case("closing near the stop", Retcode.FROZEN, after_buying(**CLOSE, volume=LOT, changes={"freeze_level_points": 990})),
    Case("position not so near its stop", Retcode.DONE, after_buying(**SLTP, sl=108_000, changes={"freeze_level_points": 989})),
    Case("order near its price", Retcode.FROZEN, after_placing(**MODIFY, price=108_000, changes={"freeze_level_points": 1_000})),
    Case("removing near the price", Retcode.FROZEN, after_placing(action=Action.REMOVE, changes={"freeze_level_points": 1_000})),
    Case("order not so near its price", Retcode.DONE, after_placing(action=Action.REMOVE, changes={"freeze_level_points": 999})),
    Case("filling not in the mask", Retcode.INVALID_FILL, deal(symbol_filling_mode=FillingMask.IOC)),
    Case("the mask given as the mode", Retcode.INVALID_FILL, deal(filling=FillingMask.FOK | FillingMask.IOC)),
    Case("return under market execution", Retcode.INVALID_FILL, deal(filling=Filling.RETURN)),
    Case("no filling at all", Retcode.INVALID_FILL, deal(filling=7)),
    Case("book or cancel of a market order", Retcode.INVALID_FILL, deal(filling=Filling.BOC, symbol_filling_mode=FillingMask.BOC)),
    Case("return at an exchange", Retcode.DONE, deal(filling=Filling.RETURN, symbol_execution=Execution.EXCHANGE)),
    Case("fill or kill by a dealer", Retcode.DONE, deal(price=ASK, symbol_filling_mode=FillingMask.IOC, **INSTANT)),
    Case("for real accounts only", Retcode.ONLY_REAL, deal(symbol_only_real=True)),
    Case("too many orders", Retcode.LIMIT_ORDERS, second_order),
    Case("too much volume", Retcode.LIMIT_VOLUME, volume_above_the_limit),
    Case("market orders not taken", Retcode.INVALID_ORDER, deal(symbol_order_mode=OrderMask.LIMIT)),
    Case("limit orders not taken", Retcode.INVALID_ORDER, wait(109_000, symbol_order_mode=OrderMask.MARKET)),
    Case("no such position", Retcode.POSITION_CLOSED, deal(position=5)),
    Case("stops of no such position", Retcode.POSITION_CLOSED, after_buying(**SLTP, position=5)),
    Case("closing by no such position", Retcode.POSITION_CLOSED, by_each_other(position_by=5)),
    Case("more than the position", Retcode.INVALID_CLOSE_VOLUME, after_buying(**CLOSE, volume=2 * LOT)),
    Case("closing order waits already", Retcode.CLOSE_ORDER_EXIST, closing_twice_at_an_exchange),
    Case("too many positions", Retcode.LIMIT_POSITIONS, third_position),
    Case("long only", Retcode.LONG_ONLY, deal(kind=SELL, symbol_trade_mode=TradeMode.LONGONLY)),
    Case("short only", Retcode.SHORT_ONLY, deal(symbol_trade_mode=TradeMode.SHORTONLY)),
    Case("waiting short, long only", Retcode.LONG_ONLY, wait(111_000, OrderKind.SELL_LIMIT, symbol_trade_mode=TradeMode.LONGONLY)),
    Case("close only", Retcode.CLOSE_ONLY, deal(symbol_trade_mode=TradeMode.CLOSEONLY)),
    Case("the newer one first", Retcode.FIFO_CLOSE, second_first),
    Case("hedging prohibited", Retcode.HEDGE_PROHIBITED, against_a_position(AccountSpec(hedge_prohibited=True))),
    Case("closing on a netting account", Retcode.DONE, against_a_position(netting(hedge_prohibited=True))),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_is_asked_brings_about_the_answer(case: Case) -> None:
    result = case.ask()
    assert result.retcode is case.retcode
    assert result.comment == case.retcode.text
    assert result.request_id > 0


def test_a_refused_request_changes_nothing() -> None:
    trader = Trader()
    before = trader.broker.snapshot()
    for request in (market(BUY, 0), market(BUY, 10 * LOT), pending(OrderKind.BUY_LIMIT, ASK)):
        assert trader.send(**request).order == 0
    after = trader.broker.snapshot()
    assert {**after, "counters": 0} == {**before, "counters": 0}


def test_every_answer_of_the_engine_is_in_the_table() -> None:
    of_connections_and_dealers = {10007, 10011, 10012, 10028, 10031}
    told_to_nobody = {Retcode.REJECT_CANCEL}  # an order whose price came and that lacks money
    elsewhere = {Retcode.OK, Retcode.PLACED}  # in other tests of this file
    seen = {case.retcode for case in CASES} | told_to_nobody | elsewhere
    assert {code for code in Retcode if code not in of_connections_and_dealers} == seen


@pytest.mark.parametrize(
    ("enum", "prefix"),
    [
        (Retcode, "TRADE_RETCODE_"),
        (kinds.Action, "TRADE_ACTION_"),
        (kinds.OrderKind, "ORDER_TYPE_"),
        (kinds.OrderState, "ORDER_STATE_"),
        (kinds.Filling, "ORDER_FILLING_"),
        (kinds.TimeInForce, "ORDER_TIME_"),
        (kinds.Side, "POSITION_TYPE_"),
        (kinds.DealKind, "DEAL_TYPE_"),
        (kinds.Reason, "DEAL_REASON_"),
        (kinds.Entry, "DEAL_ENTRY_"),
        (kinds.MarginMode, "ACCOUNT_MARGIN_MODE_"),
        (kinds.StopOutMode, "ACCOUNT_STOPOUT_MODE_"),
        (kinds.AccountKind, "ACCOUNT_TRADE_MODE_"),
        (kinds.TradeMode, "SYMBOL_TRADE_MODE_"),
        (kinds.Execution, "SYMBOL_TRADE_EXECUTION_"),
        (kinds.CalcMode, "SYMBOL_CALC_MODE_"),
        (kinds.SwapMode, "SYMBOL_SWAP_MODE_"),
        (kinds.GtcMode, "SYMBOL_ORDERS_"),
        (kinds.Weekday, "DAY_OF_WEEK_"),
    ],
)
def test_numbers_are_those_of_the_package(enum: type[kinds.Side], prefix: str) -> None:
    not_exported = {"OK", "HEDGE_PROHIBITED"}
    for member in enum:
        if member.name not in not_exported:
            assert getattr(constants, prefix + member.name) == member.value


def test_check_says_0_and_the_figures_afterwards() -> None:
    trader = Trader()
    check = trader.broker.check(Request(**market(BUY)))
    assert (check.retcode, check.comment) == (Retcode.OK, "Done")
    assert not trader.broker.positions()
    done(trader.buy())
    state = trader.broker.account
    assert (check.balance, check.equity, check.profit) == (
        state.balance,
        state.equity,
        state.profit,
    )
    assert (check.margin, check.margin_free) == (state.margin, state.margin_free)
    assert check.margin_level == state.margin_level


def test_check_refuses_with_the_number_of_the_first_failed_check() -> None:
    trader = Trader()
    refused = trader.broker.check(Request(**market(BUY, 0)))
    assert (refused.retcode, refused.comment) == (Retcode.INVALID_VOLUME, "Invalid volume")
    poor = trader.broker.check(Request(**market(BUY, 10 * LOT)))
    assert (poor.retcode, poor.equity) == (Retcode.NO_MONEY, 1_000_000)
