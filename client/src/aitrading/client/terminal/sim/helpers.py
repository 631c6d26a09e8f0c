"""`Buy`, `Sell` and `Close`: the three functions the package has in Python."""

from typing import Final, Literal, Protocol

from aitrading.client.terminal.api import constants as c
from aitrading.client.terminal.api.structs import (
    OrderSendResult,
    SymbolInfo,
    Tick,
    TradePosition,
)

DEVIATION_POINTS: Final = 10
ATTEMPTS: Final = 10
_TRY_AGAIN: Final = frozenset({c.TRADE_RETCODE_REQUOTE, c.TRADE_RETCODE_PRICE_OFF})
_FILLINGS: Final = ((1, c.ORDER_FILLING_FOK), (2, c.ORDER_FILLING_IOC))
"""Bits of a symbol's `filling_mode` and the filling each admits."""
Closed = bool | Literal["Partially"] | None


class TradingTerminal(Protocol):
    """The functions the helpers are made of."""

    def symbol_info(self, *args: object) -> SymbolInfo | None:
        """One symbol."""
        ...

    def symbol_info_tick(self, *args: object) -> Tick | None:
        """Its newest tick."""
        ...

    def order_send(self, *args: object, **kwargs: object) -> OrderSendResult | None:
        """Send a request."""
        ...

    def positions_get(self, *args: object, **kwargs: object) -> tuple[TradePosition, ...] | None:
        """The open positions, or some of them."""
        ...


class Helpers:
    """Market orders with few words, over the functions of one terminal."""

    def __init__(self, terminal: TradingTerminal) -> None:
        self._terminal = terminal

    def buy(
        self,
        symbol: str,
        volume: float,
        price: float | None = None,
        *,
        comment: str | None = None,
        ticket: int | None = None,
    ) -> OrderSendResult | None:
        """Buy at market; without a price the newest one is asked again after a requote."""
        return self._deal(c.ORDER_TYPE_BUY, symbol, volume, price, comment, ticket)

    def sell(
        self,
        symbol: str,
        volume: float,
        price: float | None = None,
        *,
        comment: str | None = None,
        ticket: int | None = None,
    ) -> OrderSendResult | None:
        """Sell at market; without a price the newest one is asked again after a requote."""
        return self._deal(c.ORDER_TYPE_SELL, symbol, volume, price, comment, ticket)

    def close(
        self, symbol: str, *, comment: str | None = None, ticket: int | None = None
    ) -> Closed:
        """Close a symbol's positions, or one of them; None when a request got no answer."""
        asked = {"symbol": symbol} if ticket is None else {"ticket": ticket}
        positions = self._terminal.positions_get(**asked)
        if positions is None:
            return None
        results = [
            self._deal(
                c.ORDER_TYPE_SELL if one.type == c.POSITION_TYPE_BUY else c.ORDER_TYPE_BUY,
                one.symbol,
                one.volume,
                None,
                comment,
                one.ticket,
            )
            for one in positions
        ]
        if None in results:
            return None
        done = [one for one in results if one and one.retcode == c.TRADE_RETCODE_DONE]
        if done and len(done) < len(results):
            return "Partially"
        return bool(done)

    def _deal(
        self,
        kind: int,
        symbol: str,
        volume: float,
        price: float | None,
        comment: str | None,
        ticket: int | None,
    ) -> OrderSendResult | None:
        info = self._terminal.symbol_info(symbol)
        if info is None:
            return None
        request: dict[str, object] = {
            "action": c.TRADE_ACTION_DEAL,
            "symbol": symbol,
            "volume": volume,
            "type": kind,
            "deviation": DEVIATION_POINTS,
            "type_filling": filling_of(info),
        }
        if comment is not None:
            request["comment"] = comment
        if ticket is not None:
            request["position"] = ticket
        result = self._at(request, kind, symbol, price)
        for _ in range(ATTEMPTS - 1):
            if price is not None or result is None or result.retcode not in _TRY_AGAIN:
                break
            result = self._at(request, kind, symbol, None)
        return result

    def _at(
        self, request: dict[str, object], kind: int, symbol: str, price: float | None
    ) -> OrderSendResult | None:
        if price is None:
            tick = self._terminal.symbol_info_tick(symbol)
            if tick is None:
                return None
            price = tick.ask if kind == c.ORDER_TYPE_BUY else tick.bid
        return self._terminal.order_send(request | {"price": price})


def filling_of(info: SymbolInfo) -> int:
    """A filling the symbol admits for an order at market."""
    for bit, filling in _FILLINGS:
        if info.filling_mode & bit:
            return filling
    return c.ORDER_FILLING_RETURN
