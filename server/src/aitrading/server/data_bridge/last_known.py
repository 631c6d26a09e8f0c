"""Quotes for everybody who asks: live ones, or after a restart the last known."""

from datetime import datetime
from typing import Final

import msgspec

from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.resilience import Fallback
from aitrading.core.kit.clock import NS_PER_S, Clock
from aitrading.core.kit.ids import TenantId
from aitrading.server.data_bridge.call_sites import QUOTES_LAST_KNOWN
from aitrading.server.data_bridge.errors import QUOTES_NOT_YET
from aitrading.server.data_bridge.feeds import JUDGED_AT_ONCE, FeedWatch
from aitrading.server.data_bridge.ports import TickStore
from aitrading.server.data_bridge.quotes import Quote, QuoteBoard
from aitrading.server.kit.ingest_api import LastQuote, LastQuotes

REMEMBER_NS: Final = 10 * NS_PER_S
TENANTS_MAX: Final = 1_000
LIVE: Final = "live"
UNAVAILABLE: Final = "unavailable"


class KnownQuotes(msgspec.Struct, frozen=True, kw_only=True):
    """Quotes and where they come from: `live`, `cache`, `store`, or `unavailable`."""

    source: str
    quotes: tuple[Quote, ...]


class QuoteReader:
    """Live quotes as soon as one feed of the tenant has delivered.

    Before that, after a restart, the last known ones: they are marked UNKNOWN (or DEAD,
    when they are old enough), since nobody knows what the market did meanwhile, and carry their own time. Without the database service there
    are none, and the answer says so.
    """

    def __init__(
        self,
        board: QuoteBoard,
        feeds: FeedWatch,
        store: TickStore,
        *,
        fallback: Fallback,
        errors: ErrorHandler,
        clock: Clock,
    ) -> None:
        self._board = board
        self._feeds = feeds
        self._store = store
        self._fallback = fallback
        self._errors = errors
        self._clock = clock
        self._remembered: dict[TenantId, tuple[int, LastQuotes]] = {}

    async def of_tenant(self, tenant: TenantId) -> KnownQuotes:
        """The tenant's quotes in order of symbol."""
        return await self._fallback.run(
            lambda: self._live(tenant), lambda _exc: self._last_known(tenant)
        )

    async def _live(self, tenant: TenantId) -> KnownQuotes:
        sources = self._board.of_tenant(tenant)
        if not sources:
            raise QUOTES_NOT_YET.error()
        quotes: list[Quote] = []
        for one in sources:
            quotes.append(one.quote(self._feeds.state(one.stream.feed_key)))
            if len(quotes) % JUDGED_AT_ONCE == 0:
                await self._clock.sleep(0)
        return KnownQuotes(source=LIVE, quotes=tuple(quotes))

    async def _last_known(self, tenant: TenantId) -> KnownQuotes:
        known = self._recently(tenant)
        if known is None:
            known = await self._errors.degrade(
                QUOTES_LAST_KNOWN, lambda: self._store.last_quotes(tenant), self._nothing
            )
            if known.source != UNAVAILABLE:
                self._remember(tenant, known)
        quotes = sorted((self._quote(one) for one in known.quotes), key=lambda one: one.symbol)
        return KnownQuotes(source=known.source, quotes=tuple(quotes))

    def _recently(self, tenant: TenantId) -> LastQuotes | None:
        asked_ns, known = self._remembered.get(tenant, (0, None))
        return known if self._clock.monotonic_ns() - asked_ns < REMEMBER_NS else None

    def _remember(self, tenant: TenantId, known: LastQuotes) -> None:
        self._remembered.pop(tenant, None)
        if len(self._remembered) >= TENANTS_MAX:
            self._remembered.pop(next(iter(self._remembered)))
        self._remembered[tenant] = (self._clock.monotonic_ns(), known)

    async def _nothing(self, exc: Exception) -> LastQuotes:
        del exc
        return LastQuotes(source=UNAVAILABLE, quotes=())

    def _quote(self, last: LastQuote) -> Quote:
        event_ms = round(datetime.fromisoformat(last.time).timestamp() * 1_000)
        return Quote(
            symbol=last.symbol,
            bid=last.bid,
            ask=last.ask,
            time=last.time,
            state=self._feeds.remembered(event_ms),
            provisional=False,
            sequence=last.sequence,
            stream=last.stream,
            account="",
        )
