"""The newest quote of every stream, and how it is told."""

from dataclasses import dataclass
from uuid import UUID

import msgspec
import numpy as np

from aitrading.core.domain.feed_state import FeedState
from aitrading.core.domain.market import TickBatch
from aitrading.core.domain.price import decimal_text
from aitrading.core.kit.clock import NS_PER_MS, rfc3339_of_ns
from aitrading.core.kit.ids import TenantId
from aitrading.server.data_bridge.streams import BridgeStream, FeedKey


class Quote(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="quote"):
    """One quote as people and programs see it; prices are decimal strings."""

    symbol: str
    bid: str | None
    ask: str | None
    time: str
    """Event time in UTC, to the millisecond of the terminal."""
    state: FeedState
    provisional: bool
    """The tick is not on the server's disk yet."""
    sequence: int
    stream: UUID
    account: str
    """Broker server and login, for example `Simulated-Demo:50000001`."""


@dataclass(slots=True)
class QuoteSource:
    """The newest tick of a stream, in the form it came."""

    stream: BridgeStream
    sequence: int
    bid_points: int
    ask_points: int
    event_ms: int
    """UTC."""
    received_ns: int
    """Monotonic; for ages."""

    def quote(self, state: FeedState) -> Quote:
        """Render; cheap enough for every batch, too expensive for every tick."""
        said = self.stream.declaration
        return Quote(
            symbol=said.symbol,
            bid=price_text(self.bid_points, said.digits),
            ask=price_text(self.ask_points, said.digits),
            time=rfc3339_of_ns(self.event_ms * NS_PER_MS),
            state=state,
            provisional=self.sequence > self.stream.durable,
            sequence=self.sequence,
            stream=self.stream.id,
            account=f"{said.broker}:{said.login}",
        )


def price_text(points: int, digits: int) -> str | None:
    """A price of a row; 0 stands for none."""
    return decimal_text(points, digits) if points else None


class QuoteBoard:
    """The newest tick of every feed, by tenant."""

    def __init__(self) -> None:
        self._tenants: dict[TenantId, dict[FeedKey, QuoteSource]] = {}

    def update(self, stream: BridgeStream, batch: TickBatch, now_ns: int) -> QuoteSource | None:
        """Take the newest tick of a batch; a side that a tick lacks keeps its last price.

        None for what remains of an earlier epoch: it is history, not a quote.
        """
        board = self._tenants.setdefault(stream.device.tenant, {})
        source = board.get(stream.feed_key)
        if source is None or source.stream is not stream:
            if source and source.stream.declaration.epoch > stream.declaration.epoch:
                return None
            source = board[stream.feed_key] = QuoteSource(stream, 0, 0, 0, 0, 0)
        rows = batch.array()
        source.sequence = batch.last_sequence
        source.event_ms = int(rows["event_ms"][-1]) - batch.broker_offset_s * 1_000
        source.received_ns = now_ns
        source.bid_points = _newest(rows["bid"]) or source.bid_points
        source.ask_points = _newest(rows["ask"]) or source.ask_points
        return source

    def of_feed(self, tenant: TenantId, key: FeedKey) -> QuoteSource | None:
        """The newest tick of one feed."""
        return self._tenants.get(tenant, {}).get(key)

    def forget(self, tenant: TenantId, key: FeedKey) -> None:
        """Show it no more."""
        board = self._tenants.get(tenant, {})
        board.pop(key, None)
        if not board:
            self._tenants.pop(tenant, None)

    def of_tenant(self, tenant: TenantId) -> list[QuoteSource]:
        """The tenant's quotes in order of symbol."""
        board = self._tenants.get(tenant, {})
        return [board[key] for key in sorted(board)]


def _newest(prices: "np.ndarray[tuple[int], np.dtype[np.int32]]") -> int:
    """The last price that is there; 0 when there is none."""
    last = int(prices[-1])
    if last:
        return last
    present = np.flatnonzero(prices)
    return int(prices[present[-1]]) if len(present) else 0
