"""Netting and hedging, closing by each other, swaps, history, restarts."""

from decimal import Decimal
from fractions import Fraction

import msgspec
import pytest
from harness.trader import (
    ASK,
    BID,
    FOREVER,
    LOT,
    START_MSC,
    TO_MIDNIGHT_MSC,
    Trader,
    done,
    netting,
)

from aitrading.client.terminal.sim.broker.broker import Broker
from aitrading.client.terminal.sim.broker.kinds import (
    Action,
    Entry,
    OrderKind,
    OrderState,
    Reason,
    Side,
    SwapMode,
    Weekday,
)
from aitrading.client.terminal.sim.broker.specs import AccountSpec

TUESDAY_NIGHT = START_MSC + TO_MIDNIGHT_MSC
DAY_MSC = 86_400_000


def test_netting_averages_reduces_and_reverses() -> None:
    trader = Trader(netting(deposit=10**8))
    first = done(trader.buy(2 * LOT, sl=108_000, magic=1))
    trader.tick(110_020)
    done(trader.buy(LOT, magic=2))
    assert trader.position.volume == 3 * LOT
    assert trader.position.price_open == Fraction(2 * ASK + 110_030, 3)
    assert (trader.position.sl, trader.position.magic) == (108_000, 1)
    done(trader.sell(LOT))
    assert trader.position.ticket == first.order
    reversal = done(trader.sell(3 * LOT))
    position = trader.position
    assert (position.side, position.volume) == (Side.SELL, LOT)
    assert position.price_open == 110_020
    assert position.ticket == reversal.order  # the ticket changes, the identifier survives
    assert position.identifier == first.order
    assert [deal.entry for deal in trader.deals] == [Entry.IN, Entry.IN, Entry.OUT, Entry.INOUT]
    assert {deal.position for deal in trader.deals} == {first.order}
    # 3 lots for 330,030 points in all went for 330,060: thirty points of a lot are 30 dollars.
    assert sum(deal.profit for deal in trader.deals) == 3_000


