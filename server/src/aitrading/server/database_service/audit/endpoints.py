"""`/api/v1/audit` and `/api/v1/security-events`: an organisation's own events, for who audits."""

from datetime import datetime
from typing import Final
from uuid import UUID

from aitrading.core.kit.clock import datetime_of_ns
from aitrading.core.security.claims import Scope
from aitrading.server.authority.installation import ADMIN_SERVICE
from aitrading.server.database_service.audit.shapes import AuditPage
from aitrading.server.database_service.audit.trail import (
    NEWEST,
    AuditGauge,
    AuditQuestion,
    AuditReader,
)
from aitrading.server.database_service.organisations import ORGANISATION_UNKNOWN, Organisations
from aitrading.server.database_service.ticks.rendering import LATEST_MS, ms_of_rfc3339
from aitrading.server.kit.audit_actions import AuditAction
from aitrading.server.kit.audit_api import AUDIT_SIZE_PATH, AuditSize
from aitrading.server.kit.call import Call
from aitrading.server.kit.endpoints import QueryField, endpoint, peers, scope
from aitrading.server.kit.http_errors import REQUEST_INVALID
from aitrading.server.kit.tenancy import PLATFORM

HOST: Final = peers(ADMIN_SERVICE)
MAX_LIMIT: Final = 500
DEFAULT_LIMIT: Final = 50
_QUERY: Final = (
    QueryField(name="since", doc="Earliest moment, RFC 3339; default: the beginning."),
    QueryField(name="until", doc="First moment that is too late, RFC 3339; default: now."),
    QueryField(name="type", doc="One type of event: `identity.login.refused`."),
    QueryField(name="limit", doc=f"Events per page, 1 to {MAX_LIMIT}; default {DEFAULT_LIMIT}."),
    QueryField(name="cursor", doc="`next_cursor` of the page before."),
)
_HOST_QUERY: Final = (
    *_QUERY,
    QueryField(name="tenant", doc="The organisation by name or id; the platform's own."),
)


class AuditEndpoints:
    """Whoever has the scope `audit` sees the own organisation; the host sees each."""

    def __init__(
        self, reader: AuditReader, gauge: AuditGauge, organisations: Organisations
    ) -> None:
        self._reader = reader
        self._gauge = gauge
        self._organisations = organisations

    @endpoint("GET", "/api/v1/audit", access=scope(Scope.AUDIT), answer=AuditPage, query=_QUERY)
    async def audit(self, call: Call) -> AuditPage:
        """Everything that was audited in your organisation, the newest first."""
        return await self._reader.page(call.token.tenant, question_of(call))

    @endpoint(
        "GET",
        "/api/v1/security-events",
        access=scope(Scope.AUDIT),
        answer=AuditPage,
        query=_QUERY,
    )
    async def security_events(self, call: Call) -> AuditPage:
        """Who got in or was refused, and whose rights, keys and devices changed."""
        question = question_of(call, security_only=True)
        return await self._reader.page(call.token.tenant, question)

    @endpoint(
        "GET",
        "/internal/v1/admin/audit",
        access=HOST,
        answer=AuditPage,
        query=_HOST_QUERY,
        errors=(ORGANISATION_UNKNOWN,),
    )
    async def audit_for_host(self, call: Call) -> AuditPage:
        """Everything that was audited in an organisation, or concerns the platform itself."""
        return await self._for_host(call, security_only=False)

    @endpoint(
        "GET",
        "/internal/v1/admin/security-events",
        access=HOST,
        answer=AuditPage,
        query=_HOST_QUERY,
        errors=(ORGANISATION_UNKNOWN,),
    )
    async def security_events_for_host(self, call: Call) -> AuditPage:
        """Security events of an organisation, or of the platform itself."""
        return await self._for_host(call, security_only=True)

    @endpoint("GET", AUDIT_SIZE_PATH, access=HOST, answer=AuditSize)
    async def size(self, call: Call) -> AuditSize:
        """How much there is of all organisations and the platform."""
        del call
        return await self._gauge.size()

    async def _for_host(self, call: Call, *, security_only: bool) -> AuditPage:
        question = question_of(call, security_only=security_only)
        named = call.query_or("tenant", None)
        tenant = PLATFORM if named is None else await self._organisations.find(named)
        return await self._reader.page(tenant, question)


def question_of(call: Call, *, security_only: bool = False) -> AuditQuestion:
    """Read the query completely; raises `REQUEST_INVALID` and names the parameter."""
    return AuditQuestion(
        security_only=security_only,
        before=_cursor(call.query_or("cursor", None)),
        since=_moment(call, "since"),
        until=_moment(call, "until"),
        action=_action(call.query_or("type", None)),
        limit=call.limit(DEFAULT_LIMIT, MAX_LIMIT),
    )


def _cursor(text: str | None) -> UUID:
    try:
        return NEWEST if text is None else UUID(text)
    except ValueError:
        raise REQUEST_INVALID.error(reason="`cursor` is not one of a page before") from None


def _moment(call: Call, name: str) -> datetime | None:
    text = call.query_or(name, None)
    if text is None:
        return None
    moment_ms = min(LATEST_MS - 86_400_000, max(0, ms_of_rfc3339(name, text)))
    return datetime_of_ns(moment_ms * 1_000_000)


def _action(text: str | None) -> AuditAction | None:
    try:
        return None if text is None else AuditAction(text)
    except ValueError:
        raise REQUEST_INVALID.error(
            reason="`type` is no type of audit event; the reference lists them"
        ) from None
