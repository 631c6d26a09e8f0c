"""What holds after anything that may happen to an account."""

import json
from collections import defaultdict
from decimal import Decimal
from typing import Any

import numpy as np
from harness.trader import EURUSD, START_MSC, USDJPY, XAUUSD, Trader
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from aitrading.client.terminal.sim.broker.broker import Broker
from aitrading.client.terminal.sim.broker.kinds import (
    Action,
    DealKind,
    Entry,
    Execution,
    Filling,
    MarginMode,
    OrderKind,
    OrderState,
    SwapMode,
    TimeInForce,
)
from aitrading.client.terminal.sim.broker.records import Request
from aitrading.client.terminal.sim.broker.retcodes import Retcode
from aitrading.client.terminal.sim.broker.specs import AccountSpec, DepthLevel, SymbolSpec
from aitrading.client.terminal.sim.broker.units import LOT

STEP = LOT // 100
FINAL = (
    OrderState.CANCELED,
    OrderState.PARTIAL,
    OrderState.FILLED,
    OrderState.REJECTED,
    OrderState.EXPIRED,
)
ACCOUNTS = st.builds(
    AccountSpec,
    margin_mode=st.sampled_from([MarginMode.RETAIL_HEDGING, MarginMode.RETAIL_NETTING]),
    leverage=st.sampled_from([1, 30, 500]),
    deposit=st.sampled_from([100_000, 100_000_000]),
    credit=st.sampled_from([0, 50_000]),
    slippage_points_max=st.sampled_from([0, 3]),
    requotes_per_mille=st.sampled_from([0, 300]),
    seed=st.integers(0, 9),
)
DEPTH = (DepthLevel(offset_points=0, volume=20 * STEP), DepthLevel(offset_points=3, volume=LOT))
SYMBOLS = st.builds(
    lambda **changes: {
        "EURUSD": _changed(EURUSD, **changes),
        "USDJPY": USDJPY,
        "XAUUSD": XAUUSD,
    },
    execution=st.sampled_from([Execution.MARKET, Execution.EXCHANGE, Execution.INSTANT]),
    depth=st.sampled_from([(), DEPTH]),
    commission_per_lot=st.sampled_from([Decimal(0), Decimal("3.5")]),
    swap_mode=st.sampled_from([SwapMode.POINTS, SwapMode.INTEREST_OPEN, SwapMode.REOPEN_BID]),
    swap_long=st.sampled_from([Decimal("-7.25"), Decimal(2)]),
    swap_short=st.sampled_from([Decimal("-3.1"), Decimal(0)]),
    margin_hedged=st.sampled_from([None, Decimal(0), Decimal(50_000)]),
    margin_hedged_use_leg=st.booleans(),
    margin_rate_pending=st.sampled_from([Decimal(0), Decimal(1)]),
)
NAMES = st.sampled_from(["EURUSD", "EURUSD", "USDJPY", "XAUUSD"])
VOLUMES = st.integers(1, 150).map(lambda steps: steps * STEP)
OFFSETS = st.integers(-400, 400)


def _changed(spec: SymbolSpec, **changes: Any) -> SymbolSpec:
    return SymbolSpec(
        **{field: getattr(spec, field) for field in spec.__struct_fields__} | changes
    )


