"""A broker at a known price, and requests as a client writes them."""

from decimal import Decimal
from typing import Any

import msgspec

from aitrading.client.terminal.sim.broker.broker import Broker
from aitrading.client.terminal.sim.broker.kinds import (
    Action,
    Filling,
    MarginMode,
    OrderKind,
)
from aitrading.client.terminal.sim.broker.records import Deal, Order, Position, Request, Result
from aitrading.client.terminal.sim.broker.retcodes import Retcode
from aitrading.client.terminal.sim.broker.specs import AccountSpec, SymbolSpec
from aitrading.client.terminal.sim.broker.units import LOT, MSC_PER_DAY

START_MSC = 1_700_000_000_000  # Tuesday, 14 November 2023, 22:13:20 on the broker's clock
TO_MIDNIGHT_MSC = MSC_PER_DAY - START_MSC % MSC_PER_DAY
BID, ASK = 109_990, 110_000
FOREVER = 1 << 60

EURUSD = SymbolSpec(
    name="EURUSD",
    digits=5,
    currency_base="EUR",
    currency_profit="USD",
    currency_margin="EUR",
)
USDJPY = SymbolSpec(
    name="USDJPY",
    digits=3,
    currency_base="USD",
    currency_profit="JPY",
    currency_margin="USD",
)
XAUUSD = SymbolSpec(
    name="XAUUSD",
    digits=2,
    currency_base="XAU",
    currency_profit="USD",
    currency_margin="USD",
    contract_size=Decimal(100),
)
STARTING = {"EURUSD": (BID, ASK), "USDJPY": (149_990, 150_000), "XAUUSD": (200_000, 200_020)}


class Trader:
    """A broker and the habits of who uses it."""

    def __init__(self, account: AccountSpec | None = None, **changes: Any) -> None:
        """`changes` are made to the specification of EURUSD."""
        self.account = account or AccountSpec()
        self.symbols = {
            "EURUSD": msgspec.structs.replace(EURUSD, **changes),
            "USDJPY": USDJPY,
            "XAUUSD": XAUUSD,
        }
        self.broker = Broker(self.account, self.symbols)
        self.now_msc = START_MSC
        for symbol, (bid, ask) in STARTING.items():
            self.broker.on_tick(symbol, bid, ask, START_MSC)

    def tick(self, bid: int, ask: int | None = None, symbol: str = "EURUSD") -> None:
        """A tick one second later; the spread is ten points unless said otherwise."""
        self.now_msc += 1_000
        self.broker.on_tick(symbol, bid, bid + 10 if ask is None else ask, self.now_msc)

    def send(self, **fields: Any) -> Result:
        return self.broker.send(Request(**fields), self.now_msc)

    def market(self, kind: OrderKind, volume: int = LOT, **fields: Any) -> Result:
        return self.send(**market(kind, volume, **fields))

    def buy(self, volume: int = LOT, **fields: Any) -> Result:
        return self.market(OrderKind.BUY, volume, **fields)

    def sell(self, volume: int = LOT, **fields: Any) -> Result:
        return self.market(OrderKind.SELL, volume, **fields)

    def place(self, kind: OrderKind, price: int, volume: int = LOT, **fields: Any) -> Result:
        return self.send(**pending(kind, price, volume, **fields))

    @property
    def position(self) -> Position:
        """The only one."""
        (position,) = self.broker.positions()
        return position

    @property
    def order(self) -> Order:
        """The only one that waits."""
        (order,) = self.broker.orders()
        return order

    @property
    def deals(self) -> tuple[Deal, ...]:
        """All but the deposit."""
        return self.broker.history_deals(START_MSC, FOREVER)

    @property
    def done(self) -> tuple[Order, ...]:
        return self.broker.history_orders(0, FOREVER)


def market(kind: OrderKind, volume: int = LOT, **fields: Any) -> dict[str, Any]:
    common = {"symbol": "EURUSD", "filling": Filling.FOK}
    return {"action": Action.DEAL, "kind": kind, "volume": volume, **common, **fields}


def pending(kind: OrderKind, price: int, volume: int = LOT, **fields: Any) -> dict[str, Any]:
    common = {"symbol": "EURUSD", "filling": Filling.RETURN, "price": price}
    return {"action": Action.PENDING, "kind": kind, "volume": volume, **common, **fields}


def done(result: Result) -> Result:
    """Insist that it was."""
    assert result.retcode is Retcode.DONE, result
    return result


def netting(**changes: Any) -> AccountSpec:
    return AccountSpec(margin_mode=MarginMode.RETAIL_NETTING, **changes)
