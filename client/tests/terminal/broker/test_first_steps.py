"""A position's life on a hedging account."""

from harness.trader import ASK, BID, LOT, Trader, done

from aitrading.client.terminal.sim.broker.kinds import Entry, OrderState, Reason
from aitrading.client.terminal.sim.broker.retcodes import Retcode


def test_a_market_order_opens_a_position_under_its_own_ticket() -> None:
    trader = Trader()
    result = done(trader.buy(magic=7, comment="first", sl=109_500, tp=111_000))
    assert (result.price, result.volume, result.bid, result.ask) == (ASK, LOT, BID, ASK)
    assert result.comment == "Request executed"
    position = trader.position
    assert position.ticket == position.identifier == result.order
    assert (position.price_open, position.magic, position.comment) == (ASK, 7, "first")
    (deal,) = trader.deals
    assert deal.ticket == result.deal
    assert (deal.entry, deal.position, deal.reason) == (Entry.IN, position.ticket, Reason.EXPERT)
    (order,) = trader.done
    assert order.state is OrderState.FILLED


def test_the_account_pays_the_spread_and_the_margin() -> None:
    trader = Trader()
    done(trader.buy())
    state = trader.broker.account
    assert state.balance == 1_000_000
    assert state.profit == -1_000  # ten points of a lot are ten dollars
    assert state.equity == 999_000
    assert state.margin == 110_000  # 100,000 EUR at the ask over a leverage of 100
    assert state.margin_free == 889_000
    assert state.margin_level is not None
    assert round(state.margin_level) == 908


def test_a_stop_loss_closes_at_the_market_with_the_broker_comment() -> None:
    trader = Trader()
    opened = done(trader.buy(sl=109_500, magic=7))
    trader.tick(109_501)
    assert trader.broker.positions()
    trader.tick(109_400)
    assert not trader.broker.positions()
    deal = trader.deals[-1]
    assert (deal.price, deal.profit) == (109_400, -60_000)
    assert (deal.entry, deal.reason, deal.comment) == (Entry.OUT, Reason.SL, "[sl 1.09500]")
    assert (deal.position, deal.magic) == (opened.order, 7)
    assert trader.broker.account.balance == 940_000


def test_a_take_profit_of_a_short_position_looks_at_the_ask() -> None:
    trader = Trader()
    done(trader.sell(tp=109_900))
    trader.tick(109_895)
    assert trader.broker.positions()
    trader.tick(109_890)
    assert trader.deals[-1].comment == "[tp 1.09900]"
    assert trader.deals[-1].profit == 9_000


def test_closing_without_the_ticket_opens_an_opposite_position() -> None:
    trader = Trader()
    opened = done(trader.buy())
    done(trader.sell())
    assert len(trader.broker.positions()) == 2
    done(trader.sell(position=opened.order))
    assert trader.position.ticket != opened.order
    assert trader.sell(position=opened.order).retcode is Retcode.POSITION_CLOSED
