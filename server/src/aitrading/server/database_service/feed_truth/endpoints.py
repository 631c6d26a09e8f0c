"""Gaps and certificates over HTTP: told by the bridge, asked for by people."""

from typing import Final
from uuid import UUID

from aitrading.core.domain.instruments import SYMBOL_BYTES_MAX, require_name
from aitrading.core.security.claims import Scope
from aitrading.server.database_service.cache.read_budget import ReadBudget
from aitrading.server.database_service.errors import READ_BUDGET_SPENT, SYMBOL_UNKNOWN
from aitrading.server.database_service.feed_truth.book import GapBook, GapsPage
from aitrading.server.database_service.feed_truth.certificates import (
    FEED_DAY_TOO_LARGE,
    Certificates,
    SignedCertificate,
)
from aitrading.server.kit.call import Call
from aitrading.server.kit.endpoints import QueryField, endpoint, peers, scope
from aitrading.server.kit.feed_truth_api import (
    REPAIRS_PATH,
    TRUTH_PATH,
    FeedTruth,
    RepairOrders,
    TruthTaken,
)
from aitrading.server.kit.http_errors import REQUEST_INVALID
from aitrading.server.kit.tenancy import parse_tenant
from aitrading.server.kit.time_cursors import place_of

BRIDGE: Final = peers("data-bridge")
DEFAULT_LIMIT: Final = 100
MAX_LIMIT: Final = 1_000


class FeedTruthEndpoints:
    """What the data bridge calls."""

    def __init__(self, book: GapBook) -> None:
        self._book = book

    @endpoint(
        "POST",
        TRUTH_PATH,
        access=BRIDGE,
        summary="What a device counted, lost and repaired; saying it again changes nothing.",
        body=FeedTruth,
        answer=TruthTaken,
        body_limit_bytes=4 << 20,
    )
    async def take(self, call: Call) -> TruthTaken:
        """Answers when it is durable."""
        return await self._book.take(await call.json(FeedTruth))

    @endpoint(
        "GET",
        REPAIRS_PATH,
        access=BRIDGE,
        summary="Gaps that a device may repair from its terminal's history.",
        answer=RepairOrders,
        query=(
            QueryField(name="tenant", doc="The device's tenant.", required=True),
            QueryField(name="device", doc="The device.", required=True),
        ),
        timeout_s=30,
    )
    async def repairs(self, call: Call) -> RepairOrders:
        """The oldest first."""
        tenant = parse_tenant(call.query("tenant"))
        return await self._book.orders(tenant, _uuid("device", call.query("device")))


class CertificateEndpoints:
    """What people and their programs call."""

    def __init__(self, book: GapBook, certificates: Certificates, budget: ReadBudget) -> None:
        self._book = book
        self._certificates = certificates
        self._budget = budget

    @endpoint(
        "GET",
        "/api/v1/feeds/gaps",
        access=scope(Scope.READ),
        summary="Ticks that are or were missing, the newest gap first.",
        answer=GapsPage,
        query=(
            QueryField(name="symbol", doc="Only this symbol, in the broker's spelling."),
            QueryField(name="open", doc="`true`: only gaps that are not repaired."),
            QueryField(name="limit", doc=f"Gaps per page, 1 to {MAX_LIMIT}; default 100."),
            QueryField(name="cursor", doc="`next_cursor` of the page before."),
        ),
    )
    async def gaps(self, call: Call) -> GapsPage:
        """The tenant comes from the token, never from the question."""
        return await self._book.page(
            call.token.tenant,
            symbol=call.query_or("symbol", None),
            only_open=call.flag("open"),
            after=place_of(call.query_or("cursor", None)),
            limit=call.limit(DEFAULT_LIMIT, MAX_LIMIT),
        )

    @endpoint(
        "GET",
        "/api/v1/feeds/certificate",
        access=scope(Scope.READ),
        summary="Whether every tick that the devices counted on a day is stored, signed.",
        answer=SignedCertificate,
        query=(
            QueryField(name="symbol", doc="The broker's spelling.", required=True),
            QueryField(name="day", doc="The day in UTC, for example 2026-11-27.", required=True),
            QueryField(name="device", doc="Only this device."),
        ),
        errors=(SYMBOL_UNKNOWN, FEED_DAY_TOO_LARGE, READ_BUDGET_SPENT),
        timeout_s=60,
    )
    async def certificate(self, call: Call) -> SignedCertificate:
        """COMPLETE, INCOMPLETE with what is wrong, or OPEN while the day runs."""
        symbol, device = call.query("symbol"), call.query_or("device", None)
        require_name("symbol", symbol, SYMBOL_BYTES_MAX)
        day = call.day("day")
        if day is None:
            raise REQUEST_INVALID.error(reason="the query parameter `day` is missing")
        await self._budget.spend(call.token.tenant)
        return await self._certificates.of(
            call.token.tenant, symbol, day, _uuid("device", device) if device else None
        )


def _uuid(name: str, text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise REQUEST_INVALID.error(reason=f"`{name}` is not a UUID") from None
