"""The newest quote of each symbol, kept where it can be read without asking a store."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import ClassVar, Final

import msgspec
import numpy as np
from typing_extensions import override

from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.infrastructure.looping import LoopingComponent
from aitrading.core.kit.clock import Clock
from aitrading.core.kit.ids import TenantId
from aitrading.server.database_service.cache.busiest import Busiest
from aitrading.server.database_service.call_sites import CACHE_DEGRADE
from aitrading.server.database_service.ticks.blocks import Piece
from aitrading.server.database_service.ticks.ledger import StreamId, StreamInfo
from aitrading.server.database_service.ticks.reader import TickReader
from aitrading.server.database_service.ticks.rendering import price_text, rfc3339_of_ms
from aitrading.server.kit.cache.port import NAME_MAX_BYTES, Cache
from aitrading.server.kit.ingest_api import LastQuote, LastQuotes

NAME: Final = "quotes"
LIFE_S: Final = 7 * 86_400
FLUSH_EVERY_S: Final = 0.1
MAX_WAITING: Final = 50_000
FROM_CACHE: Final = "cache"
FROM_STORE: Final = "store"


class QuoteCache(LoopingComponent):
    """Writes behind the back of ingest; reads fall back to the store and say so."""

    critical: ClassVar[bool] = False
    depends_on: ClassVar[tuple[str, ...]] = ("cache",)

    def __init__(
        self, cache: Cache, reader: TickReader, errors: ErrorHandler, clock: Clock
    ) -> None:
        super().__init__("quote-cache", on_error=errors.classify)
        self._cache = cache
        self._busiest = Busiest(cache, clock)
        self._reader = reader
        self._errors = errors
        self._clock = clock
        self._waiting: dict[tuple[TenantId, str], LastQuote] = {}
        self._counted: dict[TenantId, Counter[str]] = {}

    @override
    async def start(self) -> None:
        self._tasks.keep(self._flush_for_ever, name="flush", clock=self._clock)
        self._state = ComponentState.HEALTHY

    def offer(self, streams: Mapping[StreamId, StreamInfo], pieces: Iterable[Piece]) -> None:
        """Remember the newest quote of each symbol soon; never blocks and never fails."""
        newest: dict[StreamId, Piece] = {}
        for piece in pieces:
            key = (piece.header.tenant, piece.header.stream)
            if key not in newest or piece.last > newest[key].last:
                newest[key] = piece
            self._count(TenantId(key[0]), streams[key].symbol, piece.count)
        for key, piece in newest.items():
            quote = _quote(streams[key], piece)
            if quote is None:
                continue
            if len(self._waiting) < MAX_WAITING or (key[0], quote.symbol) in self._waiting:
                self._waiting[TenantId(key[0]), quote.symbol] = quote

    async def last_quotes(self, tenant: TenantId) -> LastQuotes:
        """The newest quotes of a tenant, by symbol."""

        async def cached() -> LastQuotes:
            found = await self._cache.of(tenant).fields(NAME)
            quotes = [msgspec.json.decode(each, type=LastQuote) for each in found.values()]
            return _answer(FROM_CACHE, quotes)

        async def stored(_: Exception) -> LastQuotes:
            return _answer(FROM_STORE, await self._reader.newest_quotes(tenant))

        answer = await self._errors.degrade(CACHE_DEGRADE, cached, stored)
        if answer.quotes or answer.source == FROM_STORE:
            return answer
        return await self._refilled(tenant)

    async def _refilled(self, tenant: TenantId) -> LastQuotes:
        """An empty cache knows nothing: it may be new."""
        quotes = await self._reader.newest_quotes(tenant)
        for quote in quotes:
            self._waiting.setdefault((tenant, quote.symbol), quote)
        return _answer(FROM_STORE, quotes)

    async def flush(self) -> None:
        """Write what waits; what cannot be written is forgotten, the next tick brings it again."""
        waiting, self._waiting = self._waiting, {}
        counted, self._counted = self._counted, {}
        if not waiting:
            return
        tables: dict[TenantId, dict[str, bytes]] = {}
        for (tenant, symbol), quote in waiting.items():
            tables.setdefault(tenant, {})[symbol] = msgspec.json.encode(quote)

        async def write() -> None:
            for tenant, table in tables.items():
                await self._cache.of(tenant).put_fields(NAME, table, life_s=LIFE_S)
                await self._busiest.add(tenant, counted.get(tenant, {}))

        async def forget(_: Exception) -> None:
            """The store has everything."""

        await self._errors.degrade(CACHE_DEGRADE, write, forget)

    def _count(self, tenant: TenantId, symbol: str, ticks: int) -> None:
        if len(symbol.encode()) <= NAME_MAX_BYTES:
            self._counted.setdefault(tenant, Counter())[symbol] += ticks

    async def _flush_for_ever(self) -> None:
        while True:
            await self._clock.sleep(FLUSH_EVERY_S)
            await self.flush()


def _answer(source: str, quotes: Iterable[LastQuote]) -> LastQuotes:
    ordered = sorted(quotes, key=lambda quote: quote.symbol)
    return LastQuotes(source=source, quotes=tuple(ordered))


def _quote(info: StreamInfo, piece: Piece) -> LastQuote | None:
    newest = piece.newest_believed()
    if newest is None:
        return None
    sequence, row = newest
    utc_ms = np.array([row["event_ms"] - piece.header.broker_offset_s * 1_000])
    return LastQuote(
        symbol=info.symbol,
        stream=info.stream,
        sequence=sequence,
        time=rfc3339_of_ms(utc_ms)[0],
        bid=price_text(int(row["bid"]), info.digits),
        ask=price_text(int(row["ask"]), info.digits),
    )
