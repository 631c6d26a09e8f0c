"""Alerts and news over HTTP: told by devices through the api-gateway, read by people."""

from typing import Final

from aitrading.core.domain.instruments import SYMBOL_BYTES_MAX, require_name
from aitrading.core.protocol.device_notes import NewsKind, NotesTaken
from aitrading.core.security.claims import Scope
from aitrading.server.database_service.device_notes.book import (
    AlertsPage,
    NewsPage,
    NoteBook,
)
from aitrading.server.kit.call import Call
from aitrading.server.kit.device_notes_api import NOTES_BYTES_MAX, NOTES_PATH, DeviceNotes
from aitrading.server.kit.endpoints import QueryField, endpoint, peers, scope
from aitrading.server.kit.http_errors import REQUEST_INVALID
from aitrading.server.kit.time_cursors import place_of

DEFAULT_LIMIT: Final = 100
MAX_LIMIT: Final = 1_000
_LIMIT: Final = QueryField(name="limit", doc=f"Rows per page, 1 to {MAX_LIMIT}; default 100.")
_CURSOR: Final = QueryField(name="cursor", doc="`next_cursor` of the page before.")


class DeviceNoteEndpoints:
    """What devices tell beside ticks."""

    def __init__(self, book: NoteBook) -> None:
        self._book = book

    @endpoint(
        "POST",
        NOTES_PATH,
        access=peers("api-gateway"),
        summary="Alerts and news of a device; saying them again changes nothing.",
        body=DeviceNotes,
        answer=NotesTaken,
        body_limit_bytes=NOTES_BYTES_MAX,
    )
    async def take(self, call: Call) -> NotesTaken:
        """Answers when they are durable."""
        return await self._book.take(await call.json(DeviceNotes))

    @endpoint(
        "GET",
        "/api/v1/alerts",
        access=scope(Scope.READ),
        summary="Alerts of your organisation's clients about prices, the newest first.",
        answer=AlertsPage,
        query=(
            QueryField(name="symbol", doc="Only this symbol, in the broker's spelling."),
            QueryField(name="open", doc="`true`: only alerts that have not ended."),
            _LIMIT,
            _CURSOR,
        ),
    )
    async def alerts(self, call: Call) -> AlertsPage:
        """The tenant comes from the token, never from the question."""
        symbol = call.query_or("symbol", None)
        if symbol is not None:
            require_name("symbol", symbol, SYMBOL_BYTES_MAX)
        return await self._book.alerts(
            call.token.tenant,
            symbol=symbol,
            only_open=call.flag("open"),
            after=place_of(call.query_or("cursor", None)),
            limit=call.limit(DEFAULT_LIMIT, MAX_LIMIT),
        )

    @endpoint(
        "GET",
        "/api/v1/news",
        access=scope(Scope.READ),
        summary="News and economic calendar that your organisation's clients collected.",
        answer=NewsPage,
        query=(
            QueryField(name="kind", doc=f"Only this kind: {', '.join(NewsKind)}."),
            QueryField(name="currency", doc="Only what concerns this currency, for example USD."),
            _LIMIT,
            _CURSOR,
        ),
    )
    async def news(self, call: Call) -> NewsPage:
        """The tenant comes from the token, never from the question."""
        kind = call.query_or("kind", None)
        if kind is not None and kind not in set(NewsKind):
            raise REQUEST_INVALID.error(reason=f"`kind` is one of: {', '.join(NewsKind)}")
        currency = call.query_or("currency", None)
        if currency is not None:
            require_name("currency", currency, 8)
        return await self._book.news(
            call.token.tenant,
            kind=kind,
            currency=currency,
            after=place_of(call.query_or("cursor", None)),
            limit=call.limit(DEFAULT_LIMIT, MAX_LIMIT),
        )
