"""What a trade server answers, as number and as text."""

from enum import IntEnum
from typing import Final


class Retcode(IntEnum):
    """TRADE_RETCODE; there is neither 10005 nor 10037, and the module does not export 10046."""

    OK = 0
    """`order_check` only: the request would be accepted."""
    REQUOTE = 10004
    REJECT = 10006
    CANCEL = 10007
    PLACED = 10008
    DONE = 10009
    DONE_PARTIAL = 10010
    ERROR = 10011
    TIMEOUT = 10012
    INVALID = 10013
    INVALID_VOLUME = 10014
    INVALID_PRICE = 10015
    INVALID_STOPS = 10016
    TRADE_DISABLED = 10017
    MARKET_CLOSED = 10018
    NO_MONEY = 10019
    PRICE_CHANGED = 10020
    PRICE_OFF = 10021
    INVALID_EXPIRATION = 10022
    ORDER_CHANGED = 10023
    TOO_MANY_REQUESTS = 10024
    NO_CHANGES = 10025
    SERVER_DISABLES_AT = 10026
    CLIENT_DISABLES_AT = 10027
    LOCKED = 10028
    FROZEN = 10029
    INVALID_FILL = 10030
    CONNECTION = 10031
    ONLY_REAL = 10032
    LIMIT_ORDERS = 10033
    LIMIT_VOLUME = 10034
    INVALID_ORDER = 10035
    POSITION_CLOSED = 10036
    INVALID_CLOSE_VOLUME = 10038
    CLOSE_ORDER_EXIST = 10039
    LIMIT_POSITIONS = 10040
    REJECT_CANCEL = 10041
    LONG_ONLY = 10042
    SHORT_ONLY = 10043
    CLOSE_ONLY = 10044
    FIFO_CLOSE = 10045
    HEDGE_PROHIBITED = 10046

    @property
    def text(self) -> str:
        """The comment a server sends with it."""
        return _TEXTS[self]


_TEXTS: Final = {
    Retcode.OK: "Done",
    Retcode.REQUOTE: "Requote",
    Retcode.REJECT: "Request rejected",
    Retcode.CANCEL: "Request canceled",
    Retcode.PLACED: "Order placed",
    Retcode.DONE: "Request executed",
    Retcode.DONE_PARTIAL: "Request executed partially",
    Retcode.ERROR: "Request error",
    Retcode.TIMEOUT: "Request timeout",
    Retcode.INVALID: "Invalid request",
    Retcode.INVALID_VOLUME: "Invalid volume",
    Retcode.INVALID_PRICE: "Invalid price",
    Retcode.INVALID_STOPS: "Invalid stops",
    Retcode.TRADE_DISABLED: "Trade disabled",
    Retcode.MARKET_CLOSED: "Market closed",
    Retcode.NO_MONEY: "No money",
    Retcode.PRICE_CHANGED: "Price changed",
    Retcode.PRICE_OFF: "No prices",
    Retcode.INVALID_EXPIRATION: "Invalid expiration",
    Retcode.ORDER_CHANGED: "Order has been changed already",
    Retcode.TOO_MANY_REQUESTS: "Too many trade requests",
    Retcode.NO_CHANGES: "No changes",
    Retcode.SERVER_DISABLES_AT: "AutoTrading disabled by server",
    Retcode.CLIENT_DISABLES_AT: "AutoTrading disabled by client",
    Retcode.LOCKED: "Order locked by dealer",
    Retcode.FROZEN: "Modification failed due to order or position being close to market",
    Retcode.INVALID_FILL: "Unsupported filling mode",
    Retcode.CONNECTION: "No connection",
    Retcode.ONLY_REAL: "Allowed for real accounts only",
    Retcode.LIMIT_ORDERS: "Order limit reached",
    Retcode.LIMIT_VOLUME: "Volume limit reached",
    Retcode.INVALID_ORDER: "Invalid order",
    Retcode.POSITION_CLOSED: "Position doesn't exist",
    Retcode.INVALID_CLOSE_VOLUME: "Volume to be closed exceeds the position volume",
    Retcode.CLOSE_ORDER_EXIST: "Order to close this position already exists",
    Retcode.LIMIT_POSITIONS: "Position limit reached",
    Retcode.REJECT_CANCEL: "Request rejected, order will be canceled",
    Retcode.LONG_ONLY: "Only long positions are allowed",
    Retcode.SHORT_ONLY: "Only short positions are allowed",
    Retcode.CLOSE_ONLY: "Only position closing is allowed",
    Retcode.FIFO_CLOSE: "Positions are to be closed in the order of opening",
    Retcode.HEDGE_PROHIBITED: "Opposite positions are prohibited",
}
