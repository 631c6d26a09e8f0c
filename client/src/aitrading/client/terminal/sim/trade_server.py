"""The broker kept up to date: every tick that matters to the account reaches it, in order.

Between two calls nobody looks, so ticks are brought to the broker when somebody asks. Symbols with
a position or an order get each tick since the last time; of others the newest price is enough.
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import numpy as np

from aitrading.client.terminal.broker_time import broker_offset_s
from aitrading.client.terminal.sim.broker.broker import DAYS_PER_STEP_MAX, Broker
from aitrading.client.terminal.sim.broker.calendar import day_of
from aitrading.client.terminal.sim.broker.kinds import CalcMode
from aitrading.client.terminal.sim.broker.specs import AccountSpec
from aitrading.client.terminal.sim.broker.units import MSC_PER_DAY
from aitrading.client.terminal.sim.faults import FaultKind, Faults
from aitrading.client.terminal.sim.market.history import NowUs
from aitrading.client.terminal.sim.market.ticks import US_PER_MS, US_PER_S, TickBlock, Whole
from aitrading.client.terminal.sim.market_watch import MarketWatch

_PAIRS: Final = (CalcMode.FOREX, CalcMode.FOREX_NO_LEVERAGE)
_SHORT_RUN: Final = 8
CATCH_UP_US: Final = 7 * 24 * 3_600 * US_PER_S
"""Who did not ask for longer has these last ticks told, and of those before none."""


class _Kept(NamedTuple):
    """An account that nobody looks at, and up to when its broker heard of prices."""

    account: AccountSpec
    broker: Broker
    heard_us: int


class TradeServer:
    """The accounts' brokers behind the market of the terminal; one account is looked at."""

    def __init__(
        self, accounts: Sequence[AccountSpec], watch: MarketWatch, now_us: NowUs, *, faults: Faults
    ) -> None:
        self._watch = watch
        self._now_us = now_us
        self._faults = faults
        self._kept = dict(enumerate(map(self._opened, accounts)))
        self._number = 0
        self.account, self.broker, self._heard_us = self._kept.pop(self._number)

    def change(self, number: int) -> None:
        """Look at another account; what this one misses it hears when it is looked at again."""
        if number != self._number:
            self._kept[self._number] = _Kept(self.account, self.broker, self._heard_us)
            self.account, self.broker, self._heard_us = self._kept.pop(number)
            self._number = number

    def now_msc(self) -> int:
        """The broker's clock."""
        return _broker_msc(self._now_us())

    def current(self, *symbols: str) -> Broker:
        """The broker as it is now, with fresh prices of these symbols too."""
        now_us = self._now_us()
        exposed = self.exposed()
        if now_us > self._heard_us:
            after_us = max(self._heard_us, now_us - CATCH_UP_US)
            self._leap(_broker_msc(after_us))
            self._hear(exposed, after_us, now_us)
            self._heard_us = now_us
        for name in self._relevant({*exposed, *symbols}):
            self._quote(name)
        self.broker.allow(client=not self._faults.lasts(FaultKind.TRADE_DISABLED))
        self.broker.advance(self.now_msc())
        return self.broker

    def digits_of(self, symbol: str) -> int:
        """Decimals of a symbol's prices; 0 for none."""
        listing = self._watch.listings.get(symbol)
        return listing.spec.digits if listing else 0

    def exposed(self) -> set[str]:
        """The symbols with a position or an order."""
        positions, orders = self.broker.positions(), self.broker.orders()
        return {one.symbol for one in (*positions, *orders)}

    def _opened(self, account: AccountSpec) -> _Kept:
        heard_us, broker = self._now_us(), Broker(account, self._watch.specs)
        broker.advance(self.now_msc())
        return _Kept(account, broker, heard_us)

    def _relevant(self, symbols: set[str]) -> list[str]:
        """These symbols and the pairs their money is converted with."""
        specs = [self._watch.listings[name].spec for name in symbols & self._watch.listings.keys()]
        foreign = {one.currency_profit for one in specs} | {one.currency_margin for one in specs}
        foreign.discard(self.account.currency)
        pairs = [
            name
            for name, listing in self._watch.listings.items()
            if listing.spec.calc_mode in _PAIRS
            and foreign & {listing.spec.currency_base, listing.spec.currency_profit}
        ]
        return [*(spec.name for spec in specs), *pairs]

    def _leap(self, time_msc: int) -> None:
        """Let days pass that nobody looked at, as many at once as the broker takes."""
        while (days := day_of(time_msc) - day_of(self.broker.now_msc)) > 0:
            step = min(days, DAYS_PER_STEP_MAX) * MSC_PER_DAY
            self.broker.advance(min(time_msc, self.broker.now_msc + step))

    def _quote(self, symbol: str) -> None:
        listing = self._watch.listings[symbol]
        newest = listing.history.newest()
        if len(newest) and (self._watch.is_shown(symbol) or symbol in self.exposed()):
            bid, ask = _points(TickBlock(np.zeros(1, np.int64), newest), listing.spec.digits)
            self.broker.on_tick(symbol, int(bid[0]), int(ask[0]), int(newest["time_msc"][0]))

    def _hear(self, symbols: Iterable[str], after_us: int, now_us: int) -> None:
        histories = {name: self._watch.listings[name].history for name in sorted(symbols)}
        if not histories:
            return
        from_s = after_us // US_PER_S
        step_s = min(history.source.block_s(from_s) for history in histories.values())
        to_s = now_us // US_PER_S + 1
        for start_s in range(from_s, to_s, step_s):
            end_s = min(to_s, start_s + step_s)
            heard = {
                name: _after(history.source.block(start_s, end_s), after_us, now_us)
                for name, history in histories.items()
            }
            self._tell({name: block for name, block in heard.items() if len(block.ticks)})

    def _tell(self, heard: dict[str, TickBlock]) -> None:
        """All ticks of some seconds, in the order in which they happened."""
        names = list(heard)
        if not names:
            return
        columns = {
            name: (*_points(heard[name], self.digits_of(name)), heard[name].ticks["time_msc"])
            for name in names
        }
        whose = np.repeat(np.arange(len(names)), [len(heard[name].ticks) for name in names])
        order = np.argsort(np.concatenate([heard[name].time_us for name in names]), kind="stable")
        whose = whose[order]
        begins = np.flatnonzero(np.diff(whose, prepend=-1)).tolist()
        told = dict.fromkeys(names, 0)
        for begin, end in zip(begins, [*begins[1:], len(whose)], strict=True):
            name = names[int(whose[begin])]
            run = slice(told[name], told[name] + end - begin)
            told[name] = run.stop
            bid, ask, time_msc = (column[run] for column in columns[name])
            if end - begin > _SHORT_RUN:
                self.broker.on_ticks(name, bid, ask, time_msc)
            else:
                for quote in zip(bid.tolist(), ask.tolist(), time_msc.tolist(), strict=True):
                    self.broker.on_tick(name, *quote)


def _broker_msc(now_us: int) -> int:
    return now_us // US_PER_MS + broker_offset_s(now_us // US_PER_S) * 1_000


def _after(block: TickBlock, after_us: int, now_us: int) -> TickBlock:
    inside = slice(*block.time_us.searchsorted((after_us, now_us), side="right"))
    return TickBlock(block.time_us[inside], block.ticks[inside])


def _points(block: TickBlock, digits: int) -> tuple[Whole, Whole]:
    scale = 10**digits
    bid = np.rint(block.ticks["bid"] * scale).astype(np.int64)
    return bid, np.rint(block.ticks["ask"] * scale).astype(np.int64)