def test_a_partial_close_leaves_the_rest_under_its_ticket() -> None:
    trader = Trader(AccountSpec(deposit=10**8))
    opened = done(trader.buy(LOT))
    trader.tick(110_090)
    done(trader.sell(30 * LOT // 100, position=opened.order))
    assert (trader.position.ticket, trader.position.volume) == (opened.order, 70 * LOT // 100)
    assert trader.deals[-1].profit == 2_700
    assert trader.position.price_open == ASK


def test_two_positions_close_each_other_without_the_spread() -> None:
    trader = Trader(AccountSpec(deposit=10**8))
    first = done(trader.buy(3 * LOT))
    trader.tick(110_090)
    second = done(trader.sell(LOT))
    pair = {"position": first.order, "position_by": second.order}
    closed = done(trader.send(action=Action.CLOSE_BY, **pair))
    one, other = trader.deals[-2:]
    assert {one.entry, other.entry} == {Entry.OUT_BY}
    assert (one.position, other.position) == (first.order, second.order)
    assert (one.price, other.price) == (110_090, 110_090)
    assert (one.profit, other.profit) == (9_000, 0)
    assert one.comment == f"close #{first.order} by #{second.order}"
    order = trader.done[-1]
    assert (order.ticket, order.kind, order.state) == (
        closed.order,
        OrderKind.CLOSE_BY,
        OrderState.FILLED,
    )
    assert (order.position, order.position_by) == (first.order, second.order)
    assert (trader.position.ticket, trader.position.volume) == (first.order, 2 * LOT)


SWAPS = [
    # mode, rate for a long lot, what a night costs or earns in cents
    (SwapMode.DISABLED, "-7.5", 0),
    (SwapMode.POINTS, "-7.5", -750),
    (SwapMode.CURRENCY_SYMBOL, "-2", -220),  # 2 EUR, bought at 1.10000
    (SwapMode.CURRENCY_MARGIN, "2", 220),  # and sold at 1.09990
    (SwapMode.CURRENCY_DEPOSIT, "-3.25", -325),
    (SwapMode.INTEREST_CURRENT, "-3.6", -1_100),  # 109,990 USD at 3.6 % for a day of 360
    (SwapMode.INTEREST_OPEN, "3.6", 1_100),
]


@pytest.mark.parametrize(("mode", "rate", "cents"), SWAPS)
def test_a_night_costs_what_the_mode_says(mode: SwapMode, rate: str, cents: int) -> None:
    trader = Trader(None, swap_mode=mode, swap_long=Decimal(rate))
    opened = done(trader.buy())
    trader.broker.advance(TUESDAY_NIGHT)
    assert trader.position.swap == cents
    trader.now_msc = TUESDAY_NIGHT
    trader.sell(LOT // 2, position=opened.order)
    assert trader.deals[-1].swap + trader.position.swap == cents
    assert trader.broker.account.profit == trader.position.swap - 500


def test_a_week_has_seven_nights_of_swap_in_five() -> None:
    points = {"swap_mode": SwapMode.POINTS, "swap_long": Decimal(-1)}
    trader = Trader(None, **points, swap_rollover3days=Weekday.WEDNESDAY)
    done(trader.buy())
    seen = []
    for night in range(7):
        trader.broker.advance(TUESDAY_NIGHT + night * DAY_MSC)
        seen.append(trader.position.swap)
    # The ends of Tuesday, Wednesday (three), Thursday, Friday, Saturday, Sunday, Monday.
    assert seen == [-100, -400, -500, -600, -600, -600, -700]


@pytest.mark.parametrize("mode", [SwapMode.REOPEN_CURRENT, SwapMode.REOPEN_BID])
def test_a_night_may_close_and_open_again_elsewhere(mode: SwapMode) -> None:
    trader = Trader(None, swap_mode=mode, swap_long=Decimal(-4))
    opened = done(trader.buy())
    trader.broker.advance(TUESDAY_NIGHT)
    out, back = trader.deals[-2:]
    assert (out.entry, out.price, out.profit) == (Entry.OUT, BID, -1_000)
    assert (back.entry, back.price, back.reason) == (Entry.IN, BID + 4, Reason.ROLLOVER)
    assert (trader.position.ticket, trader.position.price_open) == (opened.order, BID + 4)


def test_commission_is_booked_with_each_deal() -> None:
    trader = Trader(None, commission_per_lot=Decimal("3.50"))
    opened = done(trader.buy(LOT // 10))
    done(trader.sell(LOT // 10, position=opened.order))
    assert [deal.commission for deal in trader.deals] == [-35, -35]
    assert trader.broker.account.balance == 1_000_000 - 70 - 100


def test_a_deal_appears_in_history_after_the_delay() -> None:
    trader = Trader(AccountSpec(history_delay_ms=300))
    done(trader.buy())
    assert trader.broker.positions()
    assert not trader.deals
    assert not trader.done
    trader.broker.advance(START_MSC + 299)
    assert not trader.deals
    trader.broker.advance(START_MSC + 300)
    assert len(trader.deals) == len(trader.done) == 1


def test_history_is_asked_by_time_both_ends_included_and_is_bounded() -> None:
    trader = Trader(AccountSpec(history_deals_max=3, history_orders_max=2))
    for _ in range(5):
        done(trader.buy(LOT // 100))
        trader.tick(BID)
    times = [deal.time_msc for deal in trader.broker.history_deals(0, FOREVER)]
    assert times == [START_MSC + 2_000, START_MSC + 3_000, START_MSC + 4_000]
    assert len(trader.done) == 2
    inner = trader.broker.history_deals(START_MSC + 3_000, START_MSC + 3_999)
    assert [deal.time_msc for deal in inner] == [START_MSC + 3_000]


def test_the_deposit_is_the_first_deal() -> None:
    trader = Trader(AccountSpec(credit=5_000))
    deposit, credit = trader.broker.history_deals(0, FOREVER)
    assert (deposit.profit, credit.profit) == (1_000_000, 5_000)
    assert trader.broker.account.equity == 1_005_000


def test_time_that_goes_back_stands_still() -> None:
    trader = Trader()
    done(trader.buy())
    trader.tick(110_000)
    trader.broker.on_tick("EURUSD", 100_000, 100_010, START_MSC)  # older than the newest
    assert trader.broker.quote("EURUSD").bid == 110_000
    trader.now_msc = START_MSC - 3_600_000  # the hour that a clock shows twice
    done(trader.buy())
    assert trader.deals[-1].time_msc == START_MSC + 1_000


def test_a_leap_of_the_clock_is_bounded() -> None:
    trader = Trader()
    trader.broker.advance(START_MSC + 100 * 365 * DAY_MSC)
    trader = Trader()
    done(trader.buy())
    with pytest.raises(ValueError, match="days ahead"):
        trader.broker.advance(1 << 60)


@pytest.mark.parametrize("damage", [{"version": 2}, {"positions": 5}, {"now_msc": "x"}])
def test_a_snapshot_of_something_else_is_refused(damage: dict[str, object]) -> None:
    trader = Trader()
    data = {**trader.broker.snapshot(), **damage}
    with pytest.raises(msgspec.ValidationError):
        Broker.restored(trader.account, trader.symbols, data)
