"""What a script can add up with the package's own functions after anything it may have done."""

from typing import Any, Final

import msgspec
import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from aitrading.client.terminal.api import constants as c
from aitrading.client.terminal.sim import SimulatedTerminal
from aitrading.client.terminal.sim.broker.kinds import MarginMode
from aitrading.client.terminal.sim.faults import FaultKind, FaultRule
from aitrading.client.terminal.sim.market.instruments import CATALOGUE
from aitrading.client.terminal.sim.world import DEFAULT_ACCOUNT, WorldOptions
from aitrading.core.testing.manual_clock import ManualClock

SYMBOLS: Final = ("EURUSD", "USDJPY", "EURGBP", "XAUUSD", "DE40", "AAPL", "OIL.F")
NAMES: Final = st.sampled_from(SYMBOLS)
STEPS: Final = st.integers(1, 60)
POINTS: Final = st.integers(-300, 300)
DONE: Final = {c.TRADE_RETCODE_DONE, c.TRADE_RETCODE_DONE_PARTIAL, c.TRADE_RETCODE_PLACED}
BY_CHANCE: Final = {c.TRADE_RETCODE_REQUOTE, c.TRADE_RETCODE_REJECT}
EVER: Final = (0, 1 << 33)


class Account(RuleBasedStateMachine):
    """A script with ideas of its own, on a hedging or a netting account."""

    @initialize(
        is_netting=st.booleans(),
        leverage=st.sampled_from([2, 100, 1_000]),
        seed=st.integers(0, 5),
        keeps_hours=st.booleans(),
    )
    def open(self, *, is_netting: bool, leverage: int, seed: int, keeps_hours: bool) -> None:
        mode = MarginMode.RETAIL_NETTING if is_netting else MarginMode.RETAIL_HEDGING
        account = msgspec.structs.replace(
            DEFAULT_ACCOUNT, margin_mode=mode, leverage=leverage, requotes_per_mille=200
        )
        self.clock = ManualClock()
        self.mt5 = SimulatedTerminal(
            self.clock,
            options=WorldOptions(
                seed=seed, account=account, keeps_hours=keeps_hours, ticks_per_s=0.1,
                instruments=tuple(one for one in CATALOGUE if one.name in SYMBOLS),
            ),
        )  # fmt: skip
        self.is_netting = is_netting
        assert self.mt5.initialize()

    def send(self, **request: Any) -> None:
        check, result = self.mt5.order_check(request), self.mt5.order_send(request)
        assert check is not None
        if result is None:  # the reply was lost, or never asked for
            assert self.mt5.last_error() == (-10005, "IPC timeout")
        elif check.retcode == 0:
            assert result.retcode in DONE | BY_CHANCE, (check, result)
        else:
            assert result.retcode == check.retcode

    def priced(self, symbol: str, kind: int) -> tuple[Any, float]:
        info = self.mt5.symbol_info(symbol)
        assert info is not None
        return info, info.ask if kind % 2 == 0 else info.bid

    @rule(seconds=st.sampled_from([1, 60, 600, 3_600, 40_000]))
    def time_passes(self, seconds: int) -> None:
        self.clock.step_wall(seconds)

    @rule(symbol=NAMES, kind=st.integers(0, 1), steps=STEPS, filling=st.integers(0, 3))
    def deal(self, symbol: str, kind: int, steps: int, filling: int) -> None:
        info, price = self.priced(symbol, kind)
        self.send(action=c.TRADE_ACTION_DEAL, symbol=symbol, type=kind, type_filling=filling,
                  volume=round(steps * info.volume_step, 2), price=price, deviation=5)  # fmt: skip

    @rule(
        symbol=NAMES, kind=st.integers(2, 7), steps=STEPS, away=POINTS, filling=st.integers(0, 3)
    )
    def place(self, symbol: str, kind: int, steps: int, away: int, filling: int) -> None:
        info, market = self.priced(symbol, kind)
        price = round(market + away * info.point, info.digits)
        inside = round(price + (10 - 20 * (kind % 2 == 0)) * info.point, info.digits)
        self.send(action=c.TRADE_ACTION_PENDING, symbol=symbol, type=kind, type_filling=filling,
                  volume=round(steps * info.volume_step, 2), price=price, stoplimit=inside)  # fmt: skip

    @rule(data=st.data(), away=POINTS)
    def move_or_remove(self, data: st.DataObject, away: int) -> None:
        orders = self.mt5.orders_get() or ()
        if orders:
            order = data.draw(st.sampled_from(orders))
            if away % 3:
                self.send(action=c.TRADE_ACTION_REMOVE, order=order.ticket)
            else:
                info, _ = self.priced(order.symbol, order.type)
                price = round(order.price_open + away * info.point, info.digits)
                self.send(action=c.TRADE_ACTION_MODIFY, order=order.ticket, price=price)

    @rule(data=st.data(), away=POINTS, filling=st.integers(0, 2))
    def do_something_with_a_position(self, data: st.DataObject, away: int, filling: int) -> None:
        positions = self.mt5.positions_get() or ()
        if not positions:
            return
        position, other = (data.draw(st.sampled_from(positions)) for _ in range(2))
        kind = 1 - position.type
        info, price = self.priced(position.symbol, kind)
        if away % 3 == 0:
            self.send(action=c.TRADE_ACTION_SLTP, position=position.ticket, symbol=position.symbol,
                      sl=round(price + away * info.point, info.digits))  # fmt: skip
        elif away % 3 == 1:
            self.send(action=c.TRADE_ACTION_CLOSE_BY, position=position.ticket,
                      position_by=other.ticket)  # fmt: skip
        else:
            volume = position.volume if away > 0 else round(position.volume / 2, 2)
            self.send(action=c.TRADE_ACTION_DEAL, symbol=position.symbol, type=kind, volume=volume,
                      type_filling=filling, price=price, position=position.ticket)  # fmt: skip

    @rule(kind=st.sampled_from([FaultKind.REPLY_LOST, FaultKind.IPC_TIMEOUT]))
    def an_answer_is_lost(self, kind: FaultKind) -> None:
        self.mt5.world.faults.add(FaultRule(kind=kind, call="order_send", on_call=1))

    @rule(symbol=NAMES)
    def hide(self, symbol: str) -> None:
        is_hidden = self.mt5.symbol_select(symbol, False)
        exposed = {one.symbol for one in (*self.positions(), *(self.mt5.orders_get() or ()))}
        assert is_hidden is (symbol not in exposed)
        assert self.mt5.symbol_select(symbol, True)

    def positions(self) -> tuple[Any, ...]:
        return self.mt5.positions_get() or ()

    @invariant()
    def the_account_adds_up(self) -> None:
        account, positions = self.mt5.account_info(), self.positions()
        assert account is not None
        floating = sum(one.profit + one.swap for one in positions)
        assert account.profit == pytest.approx(floating, abs=1e-6)
        assert account.equity == pytest.approx(
            account.balance + account.credit + floating, abs=1e-6
        )
        assert account.margin_free == pytest.approx(account.equity - account.margin, abs=1e-6)
        assert (account.margin > 0) >= bool(positions)

    @invariant()
    def history_adds_up(self) -> None:
        account, deals = self.mt5.account_info(), self.mt5.history_deals_get(*EVER)
        assert account is not None
        assert deals is not None
        booked = sum(one.profit + one.commission + one.swap + one.fee for one in deals)
        assert account.balance == pytest.approx(booked, abs=1e-6)
        assert (
            len({one.ticket for one in deals}) == len(deals) == self.mt5.history_deals_total(*EVER)
        )
        for position in self.positions():
            mine = self.mt5.history_deals_get(position=position.identifier) or ()
            signed = sum(one.volume * (1 - 2 * one.type) for one in mine)
            assert signed == pytest.approx(position.volume * (1 - 2 * position.type), abs=1e-8)

    @invariant()
    def tickets_are_used_once(self) -> None:
        done, waiting = self.mt5.history_orders_get(*EVER), self.mt5.orders_get()
        assert done is not None
        assert waiting is not None
        tickets = [one.ticket for one in (*done, *waiting)]
        assert len(tickets) == len(set(tickets))
        positions = self.positions()
        assert (
            len({one.ticket for one in positions}) == len(positions) == self.mt5.positions_total()
        )
        assert len(waiting) == self.mt5.orders_total()
        if self.is_netting:
            assert len({one.symbol for one in positions}) == len(positions)


Account.TestCase.settings = settings(
    max_examples=15,
    stateful_step_count=20,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # to shorten a story takes minutes
)
TestAccount = Account.TestCase
