"""Bars over HTTP."""

import re
from typing import Final
from uuid import UUID

from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.security.claims import Scope
from aitrading.server.database_service.bars.periods import BY_TEXT, Period
from aitrading.server.database_service.bars.reader import (
    BARS_AMBIGUOUS,
    BarReader,
    BarsAsked,
    BarsPage,
)
from aitrading.server.database_service.cache.read_budget import ReadBudget
from aitrading.server.database_service.errors import READ_BUDGET_SPENT, SYMBOL_UNKNOWN
from aitrading.server.database_service.metrics import PAGES_READ
from aitrading.server.database_service.ticks.rendering import LATEST_MS, ms_of_rfc3339
from aitrading.server.kit.call import Call
from aitrading.server.kit.endpoints import QueryField, endpoint, scope
from aitrading.server.kit.http_errors import REQUEST_INVALID

DEFAULT_LIMIT: Final = 1_000
MAX_LIMIT: Final = 10_000
_CURSOR: Final = re.compile(r"[0-9]{1,12}", re.ASCII)
_PERIODS: Final = ", ".join(f"`{text}`" for text in BY_TEXT)
_QUERY: Final = (
    QueryField(name="symbol", doc="The symbol as the broker spells it.", required=True),
    QueryField(name="period", doc=f"How long a bar is: {_PERIODS}; default `1m`."),
    QueryField(name="from", doc="Earliest begin, RFC 3339; default: the beginning."),
    QueryField(name="to", doc="First begin that is too late, RFC 3339; default: no end."),
    QueryField(name="device", doc="Only what this device sent, where several send the symbol."),
    QueryField(name="limit", doc=f"Bars per page, 1 to {MAX_LIMIT}; default {DEFAULT_LIMIT}."),
    QueryField(name="cursor", doc="`next_cursor` of the page before."),
)


class BarEndpoints:
    """What people and their programs call."""

    def __init__(self, reader: BarReader, budget: ReadBudget, metrics: Metrics) -> None:
        self._reader = reader
        self._budget = budget
        self._metrics = metrics

    @endpoint(
        "GET",
        "/api/v1/bars",
        timeout_s=60,
        access=scope(Scope.READ),
        summary="Bars of a symbol by time (UTC), page by page; exact, the running one included.",
        answer=BarsPage,
        query=_QUERY,
        errors=(SYMBOL_UNKNOWN, BARS_AMBIGUOUS, READ_BUDGET_SPENT),
    )
    async def bars(self, call: Call) -> BarsPage:
        """The tenant comes from the token, never from the question."""
        asked = asked_of(call)
        await self._budget.spend(call.token.tenant)
        page = await self._reader.page(call.token.tenant, asked)
        self._metrics.increment(PAGES_READ)
        return page


def asked_of(call: Call) -> BarsAsked:
    """Read the query completely; raises `REQUEST_INVALID` and names the parameter."""
    period = _period(call.query_or("period", Period.M1.text))
    begins_s = _begin(call, "from", 0)
    cursor = call.query_or("cursor", None)
    if cursor is not None:
        begins_s = max(begins_s, _cursor(cursor))
    return BarsAsked(
        symbol=call.query("symbol"),
        device=_device(call.query_or("device", None)),
        period=period,
        from_s=begins_s,
        to_s=_begin(call, "to", LATEST_MS // 1_000),
        limit=call.limit(DEFAULT_LIMIT, MAX_LIMIT),
    )


def _period(text: str) -> Period:
    if text not in BY_TEXT:
        raise REQUEST_INVALID.error(reason=f"`period` is none of {', '.join(BY_TEXT)}")
    return BY_TEXT[text]


def _begin(call: Call, name: str, default_s: int) -> int:
    """A bar begins at a whole second: the first one not before the moment."""
    text = call.query_or(name, None)
    if text is None:
        return default_s
    return -(-min(LATEST_MS, max(0, ms_of_rfc3339(name, text))) // 1_000)


def _cursor(text: str) -> int:
    if not (_CURSOR.fullmatch(text) and int(text) <= LATEST_MS // 1_000):
        raise REQUEST_INVALID.error(reason="`cursor` was not given out here")
    return int(text)


def _device(text: str | None) -> UUID | None:
    if text is None:
        return None
    try:
        return UUID(text)
    except ValueError:
        raise REQUEST_INVALID.error(reason="`device` is not a UUID") from None
