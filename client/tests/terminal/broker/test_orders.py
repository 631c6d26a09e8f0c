"""Waiting orders, fillings and executions: MetaTrader 5's trade functions and order properties."""

import pytest
from harness.trader import ASK, BID, LOT, START_MSC, TO_MIDNIGHT_MSC, Trader, done

from aitrading.client.terminal.sim.broker.kinds import (
    Action,
    Execution,
    Filling,
    FillingMask,
    GtcMode,
    OrderKind,
    OrderState,
    Reason,
    TimeInForce,
)
from aitrading.client.terminal.sim.broker.retcodes import Retcode
from aitrading.client.terminal.sim.broker.specs import AccountSpec, DepthLevel, Session

THIN = (
    DepthLevel(offset_points=0, volume=LOT),
    DepthLevel(offset_points=2, volume=LOT),
)
EXCHANGE = {
    "execution": Execution.EXCHANGE,
    "filling_mode": FillingMask.FOK | FillingMask.IOC | FillingMask.BOC,
    "depth": THIN,
}
RICH = AccountSpec(deposit=10**9)


@pytest.mark.parametrize(
    ("kind", "price", "quiet", "reached", "dealt_at"),
    [
        (OrderKind.BUY_LIMIT, 109_900, 109_891, 109_885, 109_895),
        (OrderKind.SELL_LIMIT, 110_100, 110_099, 110_105, 110_105),
        (OrderKind.BUY_STOP, 110_100, 110_089, 110_095, 110_105),
        (OrderKind.SELL_STOP, 109_900, 109_901, 109_850, 109_850),
    ],
)
def test_an_order_waits_for_its_price_and_is_dealt_at_the_market(
    kind: OrderKind, price: int, quiet: int, reached: int, dealt_at: int
) -> None:
    trader = Trader()
    placed = done(trader.place(kind, price, sl=price - kind.side.sign * 500))
    assert (placed.deal, placed.comment) == (0, "Request executed")
    trader.tick(quiet)
    assert trader.order.state is OrderState.PLACED
    trader.tick(reached)
    position = trader.position
    assert (position.ticket, position.price_open) == (placed.order, dealt_at)
    assert position.sl == price - kind.side.sign * 500
    assert trader.done[-1].state is OrderState.FILLED


def test_a_stop_limit_becomes_a_limit_under_the_same_ticket() -> None:
    trader = Trader()
    placed = done(trader.place(OrderKind.BUY_STOP_LIMIT, 110_100, stoplimit=110_050))
    trader.tick(110_090)
    order = trader.order
    assert (order.ticket, order.kind, order.price) == (placed.order, OrderKind.BUY_LIMIT, 110_050)
    assert not trader.broker.positions()
    trader.tick(110_035)
    assert trader.position.price_open == 110_045


