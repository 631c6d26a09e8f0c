"""`GET /api/v1/usage`: an organisation's own usage; the host asks for each."""

from datetime import date, timedelta
from typing import Final

from aitrading.core.kit.clock import Clock, now_utc
from aitrading.core.security.claims import Scope
from aitrading.server.authority.installation import ADMIN_SERVICE
from aitrading.server.database_service.organisations import ORGANISATION_UNKNOWN, Organisations
from aitrading.server.database_service.usage.book import Usage, UsageBook
from aitrading.server.kit.call import Call
from aitrading.server.kit.endpoints import QueryField, endpoint, peers, scope
from aitrading.server.kit.http_errors import REQUEST_INVALID

DAYS_MAX: Final = 366
_QUERY: Final = (
    QueryField(name="from", doc="First day in UTC; default: the first of the last day's month."),
    QueryField(name="to", doc="Last day in UTC; default: today."),
)


class UsageEndpoints:
    """For who administers or audits the organisation, and for the host."""

    def __init__(self, book: UsageBook, organisations: Organisations, clock: Clock) -> None:
        self._book = book
        self._organisations = organisations
        self._clock = clock

    @endpoint(
        "GET",
        "/api/v1/usage",
        access=scope(Scope.READ),
        summary="Ticks, streams, symbols and devices of your organisation by day; with `admin` or `audit`.",
        answer=Usage,
        query=_QUERY,
    )
    async def usage(self, call: Call) -> Usage:
        """The tenant comes from the token, never from the question."""
        if Scope.ADMIN not in call.token.scopes:
            call.token.require(Scope.AUDIT)
        return await self._book.of(call.token.tenant, *self._days(call))

    @endpoint(
        "GET",
        "/internal/v1/admin/usage",
        access=peers(ADMIN_SERVICE),
        answer=Usage,
        query=(
            *_QUERY,
            QueryField(name="tenant", doc="The organisation, by name or id.", required=True),
        ),
        errors=(ORGANISATION_UNKNOWN,),
    )
    async def usage_for_host(self, call: Call) -> Usage:
        """The same of any organisation."""
        tenant = await self._organisations.find(call.query("tenant"))
        return await self._book.of(tenant, *self._days(call))

    def _days(self, call: Call) -> tuple[date, date]:
        last = call.day("to") or now_utc(self._clock).date()
        first = call.day("from") or last.replace(day=1)
        if not timedelta() <= last - first < timedelta(days=DAYS_MAX):
            reason = f"`from` is no day before `to`, or they are more than {DAYS_MAX} days"
            raise REQUEST_INVALID.error(reason=reason)
        return first, last
