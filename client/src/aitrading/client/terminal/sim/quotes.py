"""The functions that tell symbols, prices, bars and the depth of market."""

from collections.abc import Mapping, Sequence
from typing import Final

from aitrading.client.terminal.api import constants as c
from aitrading.client.terminal.api import errors
from aitrading.client.terminal.api.arrays import RateRows, TickRows
from aitrading.client.terminal.api.structs import BookInfo, SymbolInfo, Tick
from aitrading.client.terminal.sim.arguments import (
    CallRefusedError,
    moment_ms,
    named,
    text,
    unnamed,
    whole,
)
from aitrading.client.terminal.sim.broker.kinds import Side
from aitrading.client.terminal.sim.broker.units import LOT
from aitrading.client.terminal.sim.faults import FaultKind, Faults
from aitrading.client.terminal.sim.market.bars import BARS_MAX, TIMEFRAMES
from aitrading.client.terminal.sim.market_watch import Listing, MarketWatch
from aitrading.client.terminal.sim.symbol_view import BOOK_LEVELS, SymbolView
from aitrading.client.terminal.sim.trade_server import TradeServer

Given = Sequence[object]
_COPY_FLAGS: Final = frozenset({c.COPY_TICKS_ALL, c.COPY_TICKS_INFO, c.COPY_TICKS_TRADE})
_LEVEL_LOTS: Final = 5
EMPTY_TICK: Final = Tick(0, 0.0, 0.0, 0.0, 0, 0, 0, 0.0)