@pytest.mark.parametrize(
    ("time_kind", "asked_s", "lives_ms"),
    [
        (TimeInForce.DAY, 0, TO_MIDNIGHT_MSC),
        (TimeInForce.SPECIFIED, START_MSC // 1_000 + 60, 60_000),
        (TimeInForce.SPECIFIED_DAY, START_MSC // 1_000 + 86_400, TO_MIDNIGHT_MSC + 86_400_000),
    ],
)
def test_an_order_ends_when_its_life_does(
    time_kind: TimeInForce, asked_s: int, lives_ms: int
) -> None:
    trader = Trader()
    done(trader.place(OrderKind.BUY_LIMIT, 109_000, time_kind=time_kind, expiration_s=asked_s))
    trader.broker.advance(START_MSC + lives_ms - 1)
    assert trader.order
    trader.broker.advance(START_MSC + lives_ms)
    assert not trader.broker.orders()
    (order,) = trader.done
    assert (order.state, order.time_done_msc) == (OrderState.EXPIRED, START_MSC + lives_ms)


def test_a_modified_order_keeps_its_ticket_and_a_removed_one_is_cancelled() -> None:
    trader = Trader()
    placed = done(trader.place(OrderKind.BUY_LIMIT, 109_000))
    done(trader.send(action=Action.MODIFY, order=placed.order, price=109_100, tp=111_000))
    assert (trader.order.ticket, trader.order.price, trader.order.tp) == (
        placed.order,
        109_100,
        111_000,
    )
    done(trader.send(action=Action.REMOVE, order=placed.order))
    assert trader.done[-1].state is OrderState.CANCELED


def test_an_order_without_money_when_its_price_comes_is_cancelled() -> None:
    trader = Trader(AccountSpec(deposit=50_000))
    done(trader.place(OrderKind.BUY_LIMIT, 109_900))
    trader.tick(109_800)
    assert not trader.broker.positions()
    assert trader.done[-1].state is OrderState.CANCELED


def test_a_closed_market_wakes_nothing_until_it_opens() -> None:
    opens = (START_MSC // 60_000 + 4 * 1_440) % (7 * 1_440)
    trader = Trader(None, sessions=(Session(opens_min=opens, closes_min=opens + 1),))
    done(trader.buy(sl=109_500))
    trader.now_msc += 120_000
    trader.tick(109_000)
    assert trader.broker.positions()
    trader.now_msc += 7 * 86_400_000 - 125_000
    trader.tick(109_000)
    assert not trader.broker.positions()


def test_what_is_good_for_a_day_of_the_symbol_ends_with_it() -> None:
    trader = Trader(None, gtc_mode=GtcMode.DAILY)
    done(trader.buy(sl=109_000))
    done(trader.place(OrderKind.BUY_LIMIT, 109_000))
    trader.broker.advance(START_MSC + TO_MIDNIGHT_MSC)
    assert not trader.broker.orders()
    assert trader.position.sl == 0


def test_the_depth_is_dealt_level_by_level() -> None:
    trader = Trader(RICH, depth=THIN)
    result = done(trader.buy(2 * LOT))
    assert [(deal.price, deal.volume) for deal in trader.deals] == [(ASK, LOT), (ASK + 2, LOT)]
    assert (result.price, result.volume) == (ASK + 1, 2 * LOT)
    assert result.deal == trader.deals[-1].ticket
    assert trader.position.price_open == ASK + 1


def test_immediate_or_cancel_deals_what_there_is_and_the_depth_comes_back_with_a_tick() -> None:
    trader = Trader(RICH, depth=THIN)
    result = trader.buy(3 * LOT, filling=Filling.IOC)
    assert (result.retcode, result.volume) == (Retcode.DONE_PARTIAL, 2 * LOT)
    order = trader.done[-1]
    assert (order.state, order.volume_current) == (OrderState.PARTIAL, LOT)
    assert trader.buy(LOT, filling=Filling.IOC).retcode is Retcode.REJECT
    assert trader.done[-1].state is OrderState.REJECTED
    trader.broker.on_tick("EURUSD", BID, ASK, START_MSC)  # the same tick again is no new depth
    assert trader.buy(LOT, filling=Filling.IOC).retcode is Retcode.REJECT
    trader.tick(BID, ASK)
    done(trader.buy(LOT, filling=Filling.IOC))


def test_return_waits_at_an_exchange_for_the_rest() -> None:
    trader = Trader(RICH, **EXCHANGE)
    result = trader.buy(5 * LOT, filling=Filling.RETURN)
    assert (result.retcode, result.volume) == (Retcode.DONE_PARTIAL, 2 * LOT)
    assert (trader.order.state, trader.order.volume_current) == (OrderState.PARTIAL, 3 * LOT)
    trader.tick(BID, ASK)
    trader.tick(BID, ASK)
    assert not trader.broker.orders()
    assert (trader.position.ticket, trader.position.volume) == (result.order, 5 * LOT)
    assert [order.state for order in trader.done] == [OrderState.FILLED]


def test_an_exchange_deals_a_limit_order_at_once_but_no_further_than_its_price() -> None:
    trader = Trader(RICH, **EXCHANGE)
    done(trader.place(OrderKind.BUY_LIMIT, ASK + 1, 2 * LOT))
    assert trader.position.volume == LOT
    assert trader.order.volume_current == LOT
    refused = trader.place(OrderKind.BUY_LIMIT, ASK + 1, filling=Filling.BOC)
    assert refused.retcode is Retcode.REJECT
    assert trader.done[-1].state is OrderState.CANCELED


def test_a_stop_that_the_depth_fills_in_part_stays_awake() -> None:
    trader = Trader(RICH, depth=THIN)
    done(trader.place(OrderKind.BUY_STOP, 110_100, 3 * LOT))
    trader.tick(110_100)
    assert (trader.position.volume, trader.order.volume_current) == (2 * LOT, LOT)
    trader.tick(109_000)  # the market went back; the order was woken all the same
    assert trader.position.volume == 3 * LOT


def test_a_stop_loss_that_the_depth_fills_in_part_is_hit_again() -> None:
    trader = Trader(RICH, depth=THIN)
    done(trader.buy(2 * LOT, sl=109_500))
    trader.tick(109_990)
    done(trader.buy(LOT, sl=109_400))
    trader.tick(109_300)
    trader.tick(109_300)
    assert not trader.broker.positions()
    assert sum(deal.volume for deal in trader.deals if deal.reason is Reason.SL) == 3 * LOT


def test_instant_execution_deals_at_the_market_within_the_deviation() -> None:
    trader = Trader(None, execution=Execution.INSTANT)
    requote = trader.buy(price=ASK - 5, deviation=4)
    assert (requote.retcode, requote.bid, requote.ask) == (Retcode.REQUOTE, BID, ASK)
    assert done(trader.buy(price=ASK - 5, deviation=5)).price == ASK


def test_slippage_and_requotes_are_drawn_from_the_seed() -> None:
    def prices(seed: int) -> list[int]:
        trader = Trader(AccountSpec(slippage_points_max=3, seed=seed, deposit=10**8))
        return [trader.buy(LOT // 100).price - ASK for _ in range(40)]

    assert prices(1) == prices(1) != prices(2)
    assert set(prices(1)) == {-3, -2, -1, 0, 1, 2, 3}
    account = AccountSpec(requotes_per_mille=500, deposit=10**8)
    trader = Trader(account, execution=Execution.INSTANT)
    answers = [trader.buy(LOT // 100, price=ASK).retcode for _ in range(40)]
    assert 10 < answers.count(Retcode.REQUOTE) < 30
    assert answers.count(Retcode.REQUOTE) + answers.count(Retcode.DONE) == 40
