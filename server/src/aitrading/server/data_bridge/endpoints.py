"""`GET /api/v1/quotes` and `GET /api/v1/feeds`."""

from collections.abc import Sequence
from typing import Final, TypeVar

import msgspec

from aitrading.core.infrastructure.config_manager import ConfigManager
from aitrading.core.kit.clock import Clock
from aitrading.core.security.claims import Scope
from aitrading.core.security.encoding import base64url_decode, base64url_encode
from aitrading.server.data_bridge.feeds import JUDGED_AT_ONCE, Feed, FeedName, FeedWatch
from aitrading.server.data_bridge.last_known import QuoteReader
from aitrading.server.data_bridge.quotes import Quote
from aitrading.server.data_bridge.settings import StreamSettings
from aitrading.server.data_bridge.shares import Shares
from aitrading.server.data_bridge.viewers import HELD, Held, Viewers
from aitrading.server.kit.call import Call
from aitrading.server.kit.endpoints import QueryField, endpoint, scope
from aitrading.server.kit.http_errors import REQUEST_INVALID

PAGE_DEFAULT: Final = 500
PAGE_MAX: Final = 5_000
T = TypeVar("T", Quote, FeedName)

PAGING: Final = (
    QueryField(name="symbol", doc="Only this symbol, in the broker's spelling."),
    QueryField(name="limit", doc=f"Entries per page, at most {PAGE_MAX}."),
    QueryField(name="cursor", doc="`next_cursor` of the page before."),
)


class FeedLimits(msgspec.Struct, frozen=True, kw_only=True):
    """From when silence is no longer life: for whoever shows quotes while no news arrives."""

    delayed_after_s: float
    stale_after_s: float
    dead_after_s: float
    heartbeat_s: float
    """A stream that said nothing for longer, not even `pong`, is lost."""


class QuotesPage(msgspec.Struct, frozen=True, kw_only=True):
    """Newest quotes; `source` is `live`, or tells where the last known ones come from.

    It is `held` when there are none because the person's subscription does not count.
    """

    items: list[Quote]
    next_cursor: str | None
    source: str
    limits: FeedLimits
    held: Held | None = None
    """Why no market data is shown; the states of feeds and the limits are told all the same."""


class FeedsPage(msgspec.Struct, frozen=True, kw_only=True):
    """Feeds and how far each can be trusted."""

    items: list[Feed]
    next_cursor: str | None
    count: int
    """Feeds of the organisation."""
    limit: int
    """How many it may have; one more is refused to its device."""


class MarketDataEndpoints:
    """What a tenant sees of its own market data."""

    def __init__(
        self,
        quotes: QuoteReader,
        feeds: FeedWatch,
        viewers: Viewers,
        shares: Shares,
        config: ConfigManager,
        clock: Clock,
    ) -> None:
        self._shares = shares
        self._clock = clock
        self._quotes = quotes
        self._viewers = viewers
        self._feeds = feeds
        self._config = config

    @endpoint(
        "GET",
        "/api/v1/quotes",
        timeout_s=5,
        access=scope(Scope.READ),
        answer=QuotesPage,
        query=PAGING,
    )
    async def quotes(self, call: Call) -> QuotesPage:
        """The newest quote of each symbol."""
        held = await self._viewers.held(call.token)
        if held is not None:
            return QuotesPage(
                items=[], next_cursor=None, source=HELD, limits=self._limits(), held=held
            )
        known = await self._quotes.of_tenant(call.token.tenant)
        items, cursor = _page(call, known.quotes)
        return QuotesPage(
            items=items, next_cursor=cursor, source=known.source, limits=self._limits()
        )

    @endpoint(
        "GET",
        "/api/v1/feeds",
        timeout_s=5,
        access=scope(Scope.READ),
        answer=FeedsPage,
        query=PAGING,
    )
    async def feeds(self, call: Call) -> FeedsPage:
        """The state of each feed: LIVE, DELAYED, STALE, CLOSED, UNKNOWN or DEAD, and why."""
        tenant = call.token.tenant
        names, cursor = _page(call, self._feeds.names_of(tenant))
        items: list[Feed] = []
        for asked, name in enumerate(names, start=1):
            if (feed := self._feeds.feed(name.key)) is not None:
                items.append(feed)
            if asked % JUDGED_AT_ONCE == 0:
                await self._clock.sleep(0)
        return FeedsPage(
            items=items,
            next_cursor=cursor,
            count=self._feeds.count_of(tenant),
            limit=self._shares.feeds_of(call.token.rates),
        )

    def _limits(self) -> FeedLimits:
        feeds = self._feeds.limits
        return FeedLimits(
            delayed_after_s=feeds.delayed_after_s,
            stale_after_s=feeds.stale_after_s,
            dead_after_s=feeds.dead_after_s,
            heartbeat_s=self._config.get(StreamSettings).heartbeat_s,
        )


def _page(call: Call, entries: Sequence[T]) -> tuple[list[T], str | None]:
    """The entries after the cursor; entries are ordered by symbol, then stream."""
    symbol, limit, after = call.query_or("symbol", None), _limit(call), _after(call)
    wanted = sorted((one for one in entries if symbol in (None, one.symbol)), key=_place)
    rest = [one for one in wanted if after is None or _place(one) > after]
    page = rest[:limit]
    more = len(rest) > len(page)
    return page, base64url_encode(_place(page[-1]).encode()) if more else None


def _place(entry: Quote | FeedName) -> str:
    return f"{entry.symbol}\0{entry.stream}"


def _limit(call: Call) -> int:
    text = call.query_or("limit", str(PAGE_DEFAULT))
    if not text.isdecimal() or not 1 <= int(text) <= PAGE_MAX:
        raise REQUEST_INVALID.error(reason=f"`limit` is not a number from 1 to {PAGE_MAX}")
    return int(text)


def _after(call: Call) -> str | None:
    cursor = call.query_or("cursor", None)
    try:
        return None if cursor is None else base64url_decode(cursor).decode()
    except ValueError as exc:
        raise REQUEST_INVALID.error(reason="`cursor` is not one of ours") from exc