class QuoteCalls:
    """Market data as the terminal answers it."""

    def __init__(self, watch: MarketWatch, server: TradeServer, faults: Faults) -> None:
        self._watch = watch
        self._server = server
        self._faults = faults
        self._views = {name: SymbolView(one) for name, one in watch.listings.items()}
        self._books: dict[str, int] = {}

    def symbols_total(self) -> int:
        """How many symbols the broker lists."""
        return len(self._watch.listings)

    def symbols_get(self, given: Given, by_name: Mapping[str, object]) -> tuple[SymbolInfo, ...]:
        """The symbols whose names match a group, shown or not."""
        placed = unnamed(given, text, optional=1)
        group = named(by_name, {"group": text}).get("group", placed[0] if placed else "*")
        return tuple(self._info(listing) for listing in self._watch.matching(group))

    def symbol_info(self, given: Given) -> SymbolInfo:
        """One symbol."""
        (symbol,) = unnamed(given, text)
        return self._info(self._watch.known(symbol))

    def symbol_info_tick(self, given: Given) -> Tick:
        """The newest tick of a shown symbol."""
        (symbol,) = unnamed(given, text)
        newest = self._watch.shown(symbol).history.newest()
        return Tick(*newest[0].item()) if len(newest) else EMPTY_TICK

    def symbol_select(self, given: Given) -> bool:
        """Show or hide a symbol; one with a position or an order cannot be hidden."""
        symbol, *wanted = unnamed(given, text, whole, optional=1)
        is_wanted = not wanted or bool(wanted[0])
        self._watch.known(symbol)
        if not is_wanted and symbol in self._server.exposed():
            raise CallRefusedError(errors.CALL_FAILED)
        self._watch.show(symbol, wanted=is_wanted)
        return True

    def market_book_add(self, given: Given) -> bool:
        """Subscribe to the depth of a symbol; each subscription wants its release."""
        (symbol,) = unnamed(given, text)
        self._watch.shown(symbol)
        self._books[symbol] = self._books.get(symbol, 0) + 1
        return True

    def market_book_release(self, given: Given) -> bool:
        """End one subscription."""
        (symbol,) = unnamed(given, text)
        self._watch.known(symbol)
        if not self._books.get(symbol):
            raise CallRefusedError(errors.CALL_FAILED)
        self._books[symbol] -= 1
        return True

    def market_book_get(self, given: Given) -> tuple[BookInfo, ...]:
        """The depth of a subscribed symbol: sellers from the dearest, then buyers."""
        (symbol,) = unnamed(given, text)
        listing = self._watch.shown(symbol)
        if not self._books.get(symbol):
            raise CallRefusedError(errors.CALL_FAILED)
        newest = listing.history.newest()
        if not len(newest):
            return ()
        tick = newest[0]
        sells = _levels(listing, c.BOOK_TYPE_SELL, float(tick["ask"]), 1)
        buys = _levels(listing, c.BOOK_TYPE_BUY, float(tick["bid"]), -1)
        return (*reversed(sells), *buys)

    def copy_ticks_from(self, given: Given) -> TickRows:
        """Ticks from a moment on."""
        symbol, from_ms, count, flags = unnamed(given, text, moment_ms, whole, whole)
        history = self._remembering(symbol).history
        return history.from_moment(from_ms, _count(count), _flags(flags))

    def copy_ticks_range(self, given: Given) -> TickRows:
        """Ticks between two moments."""
        symbol, from_ms, to_ms, flags = unnamed(given, text, moment_ms, moment_ms, whole)
        return self._remembering(symbol).history.between(from_ms, to_ms, _flags(flags))

    def copy_rates_from(self, given: Given) -> RateRows:
        """Bars up to a moment."""
        symbol, timeframe, from_ms, count = unnamed(given, text, whole, moment_ms, whole)
        bars = self._remembering(symbol).bars
        return bars.before(_timeframe(timeframe), from_ms // 1_000, _bar_count(count))

    def copy_rates_from_pos(self, given: Given) -> RateRows:
        """Bars counted from the one that is forming."""
        symbol, timeframe, skip, count = unnamed(given, text, whole, whole, whole)
        bars = self._remembering(symbol).bars
        return bars.last(_timeframe(timeframe), _count(skip, least=0), _bar_count(count))

    def copy_rates_range(self, given: Given) -> RateRows:
        """Bars that start between two moments."""
        symbol, timeframe, from_ms, to_ms = unnamed(given, text, whole, moment_ms, moment_ms)
        bars = self._remembering(symbol).bars
        found = bars.between(_timeframe(timeframe), from_ms // 1_000, to_ms // 1_000)
        _bar_count(max(1, len(found)))
        return found

    def _remembering(self, symbol: str) -> Listing:
        listing = self._watch.shown(symbol)
        if self._faults.lasts(FaultKind.DISK_FULL):
            raise CallRefusedError(errors.CALL_FAILED)
        return listing

    def _info(self, listing: Listing) -> SymbolInfo:
        newest = listing.history.newest()
        name, spec = listing.spec.name, listing.spec
        tick_value = 0.0
        if len(newest):
            price = round(float(newest["bid"][0]) * 10**spec.digits)
            worth = self._server.current(name).calc_profit(
                Side.BUY, name, 1_000 * LOT, price, price + spec.tick_size_points
            )
            tick_value = (worth or 0) / self._server.account.money_unit / 1_000
        return self._views[name].at(
            self._server.now_msc() // 1_000,
            newest,
            tick_value,
            shown=self._watch.is_shown(name),
        )


def _levels(listing: Listing, kind: int, best: float, direction: int) -> list[BookInfo]:
    spec = listing.spec
    levels = [(level.offset_points, level.volume // LOT) for level in spec.depth] or [
        (place, _LEVEL_LOTS * (place + 1)) for place in range(BOOK_LEVELS)
    ]
    return [
        BookInfo(
            type=kind,
            price=round(best + direction * offset * 10**-spec.digits, spec.digits),
            volume=volume,
            volume_dbl=float(volume),
        )
        for offset, volume in levels
    ]


def _count(count: int, *, least: int = 1) -> int:
    if count < least:
        raise CallRefusedError(errors.INVALID_PARAMS)
    return count


def _bar_count(count: int) -> int:
    """A terminal refuses as many bars as it keeps, by count or by range, instead of giving fewer."""
    if _count(count) >= BARS_MAX:
        raise CallRefusedError(errors.INVALID_PARAMS)
    return count


def _flags(flags: int) -> int:
    if flags not in _COPY_FLAGS:
        raise CallRefusedError(errors.INVALID_PARAMS)
    return flags


def _timeframe(timeframe: int) -> int:
    if timeframe not in TIMEFRAMES:
        raise CallRefusedError(errors.INVALID_PARAMS)
    return timeframe
