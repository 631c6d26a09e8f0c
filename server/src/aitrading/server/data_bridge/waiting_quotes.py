"""Quotes on their way to many: each is rendered once, when somebody's turn comes to send it."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec
import numpy as np

from aitrading.core.domain.feed_state import FeedState
from aitrading.core.domain.market import ROW_BYTES, TICK_DTYPE, TickArray, TickBatch
from aitrading.server.data_bridge.quotes import QuoteSource

EVERY_TICK_QUEUE_MAX: Final = 2_000
"""Quotes that may wait for a subscriber of every tick; beyond, older ones are conflated."""
_FINAL_TEXT: Final = 0x81
_SMALL_MAX: Final = 125
_SIZE_OF_TWO_BYTES: Final = 126
_encoder: Final = msgspec.json.Encoder()


class WaitingQuote:
    """A quote on its way to many: rendered once, at the first subscriber that takes it."""

    __slots__ = ("_frame", "_render", "received_ns", "symbol")

    def __init__(self, symbol: str, received_ns: int, render: Callable[[], Any]) -> None:
        self.symbol = symbol
        self.received_ns = received_ns
        self._render = render
        self._frame: bytes | None = None

    @property
    def frame(self) -> bytes:
        """The message as it is written."""
        if self._frame is None:
            self._frame = text_frame(_encoder.encode(self._render()))
        return self._frame

    def frames(self, first: int, last: int) -> list[bytes]:
        """Its message, as that of a run of one."""
        return [self.frame][first:last]


class TickRun:
    """The ticks of a batch on their way to who wants them all.

    Whoever receives the batch makes one, however many ticks it has; a tick costs something when
    it is sent. It holds of the rows what a queue can take, and nothing of what they came in.
    """

    __slots__ = (
        "_first_sequence",
        "_frames",
        "_newest",
        "_offset_ms",
        "_rows",
        "_state",
        "count",
        "newest",
    )

    def __init__(self, source: QuoteSource, batch: TickBatch, state: FeedState) -> None:
        self.count = batch.count
        self._rows = bytes(batch.rows[: EVERY_TICK_QUEUE_MAX * ROW_BYTES])
        self._first_sequence = batch.first_sequence
        self._offset_ms = batch.broker_offset_s * 1_000
        self._newest = newest = replace(source)  # the board's own goes on with the next batch
        self._state = state
        self._frames: list[bytes] = []
        self.newest = WaitingQuote(self.symbol, self.received_ns, lambda: newest.quote(state))
        """Its last tick, for who has no room for all."""

    @property
    def symbol(self) -> str:
        """The broker's spelling."""
        return self._newest.stream.symbol

    @property
    def received_ns(self) -> int:
        """When the batch came."""
        return self._newest.received_ns

    def frames(self, first: int, last: int) -> list[bytes]:
        """The messages of its ticks from `first` up to `last`, which is not among them."""
        done = len(self._frames)
        rows: TickArray = np.frombuffer(self._rows, TICK_DTYPE)
        for index, row in enumerate(rows[done:last].tolist(), start=done):
            quote = self._tick(index, row).quote(self._state)
            self._frames.append(text_frame(_encoder.encode(quote)))
        return self._frames[first:last]

    def _tick(self, index: int, row: tuple[int, ...]) -> QuoteSource:
        event_ms, bid, ask = row[:3]
        return QuoteSource(
            self._newest.stream,
            self._first_sequence + index,
            bid or self._newest.bid_points,
            ask or self._newest.ask_points,
            event_ms - self._offset_ms,
            self.received_ns,
        )


@dataclass(slots=True)
class Part:
    """What one subscriber still has to be sent of a run, or of a run of one."""

    run: TickRun | WaitingQuote
    first: int
    last: int

    @property
    def is_empty(self) -> bool:
        """All of it was taken."""
        return self.first == self.last

    def take(self, most: int) -> list[bytes]:
        """The next messages."""
        first, self.first = self.first, min(self.last, self.first + most)
        return self.run.frames(first, self.first)


@dataclass(frozen=True, slots=True)
class Bundle:
    """Quotes of one round as the bytes of their WebSocket messages: the same for everybody."""

    data: bytes
    quotes: tuple[WaitingQuote, ...]


class Round:
    """The newest quotes of one organisation, bundled once per choice of symbols."""

    def __init__(self, newest: Mapping[str, WaitingQuote]) -> None:
        self.newest = newest
        self._bundles: dict[frozenset[str] | None, Bundle] = {}

    def bundle(self, chosen: frozenset[str] | None) -> Bundle:
        """What somebody who chose these symbols is told."""
        bundle = self._bundles.get(chosen)
        if bundle is None:
            quotes = tuple(self.chosen(chosen))
            bundle = self._bundles[chosen] = Bundle(_frames(quotes), quotes)
        return bundle

    def chosen(self, symbols: frozenset[str] | None) -> Iterator[WaitingQuote]:
        """The quotes of these symbols; of all when none were chosen."""
        return (q for q in self.newest.values() if symbols is None or q.symbol in symbols)


def _frames(quotes: Iterable[WaitingQuote]) -> bytes:
    """For one write: a write for each would cost more than the quotes themselves."""
    return b"".join(quote.frame for quote in quotes)


def text_frame(text: bytes) -> bytes:
    """A server's WebSocket message: never masked, so one rendering serves everybody."""
    size = len(text)
    if size <= _SMALL_MAX:
        return bytes((_FINAL_TEXT, size)) + text
    return bytes((_FINAL_TEXT, _SIZE_OF_TWO_BYTES)) + size.to_bytes(2, "big") + text