class AnyTrading(RuleBasedStateMachine):
    """Two brokers get the same: one is thrown away and restored from its snapshot every time."""

    @initialize(account=ACCOUNTS, symbols=SYMBOLS)
    def begin(self, account: AccountSpec, symbols: dict[str, SymbolSpec]) -> None:
        self.account, self.symbols = account, symbols
        self.broker = Broker(account, symbols)
        self.again = Broker(account, symbols)
        self.now_msc = START_MSC
        self.prices = {"EURUSD": 110_000, "USDJPY": 150_000, "XAUUSD": 200_000}
        for symbol in self.prices:
            self._tick(symbol, 0, 10)

    def _restore(self) -> None:
        data = json.loads(json.dumps(self.again.snapshot()))
        self.again = Broker.restored(self.account, self.symbols, data)

    def _tick(self, symbol: str, move: int, spread: int) -> None:
        self.prices[symbol] += move
        bid = self.prices[symbol]
        for broker in (self.broker, self.again):
            broker.on_tick(symbol, bid, bid + spread, self.now_msc)

    def _send(self, **fields: Any) -> None:
        self._restore()
        request = Request(**fields)
        check = self.broker.check(request)
        result = self.broker.send(request, self.now_msc)
        assert self.again.send(request, self.now_msc) == result
        refusals = {Retcode.REQUOTE, Retcode.REJECT}
        if result.retcode not in {Retcode.DONE, Retcode.DONE_PARTIAL, Retcode.PLACED, *refusals}:
            assert check.retcode in {result.retcode, Retcode.OK}
        if check.retcode not in {Retcode.OK, Retcode.NO_MONEY}:
            assert result.retcode == check.retcode

    @rule(symbol=NAMES, move=st.integers(-300, 300), spread=st.integers(1, 40))
    def tick(self, symbol: str, move: int, spread: int) -> None:
        self.now_msc += 250
        self._tick(symbol, move, spread)

    @rule(hours=st.integers(1, 60))
    def time_passes(self, hours: int) -> None:
        self.now_msc += hours * 3_600_000
        self._restore()
        for broker in (self.broker, self.again):
            broker.advance(self.now_msc)

    @rule(
        symbol=NAMES,
        kind=st.sampled_from([OrderKind.BUY, OrderKind.SELL]),
        volume=VOLUMES,
        filling=st.sampled_from(Filling),
        stops=st.tuples(st.integers(0, 300), st.integers(0, 300)),
    )
    def deal(
        self, symbol: str, kind: OrderKind, volume: int, filling: Filling, stops: tuple[int, int]
    ) -> None:
        quote = self.broker.quote(symbol)
        price = quote.price(kind.side)
        sl, tp = (
            price - kind.side.sign * (50 + stop) * way if stop else 0
            for stop, way in zip(stops, (1, -1), strict=True)
        )
        fields = {"symbol": symbol, "kind": kind, "volume": volume, "filling": filling}
        self._send(action=Action.DEAL, price=price, sl=sl, tp=tp, deviation=5, **fields)

    @rule(data=st.data())
    def close(self, data: st.DataObject) -> None:
        if not self.broker.positions():
            return
        position = data.draw(st.sampled_from(self.broker.positions()))
        volume = data.draw(st.integers(1, position.volume // STEP)) * STEP
        self._send(
            action=Action.DEAL,
            symbol=position.symbol,
            kind=OrderKind(position.side.opposite),
            volume=volume,
            price=self.broker.quote(position.symbol).price(position.side.opposite),
            filling=Filling.IOC if position.symbol == "EURUSD" else Filling.FOK,
            position=position.ticket,
        )

    @rule(
        symbol=NAMES,
        kind=st.sampled_from([kind for kind in OrderKind if kind.is_pending]),
        volume=VOLUMES,
        distance=OFFSETS,
        filling=st.sampled_from(Filling),
        time_kind=st.sampled_from(TimeInForce),
    )
    def place(
        self,
        symbol: str,
        kind: OrderKind,
        volume: int,
        distance: int,
        filling: Filling,
        time_kind: TimeInForce,
    ) -> None:
        price = self.prices[symbol] + distance
        self._send(
            action=Action.PENDING,
            symbol=symbol,
            kind=kind,
            volume=volume,
            price=price,
            stoplimit=price - kind.side.sign * 20,
            filling=filling,
            time_kind=time_kind,
            expiration_s=self.now_msc // 1_000 + 3_600,
            sl=price - kind.side.sign * 100,
        )

    @rule(data=st.data(), distance=OFFSETS)
    def change_or_remove(self, data: st.DataObject, distance: int) -> None:
        if not self.broker.orders():
            return
        order = data.draw(st.sampled_from(self.broker.orders()))
        if distance % 2:
            self._send(action=Action.REMOVE, order=order.ticket)
        else:
            price, stoplimit = order.price + distance, order.stoplimit + distance
            moved = {"price": price, "stoplimit": stoplimit}
            self._send(action=Action.MODIFY, order=order.ticket, **moved)

    @rule(data=st.data(), distance=OFFSETS)
    def move_stops_or_close_by(self, data: st.DataObject, distance: int) -> None:
        positions = self.broker.positions()
        if not positions:
            return
        first, second = (data.draw(st.sampled_from(positions)) for _ in range(2))
        if distance % 2:
            pair = {"position": first.ticket, "position_by": second.ticket}
            self._send(action=Action.CLOSE_BY, **pair)
        else:
            sl = self.prices[first.symbol] + distance
            self._send(action=Action.SLTP, position=first.ticket, sl=sl)

    @invariant()
    def the_same_inputs_gave_the_same_state(self) -> None:
        assert self.again.snapshot() == self.broker.snapshot()

    @invariant()
    def equity_is_what_was_booked_and_what_floats(self) -> None:
        state = self.broker.account
        positions = self.broker.positions()
        floating = sum(self.broker.profit_of(p) + p.swap for p in positions)
        assert state.profit == floating
        assert state.equity == state.balance + state.credit + floating
        assert state.margin_free == state.equity - state.margin
        assert state.margin >= 0

    @invariant()
    def deals_add_up_to_balance_and_positions(self) -> None:
        deals = self.broker.history_deals(0, self.now_msc)
        money = [deal.amount for deal in deals if deal.kind is not DealKind.CREDIT]
        assert sum(money) == self.broker.account.balance
        held: dict[int, int] = defaultdict(int)
        for deal in deals:
            held[deal.position] += deal.volume * (1 if deal.kind is DealKind.BUY else -1)
        held.pop(0, None)
        open_now = {p.identifier: p.volume * p.side.sign for p in self.broker.positions()}
        assert {key: volume for key, volume in held.items() if volume} == open_now

    @invariant()
    def each_order_ends_once(self) -> None:
        done = self.broker.history_orders(0, self.now_msc)
        tickets = [order.ticket for order in (*done, *self.broker.orders())]
        assert len(tickets) == len(set(tickets))
        assert all(order.state in FINAL for order in done)
        waiting = {OrderState.PLACED, OrderState.PARTIAL}
        assert all(order.state in waiting for order in self.broker.orders())
        assert all(0 <= order.volume_current <= order.volume_initial for order in done)
        filled = [order for order in done if order.state is OrderState.FILLED]
        assert all(order.volume_current == 0 for order in filled)

    @invariant()
    def a_netting_account_has_one_position_per_symbol(self) -> None:
        symbols = [position.symbol for position in self.broker.positions()]
        assert self.account.is_hedging or len(symbols) == len(set(symbols))
        assert all(position.volume > 0 for position in self.broker.positions())


AnyTrading.TestCase.settings = settings(
    max_examples=40,
    stateful_step_count=30,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # to shorten a story takes minutes
)
TestAnyTrading = AnyTrading.TestCase


FLOWS = st.lists(st.tuples(st.booleans(), st.integers(1, 50), st.integers(-200, 200)), max_size=20)


@given(flow=FLOWS)
@settings(max_examples=60, deadline=None)
def test_netting_and_hedging_earn_the_same(flow: list[tuple[bool, int, int]]) -> None:
    """The same deals leave the same exposure, and once flat the same money."""
    accounts = [AccountSpec(margin_mode=m, deposit=10**9) for m in (MarginMode(0), MarginMode(2))]
    net, hedged = traders = [Trader(account) for account in accounts]
    bid = 109_990
    for is_buy, steps, move in flow:
        for trader in traders:
            kind = OrderKind.BUY if is_buy else OrderKind.SELL
            assert trader.market(kind, steps * STEP).retcode is Retcode.DONE
        assert _exposure(net) == _exposure(hedged)
        bid += move
        for trader in traders:
            trader.tick(bid)
    for trader in traders:
        _flatten(trader)
    assert not any(deal.entry is Entry.INOUT for deal in hedged.deals)
    # Closing by each other costs no spread. Each result is rounded to a cent of its own.
    difference = net.broker.account.balance - hedged.broker.account.balance
    assert abs(difference) <= len(net.deals) + len(hedged.deals)


def _exposure(trader: Trader) -> int:
    return sum(p.volume * p.side.sign for p in trader.broker.positions())


def _flatten(trader: Trader) -> None:
    """Close by each other what can be, then at the market."""
    while True:
        sides = {p.side: p for p in trader.broker.positions()}
        if len(sides) < 2:
            break
        first, second = (position.ticket for position in sides.values())
        trader.send(action=Action.CLOSE_BY, position=first, position_by=second)
    for position in trader.broker.positions():
        kind = OrderKind(position.side.opposite)
        trader.market(kind, position.volume, position=position.ticket)
    assert not trader.broker.positions()


MOVES = st.tuples(st.integers(-60, 60), st.integers(1, 30), st.sampled_from([-500, 0, 1, 900]))
TICKS = st.lists(MOVES, min_size=1, max_size=200)
LEVERAGES = st.sampled_from([400, 500, 1_000])


@given(ticks=TICKS, stops=st.integers(20, 300), leverage=LEVERAGES, is_yen=st.booleans())
@settings(max_examples=80, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
def test_ticks_that_are_only_noted_would_have_changed_nothing(
    ticks: list[tuple[int, int, int]], stops: int, leverage: int, is_yen: bool
) -> None:
    """One broker looks at each tick, one where it thinks it must, one takes them all at once."""
    symbol = "USDJPY" if is_yen else "EURUSD"
    traders = [Trader(AccountSpec(leverage=leverage, deposit=150_000)) for _ in range(3)]
    for trader in traders:
        _engage(trader, symbol, stops)
    eager, one, many = (trader.broker for trader in traders)
    rows = _rows(one.quote(symbol).bid, ticks)
    for row in rows:
        eager._watch.everything()
        eager.on_tick(symbol, *row)
        one.on_tick(symbol, *row)
    bids, asks, times = (np.array(column, np.int64) for column in zip(*rows, strict=True))
    many.on_ticks(symbol, bids, asks, times)
    assert one.snapshot() == eager.snapshot()
    assert many.snapshot() == eager.snapshot()


def _engage(trader: Trader, symbol: str, stops: int) -> None:
    """Positions that a few hundred points ruin, and orders on both sides."""
    bid = trader.broker.quote(symbol).bid
    trader.buy(STEP * 400, symbol=symbol, sl=bid - 2 * stops, tp=bid + stops)
    trader.sell(STEP * 100, symbol=symbol)
    trader.buy(STEP * 100, symbol=symbol)
    trader.buy(STEP, symbol="XAUUSD")
    trader.place(OrderKind.BUY_LIMIT, bid - stops - 30, STEP, symbol=symbol)
    day = {"symbol": symbol, "time_kind": TimeInForce.DAY}
    trader.place(OrderKind.SELL_STOP, bid - stops - 5, STEP, **day)


def _rows(bid: int, ticks: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    rows, now_msc = list[tuple[int, int, int]](), START_MSC
    for move, spread, step_ms in ticks:
        bid, now_msc = bid + move, now_msc + step_ms
        rows.append((bid, bid + spread, now_msc))
    return rows
