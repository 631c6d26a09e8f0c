"""What goes in, what comes out, and what is kept: frozen values of whole numbers."""

from fractions import Fraction

import msgspec

from aitrading.client.terminal.sim.broker.kinds import (
    DealKind,
    Entry,
    Filling,
    OrderKind,
    OrderState,
    Reason,
    Side,
    TimeInForce,
)
from aitrading.client.terminal.sim.broker.retcodes import Retcode


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A `TradeRequest`: numbers as the client gave them, prices in points, volume in units."""

    action: int
    magic: int = 0
    order: int = 0
    symbol: str = ""
    volume: int = 0
    price: int = 0
    stoplimit: int = 0
    sl: int = 0
    tp: int = 0
    deviation: int = 0
    kind: int = 0
    filling: int = 0
    time_kind: int = 0
    expiration_s: int = 0
    comment: str = ""
    position: int = 0
    position_by: int = 0
    reason: Reason = Reason.EXPERT


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """An `OrderSendResult` without the echo of the request."""

    retcode: Retcode
    deal: int = 0
    order: int = 0
    volume: int = 0
    price: int = 0
    bid: int = 0
    ask: int = 0
    comment: str = ""
    request_id: int = 0
    retcode_external: int = 0


class CheckResult(msgspec.Struct, frozen=True, kw_only=True):
    """An `OrderCheckResult` without the echo; money in minor units, as it would be afterwards."""

    retcode: Retcode
    balance: int = 0
    equity: int = 0
    profit: int = 0
    margin: int = 0
    margin_free: int = 0
    margin_level: Fraction | None = None
    comment: str = ""


class AccountState(msgspec.Struct, frozen=True, kw_only=True):
    """The account's money now, in minor units; `profit` has the swaps of open positions in it."""

    balance: int
    credit: int
    profit: int
    equity: int
    margin: int
    margin_free: int
    margin_level: Fraction | None
    """Equity in percent of the margin; None without a margin."""
    is_margin_call: bool


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """An open position."""

    ticket: int
    identifier: int
    symbol: str
    side: Side
    volume: int
    cost: int
    """What it was opened for: points times units of volume, so that averages stay exact."""
    margin_micro: int
    """Margin booked for it alone, in millionths of the account's minor unit."""
    sl: int
    tp: int
    magic: int
    reason: Reason
    comment: str
    time_msc: int
    time_update_msc: int
    swap: int = 0

    @property
    def price_open(self) -> Fraction:
        """The average opening price in points."""
        return Fraction(self.cost, self.volume)


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """An order, waiting or done."""

    ticket: int
    symbol: str
    kind: OrderKind
    state: OrderState
    filling: Filling
    time_kind: TimeInForce
    volume_initial: int
    volume_current: int
    """What is still to be filled."""
    price: int
    stoplimit: int
    sl: int
    tp: int
    magic: int
    reason: Reason
    comment: str
    time_setup_msc: int
    expiration_msc: int = 0
    """When it ends by itself; 0 is never."""
    expiration_s: int = 0
    """The same as the client asked for it."""
    time_done_msc: int = 0
    position: int = 0
    """The position it is to close, later the one it made or changed."""
    position_by: int = 0
    margin_micro: int = 0
    is_awake: bool = False
    """A stop order whose price was reached and that was not filled whole."""


class Deal(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened to the account; money in minor units."""

    ticket: int
    order: int
    symbol: str
    kind: DealKind
    entry: Entry
    reason: Reason
    time_msc: int
    position: int
    volume: int
    price: int
    magic: int
    comment: str
    profit: int = 0
    swap: int = 0
    commission: int = 0
    fee: int = 0

    @property
    def amount(self) -> int:
        """What it changed the balance by."""
        return self.profit + self.swap + self.commission + self.fee
