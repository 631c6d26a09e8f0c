"""Which prices are interesting: between them a tick is only noted, which makes most ticks cheap."""

from aitrading.client.terminal.sim.broker.book import Book
from aitrading.client.terminal.sim.broker.kinds import Side
from aitrading.client.terminal.sim.broker.quotes import NEVER, Quote
from aitrading.client.terminal.sim.broker.records import Order, Position
from aitrading.client.terminal.sim.broker.stop_out import StopOut
from aitrading.client.terminal.sim.broker.units import Ratio, times


class Watch:
    """Sets the bounds of quotes. Bounds may be too narrow, which costs time, never too wide."""

    def __init__(self, book: Book, stop_out: StopOut) -> None:
        self._book = book
        self._stop_out = stop_out

    def everything(self) -> None:
        """Something changed: look at the next tick of each symbol."""
        for quote in self._book.quotes.values():
            quote.watch_everything()

    def refresh(self, symbol: str) -> None:
        """Set the bounds of a symbol and of all that shares the account's money with it."""
        exposed = {position.symbol for position in self._book.positions.values()}
        slack = self._stop_out.slack()
        for name in exposed | {symbol}:
            quote = self._book.quotes[name]
            quote.watch_nothing()
            for position in self._book.positions_of(name):
                _watch_stops(quote, position)
            for order in self._book.orders_of(name):
                _watch_order(quote, order)
        if slack is not None:
            self._watch_money(slack, exposed)

    def _watch_money(self, slack: int, exposed: set[str]) -> None:
        """Share the slack out; each symbol may lose its share before it is looked at again."""
        share = (slack - len(self._book.positions)) // len(exposed)
        for name in exposed:
            quote, reach = self._book.quotes[name], self._reach(name, share)
            if reach is None:
                self.everything()  # rates move too: no bound on one price is safe
                return
            quote.bid_below = max(quote.bid_below, quote.bid - reach)
            quote.ask_above = min(quote.ask_above, quote.ask + reach)

    def _reach(self, symbol: str, share: int) -> int | None:
        """Points that the symbol may move against everything before the share is lost."""
        book, spec = self._book, self._book.symbols[symbol]
        positions = book.positions_of(symbol)
        value = book.valuation.point_value(spec)
        volume = sum(position.volume for position in positions)
        if book.valuation.is_plain(spec):
            return _points(share, value, volume)
        if not book.valuation.is_own_rate(spec):
            return None
        # A result is (bid - open) / ask at worst. Where both move against it, a point costs at
        # most (open + 2 price) / price², and at nine tenths of the price 1.3 times that.
        price = book.quotes[symbol].bid
        amount = sum(position.cost for position in positions) + 2 * volume * price
        steepest = times(value, (13 * 10**spec.digits, 10 * price * price))
        return min(_points(share, steepest, amount), price // 10)


def _points(share: int, value: Ratio, amount: int) -> int:
    per_point = amount * value[0]
    return NEVER if per_point <= 0 else share * value[1] // per_point


def _watch_stops(quote: Quote, position: Position) -> None:
    """A long position closes at the bid: its loss is below, its profit above."""
    below, above = position.sl, position.tp
    if position.side is Side.SELL:
        below, above = above, below
    _narrow(quote, position.side.opposite, below or None, above or None)


def _watch_order(quote: Quote, order: Order) -> None:
    if order.is_awake or order.kind.is_market:
        quote.watch_everything()
        return
    is_below = order.kind.is_limit is (order.kind.side is Side.BUY)
    price = order.price
    _narrow(quote, order.kind.side, price if is_below else None, None if is_below else price)


def _narrow(quote: Quote, side: Side, below: int | None, above: int | None) -> None:
    """Bounds on the price a taker of that side deals at."""
    if side is Side.SELL:
        quote.bid_below = max(quote.bid_below, -NEVER if below is None else below)
        quote.bid_above = min(quote.bid_above, NEVER if above is None else above)
    else:
        quote.ask_below = max(quote.ask_below, -NEVER if below is None else below)
        quote.ask_above = min(quote.ask_above, NEVER if above is None else above)
