"""The numbers of MetaTrader 5 that the engine decides by, each as a type of its own."""

from enum import IntEnum, IntFlag
from typing import Final, TypeVar

E = TypeVar("E", bound=IntEnum)


class Side(IntEnum):
    """Which way a position or a deal goes; the numbers of POSITION_TYPE and of BUY and SELL."""

    BUY = 0
    SELL = 1

    @property
    def sign(self) -> int:
        """1 when a rising price earns, -1 when it costs."""
        return -1 if self else 1

    @property
    def opposite(self) -> "Side":
        """The side that closes this one."""
        return Side.BUY if self else Side.SELL


class Action(IntEnum):
    """TRADE_ACTION."""

    DEAL = 1
    PENDING = 5
    SLTP = 6
    MODIFY = 7
    REMOVE = 8
    CLOSE_BY = 10


class OrderKind(IntEnum):
    """ORDER_TYPE; even numbers buy, odd ones sell, except CLOSE_BY."""

    BUY = 0
    SELL = 1
    BUY_LIMIT = 2
    SELL_LIMIT = 3
    BUY_STOP = 4
    SELL_STOP = 5
    BUY_STOP_LIMIT = 6
    SELL_STOP_LIMIT = 7
    CLOSE_BY = 8

    @property
    def side(self) -> Side:
        """The side of the deals it makes."""
        return Side(self % 2)

    @property
    def is_market(self) -> bool:
        """Executed at once."""
        return self <= OrderKind.SELL

    @property
    def is_limit(self) -> bool:
        """Waits in the book for its price or a better one."""
        return OrderKind.BUY_LIMIT <= self <= OrderKind.SELL_LIMIT

    @property
    def is_stop(self) -> bool:
        """Becomes a market order at its price."""
        return OrderKind.BUY_STOP <= self <= OrderKind.SELL_STOP

    @property
    def is_stop_limit(self) -> bool:
        """Becomes a limit order at its price."""
        return OrderKind.BUY_STOP_LIMIT <= self <= OrderKind.SELL_STOP_LIMIT

    @property
    def is_pending(self) -> bool:
        """Waits for a price."""
        return OrderKind.BUY_LIMIT <= self <= OrderKind.SELL_STOP_LIMIT


class OrderState(IntEnum):
    """ORDER_STATE; STARTED and the REQUEST states pass within one call and are never seen."""

    PLACED = 1
    CANCELED = 2
    PARTIAL = 3
    FILLED = 4
    REJECTED = 5
    EXPIRED = 6


class Filling(IntEnum):
    """ORDER_FILLING."""

    FOK = 0
    IOC = 1
    RETURN = 2
    BOC = 3


class TimeInForce(IntEnum):
    """ORDER_TIME."""

    GTC = 0
    DAY = 1
    SPECIFIED = 2
    SPECIFIED_DAY = 3


class Reason(IntEnum):
    """ORDER_REASON and DEAL_REASON, which agree where both exist."""

    CLIENT = 0
    MOBILE = 1
    WEB = 2
    EXPERT = 3
    SL = 4
    TP = 5
    SO = 6
    ROLLOVER = 7


class DealKind(IntEnum):
    """DEAL_TYPE; those this broker makes."""

    BUY = 0
    SELL = 1
    BALANCE = 2
    CREDIT = 3


class Entry(IntEnum):
    """DEAL_ENTRY."""

    IN = 0
    OUT = 1
    INOUT = 2
    OUT_BY = 3


class MarginMode(IntEnum):
    """ACCOUNT_MARGIN_MODE."""

    RETAIL_NETTING = 0
    EXCHANGE = 1
    RETAIL_HEDGING = 2


class StopOutMode(IntEnum):
    """ACCOUNT_STOPOUT_MODE."""

    PERCENT = 0
    MONEY = 1


class AccountKind(IntEnum):
    """ACCOUNT_TRADE_MODE."""

    DEMO = 0
    CONTEST = 1
    REAL = 2


class TradeMode(IntEnum):
    """SYMBOL_TRADE_MODE."""

    DISABLED = 0
    LONGONLY = 1
    SHORTONLY = 2
    CLOSEONLY = 3
    FULL = 4


class Execution(IntEnum):
    """SYMBOL_TRADE_EXECUTION."""

    REQUEST = 0
    INSTANT = 1
    MARKET = 2
    EXCHANGE = 3


class CalcMode(IntEnum):
    """SYMBOL_CALC_MODE."""

    FOREX = 0
    FUTURES = 1
    CFD = 2
    CFDINDEX = 3
    CFDLEVERAGE = 4
    FOREX_NO_LEVERAGE = 5
    EXCH_STOCKS = 32
    EXCH_FUTURES = 33
    EXCH_OPTIONS = 34
    EXCH_OPTIONS_MARGIN = 36
    EXCH_BONDS = 37
    EXCH_STOCKS_MOEX = 38
    EXCH_BONDS_MOEX = 39
    SERV_COLLATERAL = 64


class SwapMode(IntEnum):
    """SYMBOL_SWAP_MODE."""

    DISABLED = 0
    POINTS = 1
    CURRENCY_SYMBOL = 2
    CURRENCY_MARGIN = 3
    CURRENCY_DEPOSIT = 4
    INTEREST_CURRENT = 5
    INTEREST_OPEN = 6
    REOPEN_CURRENT = 7
    REOPEN_BID = 8


class GtcMode(IntEnum):
    """SYMBOL_ORDERS: what a day's end does to orders that are good till cancelled."""

    GTC = 0
    DAILY = 1
    DAILY_NO_STOPS = 2


class Weekday(IntEnum):
    """DAY_OF_WEEK."""

    SUNDAY = 0
    MONDAY = 1
    TUESDAY = 2
    WEDNESDAY = 3
    THURSDAY = 4
    FRIDAY = 5
    SATURDAY = 6


class FillingMask(IntFlag):
    """`filling_mode` of a symbol: a mask, not the number an order carries. RETURN has no bit."""

    FOK = 1
    IOC = 2
    BOC = 4


class ExpirationMask(IntFlag):
    """`expiration_mode` of a symbol."""

    GTC = 1
    DAY = 2
    SPECIFIED = 4
    SPECIFIED_DAY = 8


class OrderMask(IntFlag):
    """`order_mode` of a symbol."""

    MARKET = 1
    LIMIT = 2
    STOP = 4
    STOP_LIMIT = 8
    SL = 16
    TP = 32
    CLOSE_BY = 64


ALL_EXPIRATIONS: Final = ExpirationMask(15)
ALL_ORDERS: Final = OrderMask(127)


def member(kind: type[E], number: int) -> E | None:
    """The member with that number; None for any other number a client may send."""
    try:
        return kind(number)
    except ValueError:
        return None
